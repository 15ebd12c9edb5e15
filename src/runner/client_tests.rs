//! Listings of several pages, of which one is asked for too late.

use super::*;
use crate::core::Expects;
use crate::job::AppFacts;
use crate::runner::{Gauges, SystemClock};
use crate::services::{Graph, GraphLimits, Patience, Registry, Transport, classify};
use async_trait::async_trait;
use reqwest::header::HeaderMap;
use serde_json::json;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::UNIX_EPOCH;

const NEXT: &str = "https://graph.microsoft.com/v1.0/users?$skiptoken=2";

/// Two pages; the second one has expired so many times.
struct Pages {
    expires: u32,
    asked: AtomicU32,
}

#[async_trait]
impl Transport for Pages {
    async fn send(&self, request: &Request, _attempt: Uuid) -> Reply {
        let first = || (200, json!({"value": [1], "@odata.nextLink": NEXT}));
        let expired = || {
            (
                400,
                json!({"error": {"code": "Directory_ExpiredPageToken", "message": "too late"}}),
            )
        };
        let (status, body) = match request.path == NEXT {
            false => first(),
            true if self.asked.fetch_add(1, Ordering::Relaxed) < self.expires => expired(),
            true => (200, json!({"value": [2]})),
        };
        let body = serde_json::to_vec(&body).unwrap();
        classify(request, status, &HeaderMap::new(), &body, UNIX_EPOCH)
    }
}

async fn listed(expires: u32) -> Result<Vec<serde_json::Value>, NoAnswer> {
    let fast = "1000/s".parse().unwrap();
    let services = Arc::new(Services {
        registry: Registry::of(
            Arc::new(Graph::new(
                Arc::new(Pages {
                    expires,
                    asked: AtomicU32::new(0),
                }),
                "contoso.test",
                GraphLimits {
                    writes: fast,
                    reads: fast,
                    identity_protection: fast,
                },
                Patience {
                    silence: Duration::from_secs(300),
                    sign_in: Duration::from_secs(300),
                },
            )),
            Vec::new(),
        ),
        directory: None,
        app: AppFacts::default(),
        clock: Arc::new(SystemClock),
        run: Uuid::nil(),
        process_at: 0,
        gauges: Gauges::default(),
    });
    let request = Request::get("/users", Expects::Page);
    let mut client = ServiceClient::new(&services, "listing".into());
    client.read(&request, Priority::New).await
}

#[tokio::test(start_paused = true)]
async fn a_page_that_expired_begins_the_listing_again_and_nothing_is_listed_twice() {
    assert_eq!(listed(2).await.unwrap(), [json!(1), json!(2)]);
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_always_expires_ends() {
    match listed(u32::MAX).await {
        Err(NoAnswer::Fault(fault)) => assert!(fault.is_expired_page(), "{fault:?}"),
        other => panic!("{other:?}"),
    }
}
