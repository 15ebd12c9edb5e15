//! The law of replies 429, at exact moments.

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const FULL: f64 = 20.0;
const TENANT: ThrottleReason = ThrottleReason::Tenant;

/// A service, as the law sees it.
struct World {
    throttling: Throttling,
    now: Instant,
    permits: u64,
}

impl World {
    fn new() -> World {
        let now = Instant::now();
        World { throttling: Throttling::new(now), now, permits: 0 }
    }

    fn admit(&mut self) -> Permit {
        self.permits += 1;
        let permit = Permit(self.permits);
        self.throttling.admitted(self.now, permit);
        permit
    }

    /// So many requests a second are taken, for so many seconds.
    fn take(&mut self, per_s: u32, seconds: u32) {
        for _ in 0..per_s * seconds {
            self.now += SECOND / per_s;
            let permit = self.admit();
            self.throttling.taken(self.now, permit);
        }
    }

    fn refuse(&mut self, permit: Permit, wish: Option<Duration>) {
        self.throttling.throttled(self.now, permit, wish, TENANT, FULL);
    }

    fn refuse_one(&mut self, wish: Option<Duration>) {
        let permit = self.admit();
        self.refuse(permit, wish);
    }

    /// A request is refused without a word on whose limit it is.
    fn refuse_unnamed(&mut self, wish: Option<Duration>) {
        let permit = self.admit();
        let unnamed = ThrottleReason::Unstated;
        self.throttling.throttled(self.now, permit, wish, unnamed, FULL);
    }

    fn stop(&self) -> Option<Duration> {
        let pause = self.throttling.gate.pause(self.now)?;
        Some(pause.until - self.now)
    }

    fn pass_the_stop(&mut self) {
        self.now += self.stop().unwrap();
        assert_eq!(self.stop(), None);
    }

    fn share(&self) -> f64 {
        self.throttling.share(self.now)
    }
}

#[track_caller]
fn is_about(share: f64, wanted: f64) {
    assert!((share - wanted).abs() < 0.011, "{share}, not {wanted}");
}

#[test]
fn replies_in_flight_count_once_and_the_longest_wish_wins() {
    let mut world = World::new();
    world.take(20, 100);
    let in_flight = [2, 5, 3].map(|wish| (world.admit(), SECOND * wish));
    for (permit, wish) in in_flight {
        world.refuse(permit, Some(wish));
    }
    assert_eq!(
        world.throttling.gate.pause(world.now),
        Some(Pause { reason: PauseReason::RetryAfter(TENANT), until: world.now + SECOND * 5 })
    );
    is_about(world.share(), 0.97);
    world.pass_the_stop();
}

/// Also one that comes so late that the stop is over and the budget goes again.
#[test]
fn a_late_reply_to_an_old_request_is_no_new_event() {
    let mut world = World::new();
    world.take(20, 100);
    let late = world.admit();
    world.refuse_one(Some(SECOND));
    world.pass_the_stop();
    world.take(19, 10);
    let share = world.share();
    world.refuse(late, None);
    assert_eq!((world.stop(), world.share()), (None, share));
    world.refuse(late, Some(SECOND * 3));
    assert_eq!(world.stop(), Some(SECOND * 3), "a wish is heeded all the same");
    assert_eq!(world.share(), share);
}

#[test]
fn the_rate_goes_on_a_little_below_what_was_taken_the_stop_included() {
    let mut world = World::new();
    world.take(20, 100);
    world.refuse_one(Some(SECOND));
    is_about(world.share(), 0.97);
    world.pass_the_stop();
    // 112 in ten seconds, eight of which were work.
    world.take(14, 8);
    world.now += SECOND;
    world.refuse_one(Some(SECOND));
    is_about(world.share(), 0.97 * 112.0 / 10.0 / FULL);
}

#[test]
fn no_event_takes_more_than_half_and_none_takes_nothing() {
    let mut world = World::new();
    world.now += SECOND * 1_000;
    world.refuse_one(Some(SECOND));
    is_about(world.share(), 0.5);
    world.pass_the_stop();
    world.take(100, 10);
    world.refuse_one(Some(SECOND));
    is_about(world.share(), 0.5 * 0.97);
}

#[test]
fn a_brief_time_tells_little() {
    let mut world = World::new();
    world.take(20, 100);
    world.refuse_one(Some(SECOND));
    world.pass_the_stop();
    world.take(1, 1);
    world.refuse_one(Some(SECOND));
    is_about(world.share(), 0.97 * 0.8 * 0.97);
}

#[test]
fn the_rate_has_a_floor() {
    let mut world = World::new();
    for _ in 0..20 {
        world.now += SECOND * 5;
        world.refuse_one(Some(SECOND));
        world.pass_the_stop();
        world.take(1, 1);
    }
    is_about(world.share(), SHARE_MIN);
}

#[test]
fn it_stays_for_half_a_minute_and_is_back_after_two() {
    let mut world = World::new();
    world.now += SECOND * 1_000;
    world.refuse_one(Some(SECOND));
    let shares = [0, 30, 60, 90, 119, 120].map(|seconds| {
        let at = world.now + SECOND * seconds;
        (world.throttling.share(at) * 1_000.0).round() / 1_000.0
    });
    assert_eq!(shares, [0.5, 0.508, 0.563, 0.711, 0.988, 1.0]);
}

#[test]
fn a_busy_service_is_forgiven_sooner() {
    let mut world = World::new();
    world.now += SECOND * 1_000;
    let busy = ThrottleReason::ServiceBusy;
    while world.stop().is_none() {
        let permit = world.admit();
        world.throttling.throttled(world.now, permit, Some(SECOND), busy, FULL);
    }
    let share = |seconds| world.throttling.share(world.now + SECOND * seconds);
    assert!(share(0) == 0.5 && share(29) < 1.0 && share(30) == 1.0);
}

#[test]
fn a_stop_soon_after_another_lasts_two_seconds_at_least() {
    let mut world = World::new();
    world.refuse_one(Some(SECOND));
    assert_eq!(world.stop(), Some(SECOND));
    world.pass_the_stop();
    world.take(10, 59);
    world.refuse_one(Some(SECOND));
    assert_eq!(world.stop(), Some(SECOND * 2));
    world.pass_the_stop();
    world.take(10, 61);
    world.refuse_one(Some(SECOND));
    assert_eq!(world.stop(), Some(SECOND));
}

#[test]
fn one_request_goes_alone_after_a_stop_and_stops_grow_while_it_is_refused() {
    let mut world = World::new();
    world.refuse_one(Some(SECOND));
    let mut stops = Vec::new();
    for _ in 0..4 {
        world.pass_the_stop();
        let probe = world.admit();
        assert!(world.stop().is_some(), "no other follows it");
        let share = world.share();
        world.refuse(probe, Some(SECOND));
        is_about(world.share(), share);
        stops.push(world.stop().unwrap().as_secs());
    }
    assert_eq!(stops, [1, 2, 4, 8]);
    world.pass_the_stop();
    let probe = world.admit();
    assert!(world.throttling.taken(world.now, probe));
    assert_eq!(world.stop(), None);
}

/// An answer to a request of before says nothing about the time after the stop.
#[test]
fn only_the_probe_ends_a_stop() {
    let mut world = World::new();
    let before = world.admit();
    world.refuse_one(Some(SECOND));
    world.pass_the_stop();
    world.admit();
    assert!(!world.throttling.taken(world.now, before));
    assert!(world.stop().is_some());
}

#[test]
fn without_a_wish_the_stops_grow() {
    let mut world = World::new();
    let mut stops = Vec::new();
    for _ in 0..9 {
        world.refuse_one(None);
        stops.push(world.stop().unwrap().as_secs());
        world.pass_the_stop();
    }
    assert_eq!(stops, [1, 2, 4, 8, 16, 32, 64, 120, 120]);
}

#[test]
fn absurd_wishes_are_bounded() {
    for (wish, stop) in [(Duration::ZERO, STOP_MIN), (Duration::MAX, STOP_MAX)] {
        let mut world = World::new();
        world.refuse_one(Some(wish));
        assert_eq!(world.stop(), Some(stop));
    }
}

#[test]
fn a_lone_refusal_that_names_no_limit_is_its_rows_alone() {
    let unnamed = ThrottleReason::Unstated;
    let mut world = World::new();
    for wish in [None, Some(Duration::ZERO), Some(SECOND * 9)] {
        world.take(20, 10);
        world.refuse_unnamed(wish);
        assert_eq!((world.stop(), world.share()), (None, 1.0));
    }
    let least = Duration::from_millis(500);
    assert_eq!(row_wait(None, unnamed), least);
    assert_eq!(row_wait(Some(Duration::ZERO), unnamed), least);
    assert_eq!(row_wait(Some(SECOND * 9), unnamed), SECOND * 9);
    assert_eq!(row_wait(Some(SECOND), TENANT), Duration::ZERO);
}

#[test]
fn a_pause_that_is_declared_is_kept_by_all() {
    let mut world = World::new();
    world.take(20, 10);
    world.refuse_unnamed(Some(SECOND * 10));
    assert_eq!(world.stop(), Some(SECOND * 10));
    assert_eq!(row_wait(Some(SECOND * 10), ThrottleReason::Unstated), Duration::ZERO);
}

#[test]
fn too_many_refusals_are_an_event_whatever_they_name() {
    let mut world = World::new();
    world.take(20, 100);
    let mut refused = 0;
    while world.stop().is_none() {
        world.now += SECOND / 20;
        let permit = world.admit();
        world.throttling.taken(world.now, permit);
        world.refuse_unnamed(Some(SECOND));
        refused += 1;
        assert!(refused < 10, "half of all are refused, and nothing happens");
    }
    assert_eq!(world.stop(), Some(SECOND));
    is_about(world.share(), 0.97);
    world.pass_the_stop();
    world.take(20, 1);
    world.refuse_unnamed(None);
    assert_eq!(world.stop(), None, "counted anew after the stop");
}

#[test]
fn a_probe_that_is_refused_by_chance_is_followed_by_another_within_a_second() {
    let mut world = World::new();
    world.refuse_one(Some(SECOND * 5));
    let mut stops = Vec::new();
    for _ in 0..4 {
        world.pass_the_stop();
        world.refuse_unnamed(Some(SECOND * 5));
        stops.push(world.stop().unwrap().as_secs());
    }
    assert_eq!(stops, [1, 5, 5, 5]);
}
