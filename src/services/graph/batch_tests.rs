//! Reads that are asked at the same moment, and services that answer batches in their own way.

use super::*;
use crate::services::graph::classify;
use crate::services::graph::classify::is_batch;
use async_trait::async_trait;
use reqwest::header::HeaderMap;
use std::time::UNIX_EPOCH;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

const LATENCY: Duration = Duration::from_millis(50);

/// How a service answers a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Served,
    /// It refuses a part that reads `/users/1`, and says nothing of one that reads `/users/2`.
    InPart,
    Unknown,
    Foreign,
    /// Fails as a whole, though single requests are answered.
    Broken,
}

struct Service {
    way: Way,
    asked: Mutex<Vec<String>>,
}

impl Service {
    fn part(&self, part: &Value) -> Option<Value> {
        let (id, url) = (&part["id"], part["url"].as_str().unwrap());
        match (self.way, url) {
            (Way::InPart, "/users/1") => Some(json!({
                "id": id, "status": 429,
                "headers": {"Retry-After": "7", "request-id": "r-1"},
                "body": {"error": {"code": "TooManyRequests", "message": "slow down"}},
            })),
            (Way::InPart, "/users/2") => None,
            _ => Some(json!({"id": id, "status": 200, "body": {"id": url}})),
        }
    }

    fn reply(&self, request: &Request) -> (u16, Value) {
        if !is_batch(request) {
            return (200, json!({"id": request.path}));
        }
        let body = request.body.as_ref().unwrap();
        let parts = body["requests"].as_array().unwrap().iter().rev();
        match self.way {
            Way::Served | Way::InPart => {
                let responses: Vec<Value> = parts.filter_map(|part| self.part(part)).collect();
                (200, json!({ "responses": responses }))
            }
            Way::Unknown => (400, json!({"error": {"code": "BadRequest", "message": "no $batch"}})),
            Way::Foreign => (200, json!({"hello": "world"})),
            Way::Broken => (504, json!({"error": {"code": "UnknownError", "message": "too much"}})),
        }
    }
}

#[async_trait]
impl Transport for Service {
    async fn send(&self, request: &Request, _attempt: Uuid) -> Reply {
        self.asked.lock().push(request.path.clone());
        sleep(LATENCY).await;
        let (status, body) = self.reply(request);
        let body = serde_json::to_vec(&body).unwrap();
        classify(request, status, &HeaderMap::new(), &body, UNIX_EPOCH)
    }
}

fn service(way: Way) -> (Arc<Service>, Arc<Batcher>) {
    let service = Arc::new(Service { way, asked: Mutex::default() });
    let batcher = Batcher::new(Arc::clone(&service) as _, "");
    (service, batcher)
}

async fn read(batcher: &Arc<Batcher>, number: usize) -> Reply {
    let request = Request::get(format!("/users/{number}"), Expects::Object);
    batcher.send(&request, Uuid::from_u128(number as u128)).await
}

/// So many at the same moment, in the order of their numbers.
async fn together(batcher: &Arc<Batcher>, count: usize) -> Vec<Reply> {
    let mut reads = JoinSet::new();
    for number in 0..count {
        let batcher = Arc::clone(batcher);
        reads.spawn(async move { (number, read(&batcher, number).await) });
    }
    let mut replies = reads.join_all().await;
    replies.sort_by_key(|(number, _)| *number);
    replies.into_iter().map(|(_, reply)| reply).collect()
}

/// Every reply is that of its own request.
fn are_theirs(replies: &[Reply]) {
    for (number, reply) in replies.iter().enumerate() {
        let success = reply.result.as_ref().unwrap();
        let expected = json!({"id": format!("/users/{number}")});
        assert_eq!(success.payload, Payload::Object(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn a_lone_read_goes_alone_and_at_once() {
    let (service, batcher) = service(Way::Served);
    let begun = Instant::now();
    assert!(read(&batcher, 0).await.result.is_ok());
    assert_eq!(begun.elapsed(), LATENCY);
    assert_eq!(*service.asked.lock(), ["/users/0"]);
}

#[tokio::test(start_paused = true)]
async fn reads_of_one_moment_go_together_twenty_at_most() {
    let (service, batcher) = service(Way::Served);
    let begun = Instant::now();
    are_theirs(&together(&batcher, 45).await);
    assert_eq!(begun.elapsed(), LATENCY);
    assert_eq!(*service.asked.lock(), ["/$batch"; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reply_holds_up_nobody() {
    let (service, batcher) = service(Way::Served);
    let mut reads = JoinSet::new();
    for number in 0..10 {
        let batcher = Arc::clone(&batcher);
        reads.spawn(async move {
            sleep(Duration::from_millis(number)).await;
            let begun = Instant::now();
            read(&batcher, usize::try_from(number).unwrap()).await;
            begun.elapsed()
        });
    }
    let longest = reads.join_all().await.into_iter().max().unwrap();
    assert!(longest <= LATENCY + WAIT_MAX, "{longest:?}");
    let asked = service.asked.lock().clone();
    assert_eq!(asked.len(), UNDER_WAY_MAX + 1, "{asked:?}");
    assert_eq!(asked.last().unwrap(), "/$batch");
}

#[tokio::test(start_paused = true)]
async fn what_befalls_a_part_is_that_parts_alone() {
    let (service, batcher) = service(Way::InPart);
    let replies = together(&batcher, 4).await;
    let throttled = replies[1].result.as_ref().unwrap_err();
    let retry_after = Some(Duration::from_secs(7));
    assert!(
        matches!(throttled.class, Class::Throttled { retry_after: after, .. } if after == retry_after),
        "{throttled:?}"
    );
    assert_eq!(replies[1].request_id.as_deref(), Some("r-1"));
    assert_eq!(replies[2].result.as_ref().unwrap_err().class, Class::InDoubt);
    assert!(replies[0].result.is_ok() && replies[3].result.is_ok());
    assert!(replies.iter().all(|reply| !reply.is_echo));
    assert_eq!(service.asked.lock().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_service_without_batches_is_asked_for_one_once() {
    for way in [Way::Unknown, Way::Foreign] {
        let (service, batcher) = service(way);
        are_theirs(&together(&batcher, 3).await);
        are_theirs(&together(&batcher, 3).await);
        let asked = service.asked.lock().clone();
        let batches = asked.iter().filter(|path| *path == "/$batch").count();
        assert_eq!((batches, asked.len()), (1, 7), "{way:?}");
        let request = Request::get("/users/1", Expects::Object);
        assert!(!batcher.takes(&request));
    }
}

/// Whatever fails as a whole is one sign of trouble, and a service that only fails batches is not lost.
#[tokio::test(start_paused = true)]
async fn a_batch_that_fails_is_one_failure_and_the_third_is_the_last() {
    let (service, batcher) = service(Way::Broken);
    for _ in 0..2 {
        let replies = together(&batcher, 3).await;
        let echoes: Vec<bool> = replies.iter().map(|reply| reply.is_echo).collect();
        assert_eq!(echoes, [false, true, true]);
        assert!(replies.iter().all(|reply| reply.result.is_err()));
    }
    are_theirs(&together(&batcher, 3).await);
    assert_eq!(service.asked.lock().len(), 6);
}

#[test]
fn only_small_plain_reads_travel_together() {
    let (_, batcher) = service(Way::Served);
    assert!(batcher.takes(&Request::get("/users/1", Expects::Page)));
    assert!(!batcher.takes(&Request::get("/users", Expects::Survey)));
    assert!(!batcher.takes(&Request::get("https://graph.test/users?x", Expects::Page)));
    assert!(!batcher.takes(&Request::write(Method::Patch, "/users/1", None)));
}
