//! Listings of several pages, of which one is asked for too late; and two services, of which one is in trouble.

use super::*;
use crate::core::{Expects, ServiceName};
use crate::job::AppFacts;
use crate::runner::{Gauges, SystemClock};
use crate::services::budget::{Budget, Quota, ThrottleReason};
use crate::services::{BudgetId, Graph, GraphLimits, Patience, Registry, Service, Transport, classify};
use async_trait::async_trait;
use reqwest::header::HeaderMap;
use serde_json::json;
use std::sync::Mutex;
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
        let expired = || (400, json!({"error": {"code": "Directory_ExpiredPageToken", "message": "too late"}}));
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
                Arc::new(Pages { expires, asked: AtomicU32::new(0) }),
                "contoso.test",
                GraphLimits { writes: fast, reads: fast, identity_protection: fast },
                Patience { silence: Duration::from_secs(300), sign_in: Duration::from_secs(300) },
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

/// A service in memory, which answers, throttles or is silent.
struct Memory {
    name: ServiceName,
    quota: Quota,
    manner: Mutex<Manner>,
    asked: AtomicU32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Answers,
    Throttles,
    IsSilent,
    RefusesSignIn,
}

const CRM: ServiceName = ServiceName("crm");
const PATIENCE: Duration = Duration::from_secs(60);

#[async_trait]
impl Service for Memory {
    fn name(&self) -> ServiceName {
        self.name
    }

    fn budgets(&self) -> Vec<Arc<Budget>> {
        let (name, quota) = ("requests", self.quota);
        vec![Budget::new(name, quota)]
    }

    fn budget(&self, _request: &Request) -> BudgetId {
        BudgetId(0)
    }

    fn patience(&self) -> Patience {
        Patience { silence: PATIENCE, sign_in: PATIENCE }
    }

    async fn send(&self, _request: &Request, _attempt: Uuid) -> Reply {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let fault = |class, code: &str| {
            Reply::from(Fault { class, code: code.to_owned(), message: "in a test".to_owned(), status: None })
        };
        let manner = *self.manner.lock().unwrap();
        match manner {
            Manner::Answers => Reply {
                result: Ok(Success { status: 200, payload: Payload::Object(json!({"of": self.name.0})) }),
                request_id: None,
                usage: None,
                is_echo: false,
            },
            Manner::Throttles => fault(
                Class::Throttled { retry_after: Some(Duration::from_secs(600)), reason: ThrottleReason::Tenant },
                "slow-down",
            ),
            Manner::IsSilent => fault(Class::NotSent, "not-connected"),
            Manner::RefusesSignIn => fault(Class::SignIn, "expired"),
        }
    }
}

/// Two services: the main one, which always answers, and another in this manner, which has answered before.
async fn two(manner: Manner) -> (Arc<Services>, Arc<Memory>) {
    let memory = |name| {
        Arc::new(Memory {
            name,
            quota: "1000/s".parse().unwrap(),
            manner: Mutex::new(Manner::Answers),
            asked: AtomicU32::new(0),
        })
    };
    let (main, other) = (memory(ServiceName::GRAPH), memory(CRM));
    let services = Arc::new(Services {
        registry: Registry::of(main, vec![Arc::clone(&other) as Arc<dyn Service>]),
        directory: None,
        app: AppFacts::default(),
        clock: Arc::new(SystemClock),
        run: Uuid::nil(),
        process_at: 0,
        gauges: Gauges::default(),
    });
    ask(&services, CRM).await.unwrap();
    *other.manner.lock().unwrap() = manner;
    (services, other)
}

async fn ask(services: &Arc<Services>, service: ServiceName) -> Result<Vec<Value>, NoAnswer> {
    let request = Request { service, ..Request::get("/people/1", Expects::Object) };
    let mut client = ServiceClient::new(services, format!("{service}"));
    client.read(&request, Priority::New).await
}

/// The main service answers at once for as long as the other one is asked in vain.
async fn the_main_one_is_served(services: &Arc<Services>) {
    for _ in 0..20 {
        let begun = Instant::now();
        let items = ask(services, ServiceName::GRAPH).await.unwrap();
        assert_eq!(items, [json!({"of": "graph"})]);
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        sleep(Duration::from_secs(10)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttled_service_slows_no_other() {
    let (services, other) = two(Manner::Throttles).await;
    let waiting = tokio::spawn({
        let services = Arc::clone(&services);
        async move { ask(&services, CRM).await }
    });
    the_main_one_is_served(&services).await;
    assert!(!waiting.is_finished());
    assert!(services.registry.waiting().is_some());
    *other.manner.lock().unwrap() = Manner::Answers;
    let items = waiting.await.unwrap().unwrap();
    assert_eq!(items, [json!({"of": "crm"})]);
}

#[tokio::test(start_paused = true)]
async fn a_silent_service_is_given_up_for_the_rows_that_need_it_alone() {
    let (services, _other) = two(Manner::IsSilent).await;
    let begun = Instant::now();
    let waiting = tokio::spawn({
        let services = Arc::clone(&services);
        async move { ask(&services, CRM).await }
    });
    the_main_one_is_served(&services).await;
    match waiting.await.unwrap() {
        Err(NoAnswer::Fault(fault)) => {
            assert_eq!(fault.code, "service-silent");
            assert!(fault.message.starts_with("crm has given no good answer for 60 s"));
        }
        other => panic!("{other:?}"),
    }
    assert!(begun.elapsed() >= PATIENCE);
    assert!(!services.registry.main().is_given_up(Some(begun)));
}

#[tokio::test(start_paused = true)]
async fn a_sign_in_that_one_service_refuses_ends_no_run() {
    let (services, _other) = two(Manner::RefusesSignIn).await;
    let waiting = tokio::spawn({
        let services = Arc::clone(&services);
        async move { ask(&services, CRM).await }
    });
    the_main_one_is_served(&services).await;
    match waiting.await.unwrap() {
        Err(NoAnswer::Fault(fault)) => assert_eq!(fault.class, Class::SignIn),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_nobody_configured_refuses() {
    let (services, _other) = two(Manner::Answers).await;
    match ask(&services, ServiceName("exchange")).await {
        Err(NoAnswer::Fault(fault)) => assert_eq!(fault.code, "no-such-service"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn the_budget_that_limits_is_named() {
    let (services, _other) = two(Manner::Answers).await;
    assert_eq!(services.registry.binding(), None);
    for _ in 0..900 {
        ask(&services, CRM).await.unwrap();
    }
    let binding = services.registry.binding().unwrap();
    assert_eq!((binding.service, binding.budget.as_str()), (CRM, "requests"));
}
