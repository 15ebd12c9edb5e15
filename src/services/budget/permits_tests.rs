//! What a budget promises, on a paused clock: hours of load in moments, and exact times.

use std::collections::VecDeque;

use tokio::task::JoinSet;
use tokio::time::{self, sleep};

use super::*;

const GRAPH_WRITES: Quota = Quota::new(3000, Duration::from_secs(150));
const SECOND: Duration = Duration::from_secs(1);
/// Of a request that left after every stop so far.
const LATER: Permit = Permit(u64::MAX);

type Log = Arc<Mutex<Vec<Instant>>>;

/// Takes permits until the time is over, idling after every `burst_len`th so that bursts build up.
async fn load(budget: Arc<Budget>, log: Log, priority: Priority, until: Instant, idle: Duration) {
    let mut taken = 0u32;
    while let Ok(permit) = timeout_at(until, budget.take(priority)).await {
        budget.taken(permit);
        log.lock().push(Instant::now());
        taken += 1;
        if taken.is_multiple_of(40) {
            sleep(idle).await;
        }
    }
}

/// The most permits in any window of the quota's period, both ends included.
fn worst_window(taken: &[Instant], period: Duration) -> usize {
    let mut window = VecDeque::new();
    let mut worst = 0;
    for now in taken {
        window.push_back(*now);
        while window.front().is_some_and(|first| *now - *first > period) {
            window.pop_front();
        }
        worst = worst.max(window.len());
    }
    worst
}

/// Runs a mixed load and returns when permits were taken.
async fn mixed_load(budget: &Arc<Budget>, lasting: Duration, idles_ms: &[u64]) -> Vec<Instant> {
    let until = Instant::now() + lasting;
    let log = Log::default();
    let mut tasks = JoinSet::new();
    let priorities = [Priority::New, Priority::Started, Priority::Compensate];
    for (idle, priority) in idles_ms.iter().zip(priorities.into_iter().cycle()) {
        let idle = Duration::from_millis(*idle);
        tasks.spawn(load(Arc::clone(budget), Arc::clone(&log), priority, until, idle));
    }
    while tasks.join_next().await.is_some() {}
    std::mem::take(&mut *log.lock())
}

#[tokio::test(start_paused = true)]
async fn a_long_night_uses_the_budget_and_never_exceeds_it() {
    let budget = Budget::new("writes", GRAPH_WRITES);
    let taken = mixed_load(&budget, SECOND * 3000, &[0; 64]).await;
    assert!(worst_window(&taken, GRAPH_WRITES.period()) <= 3000);
    let share = taken.len() as f64 / 60_000.0;
    assert!(share >= 0.97, "{share}");
}

#[tokio::test(start_paused = true)]
async fn no_window_exceeds_the_quota_under_uneven_load() {
    let idles = [0, 700, 3_000, 11_000];
    for text in ["3000/150s", "12/s", "1/s", "2/m", "500/s", "3500/10s"] {
        let quota: Quota = text.parse().unwrap();
        let budget = Budget::new("mixed", quota);
        let taken = mixed_load(&budget, quota.period() * 4, &idles).await;
        let worst = worst_window(&taken, quota.period());
        assert!(worst <= quota.count() as usize, "{text}: {worst}");
        assert!(!taken.is_empty(), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_window_exceeds_the_quota_while_the_rate_changes() {
    let quota = Quota::new(600, SECOND * 30);
    let budget = Budget::new("writes", quota);
    let meddler = tokio::spawn({
        let budget = Arc::clone(&budget);
        async move {
            for round in 0..120u32 {
                sleep(Duration::from_millis(700)).await;
                match round % 4 {
                    0 => budget.usage(Some(0.9 + f64::from(round % 7) / 10.0)),
                    1 => budget.throttled(LATER, Some(SECOND), ThrottleReason::Tenant),
                    2 => budget.unavailable(Trouble::NoAnswer),
                    _ => budget.answered(),
                }
            }
        }
    });
    let taken = mixed_load(&budget, SECOND * 300, &[0, 500, 2_000]).await;
    meddler.await.unwrap();
    assert!(worst_window(&taken, quota.period()) <= 600);
    assert!(taken.len() > 500, "{}", taken.len());
}

#[tokio::test(start_paused = true)]
async fn the_most_urgent_goes_first_and_equals_in_order() {
    let budget = Budget::new("writes", Quota::new(60, SECOND * 60));
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = JoinSet::new();
    let arriving = [
        (Priority::New, 'a'),
        (Priority::Started, 'b'),
        (Priority::New, 'c'),
        (Priority::Compensate, 'd'),
        (Priority::Exposed, 'e'),
        (Priority::Verify, 'f'),
        (Priority::Compensate, 'g'),
    ];
    for (priority, who) in arriving {
        let (budget, order) = (Arc::clone(&budget), Arc::clone(&order));
        tasks.spawn(async move {
            budget.take(priority).await;
            order.lock().push(who);
        });
        tokio::task::yield_now().await;
    }
    let all = async { while tasks.join_next().await.is_some() {} };
    time::timeout(SECOND * 60, all).await.unwrap();
    assert_eq!(order.lock().iter().collect::<String>(), "dgefbac");
}

#[tokio::test(start_paused = true)]
async fn dropped_waiters_lose_no_permit_and_block_nobody() {
    let quota = Quota::new(60, SECOND * 60);
    let budget = Budget::new("writes", quota);
    let begun = Instant::now();
    for _ in 0..50 {
        let short = timeout_at(begun + Duration::from_millis(200), budget.take(Priority::Compensate));
        assert!(short.await.is_err());
    }
    budget.take(Priority::New).await;
    // As if the fifty had never been: the first permit is due one interval after the start.
    assert!(begun.elapsed() < Duration::from_millis(1_100), "{:?}", begun.elapsed());
    assert!(budget.state.lock().queue.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_head_wakes_the_next() {
    let budget = Budget::new("writes", Quota::new(60, SECOND * 60));
    let head = tokio::spawn({
        let budget = Arc::clone(&budget);
        async move { budget.take(Priority::Compensate).await }
    });
    tokio::task::yield_now().await;
    let next = tokio::spawn({
        let budget = Arc::clone(&budget);
        async move { budget.take(Priority::New).await }
    });
    tokio::task::yield_now().await;
    head.abort();
    time::timeout(SECOND * 3, next).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stop_holds_everybody_and_says_why() {
    let budget = Budget::new("writes", GRAPH_WRITES);
    sleep(SECOND * 5).await;
    let begun = Instant::now();
    budget.throttled(LATER, Some(SECOND * 42), ThrottleReason::Tenant);
    let pause = budget.pause().unwrap();
    assert_eq!(pause.reason, PauseReason::RetryAfter(ThrottleReason::Tenant));
    assert_eq!(pause.until - begun, SECOND * 42);
    let permit = budget.take(Priority::Compensate).await;
    assert!(begun.elapsed() >= SECOND * 42);
    budget.taken(permit);
    assert_eq!(budget.pause(), None);
}

/// A steady run until then: what it is given is taken.
async fn steady(budget: &Budget, lasting: Duration) {
    let until = Instant::now() + lasting;
    while let Ok(permit) = timeout_at(until, budget.take(Priority::New)).await {
        budget.taken(permit);
    }
}

#[tokio::test(start_paused = true)]
async fn the_rate_falls_after_a_429_to_what_was_taken_and_recovers() {
    let budget = Budget::new("writes", GRAPH_WRITES);
    let full = budget.full_rate();
    steady(&budget, SECOND * 100).await;
    budget.throttled(LATER, Some(SECOND * 2), ThrottleReason::AppInTenant);
    assert!((budget.rate() / full - 0.97).abs() < 0.01);
    let told = format!("eased to {:.1}/s: app throttled in this tenant", budget.rate());
    assert_eq!(budget.eased(), Some(told));
    sleep(SECOND * 120).await;
    assert_eq!(budget.rate(), full);
    assert_eq!(budget.eased(), None);
}

#[tokio::test(start_paused = true)]
async fn after_a_stop_one_request_goes_alone_and_the_rest_without_a_burst() {
    let budget = Budget::new("writes", GRAPH_WRITES);
    steady(&budget, SECOND * 10).await;
    budget.throttled(LATER, Some(SECOND * 30), ThrottleReason::Tenant);
    let permit = budget.take(Priority::New).await;
    let second = time::timeout(SECOND * 4, budget.take(Priority::New)).await;
    assert!(second.is_err(), "only one request probes");
    budget.taken(permit);
    let begun = Instant::now();
    let mut permits = 0;
    while timeout_at(begun + SECOND, budget.take(Priority::New)).await.is_ok() {
        permits += 1;
    }
    assert!((17..=20).contains(&permits), "{permits}");
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_never_reports_is_followed_by_another() {
    let budget = Budget::new("writes", GRAPH_WRITES);
    budget.throttled(LATER, Some(SECOND), ThrottleReason::Tenant);
    budget.take(Priority::New).await;
    let begun = Instant::now();
    budget.take(Priority::New).await;
    assert_eq!(begun.elapsed(), SECOND * 5);
}

/// As the limit of risky users is told: a bucket of one is full after each request.
#[tokio::test(start_paused = true)]
async fn one_a_second_is_used_though_each_reply_says_that_the_limit_is_reached() {
    let budget = Budget::new("identity protection", Quota::new(1, SECOND));
    let until = Instant::now() + SECOND * 100;
    let mut permits = 0;
    while let Ok(permit) = timeout_at(until, budget.take(Priority::New)).await {
        sleep(Duration::from_millis(100)).await;
        budget.taken(permit);
        budget.usage(Some(1.0));
        permits += 1;
    }
    assert!(permits >= 95, "{permits}");
}

#[tokio::test(start_paused = true)]
async fn a_rising_usage_slows_and_a_falling_one_frees() {
    let budget = Budget::new("writes", GRAPH_WRITES);
    let full = budget.full_rate();
    for hundredths in 80..=88 {
        sleep(SECOND).await;
        budget.usage(Some(f64::from(hundredths) / 100.0));
    }
    assert!(budget.rate() < full * 0.3, "{}", budget.rate());
    let told = format!("eased to {:.1}/s: a limit of the service is nearly used up", budget.rate());
    assert_eq!(budget.eased(), Some(told));
    for _ in 0..20 {
        sleep(SECOND).await;
        budget.usage(None);
    }
    assert_eq!(budget.rate(), full);
}

#[tokio::test(start_paused = true)]
async fn a_new_pace_does_not_slow_what_is_free_any_more() {
    let budget = Budget::new("writes", Quota::new(2_000, SECOND * 100));
    let full = budget.full_rate();
    steady(&budget, SECOND * 100).await;
    for _ in 0..8 {
        budget.throttled(LATER, Some(SECOND * 10), ThrottleReason::Tenant);
        let permit = budget.take(Priority::New).await;
        budget.taken(permit);
    }
    let free = budget.rate();
    assert!(free < full / 2.0, "{free} of {full}");
    budget.set_quota(Quota::new(1_000, SECOND * 100));
    assert!((budget.rate() / free - 1.0).abs() < 0.05, "{}", budget.rate());
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_down_gets_single_requests() {
    let budget = Budget::new("reads", Quota::new(3500, SECOND * 10));
    sleep(SECOND * 10).await;
    let begun = Instant::now();
    for _ in 0..5 {
        budget.unavailable(Trouble::NoAnswer);
    }
    assert_eq!(budget.trouble_since(), Some(begun));
    assert_eq!(budget.pause().unwrap().reason, PauseReason::NoAnswer);
    budget.take(Priority::New).await;
    assert_eq!(begun.elapsed(), SECOND);
    let second = time::timeout(SECOND * 20, budget.take(Priority::New)).await;
    assert!(second.is_err(), "only one request probes");

    budget.answered();
    assert_eq!(budget.trouble_since(), None);
    let before = Instant::now();
    budget.take(Priority::New).await;
    assert_eq!(before.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_answer_frees_those_who_wait_for_a_probe() {
    let budget = Budget::new("reads", Quota::new(3500, SECOND * 10));
    sleep(SECOND * 10).await;
    for _ in 0..5 {
        budget.unavailable(Trouble::ServerError { retry_after: Some(SECOND * 300) });
    }
    let waiting = tokio::spawn({
        let budget = Arc::clone(&budget);
        async move { budget.take(Priority::New).await }
    });
    tokio::task::yield_now().await;
    budget.answered();
    time::timeout(SECOND, waiting).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_new_quota_counts_at_once_for_those_who_wait() {
    let budget = Budget::new("writes", Quota::new(1, SECOND * 3600));
    let waiting = tokio::spawn({
        let budget = Arc::clone(&budget);
        async move { budget.take(Priority::New).await }
    });
    tokio::task::yield_now().await;
    assert_eq!(budget.pause().map(|pause| pause.reason), Some(PauseReason::BudgetUsedUp));
    budget.set_quota(Quota::new(12, SECOND));
    time::timeout(SECOND, waiting).await.unwrap().unwrap();
    assert!((budget.rate() - 11.8).abs() < 0.1);
}

#[test]
fn the_most_urgent_sorts_first() {
    let mut all = [Priority::New, Priority::Verify, Priority::Compensate, Priority::Started, Priority::Exposed];
    all.sort();
    assert_eq!(all, [Priority::Compensate, Priority::Exposed, Priority::Verify, Priority::Started, Priority::New]);
}
