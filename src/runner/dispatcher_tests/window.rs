//! The window and the deadline: when rows may begin, and when the run stops.

use super::*;

fn window(text: &str, now: UnixMillis) -> Schedule {
    let window = text.parse().unwrap();
    Schedule::new(Some(window), None, now, &jiff::tz::TimeZone::UTC).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_closed_window_admits_nobody_and_an_open_one_goes_on() {
    let world = World::new().await;
    let people = Arc::clone(&world.people);
    let clock = Arc::clone(&world.clock);
    let opens = NOON + 10 * 60_000;
    let end = world
        .work(IN_FLIGHT, window("12:10-15:00 UTC", NOON), move |event, _| {
            if let RunEvent::Tick(snapshot) = event
                && clock.now() < opens
            {
                assert!(
                    matches!(&snapshot.mode, RunMode::Paused(AdmissionPause::Window { until, .. }) if *until == opens)
                );
                assert_eq!(people.asked().len(), 0);
            }
        })
        .await;
    world.must_be_done(&end).await;
    assert!(world.clock.now() >= opens);
}

#[tokio::test(start_paused = true)]
async fn a_window_that_closes_brings_everybody_to_safety_and_the_next_goes_on() {
    let world = World::new().await;
    // At this pace the minute that the window is still open is too short.
    let people = Arc::clone(&world.people);
    let holds = Arc::new(Mutex::new(0));
    let seen = Arc::clone(&holds);
    let end = world
        .work(2, window("12:10-12:01 UTC", NOON), move |event, sender| match event {
            RunEvent::Started { .. } => drop(send(sender, Command::Pace("12/m".parse().unwrap()))),
            RunEvent::Paused(_) => *seen.lock().unwrap() += 1,
            RunEvent::GoingOn => {
                assert_eq!(people.away(), 0);
                drop(send(sender, Command::Pace("1000/s".parse().unwrap())));
            }
            _ => {}
        })
        .await;
    world.must_be_done(&end).await;
    assert_eq!(*holds.lock().unwrap(), 1);
    let again = NOON + 10 * 60_000;
    assert!(world.clock.now() >= again, "it went on when it opened again");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_drains_and_stops_also_while_it_waits() {
    for concurrency in [1, IN_FLIGHT] {
        let world = World::new().await;
        let deadline = "2026-01-31T12:00:02Z".parse().unwrap();
        let schedule = Schedule::new(None, Some(&deadline), NOON, &jiff::tz::TimeZone::UTC).unwrap();
        let mut first = true;
        let end = world
            .work(concurrency, schedule, move |event, sender| {
                if let RunEvent::RowEnded { .. } = event
                    && std::mem::take(&mut first)
                {
                    drop(send(sender, Command::Pause("lunch".into())));
                }
            })
            .await;
        let why = "the deadline 2026-01-31T12:00:02Z has come".to_owned();
        assert_eq!(end.stopped, Some(StopKind::Requested.because(why)));
        assert_eq!(world.people.away(), 0);
    }
}
