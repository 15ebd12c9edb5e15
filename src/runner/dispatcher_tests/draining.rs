//! A drain brings to safety whoever is away, waits for nobody else, and says what it waits for.

use super::*;

/// Simulated time: a read of ten minutes stands for a pause of the budget, a silent target, or a slow one.
#[tokio::test(start_paused = true)]
async fn a_drain_does_not_wait_for_reads_of_people_who_were_not_touched() {
    let world = World::new().await;
    world.people.slow_down(Kind::Read, Duration::from_secs(600));
    let begun = Instant::now();
    let end = world
        .work(IN_FLIGHT, Schedule::default(), |event, sender| {
            if matches!(event, RunEvent::Tick(snapshot) if snapshot.mode == RunMode::Running) {
                drop(send(sender, Command::Interrupt("SIGTERM received".into())));
            }
        })
        .await;
    assert_eq!(end.stopped, Some(StopKind::Requested.because("SIGTERM received")));
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(world.writes(), Vec::<String>::new());
}

/// What a script saw of a drain.
#[derive(Default)]
struct Words {
    at_stake: Option<u64>,
    still: Vec<u64>,
    abandoned: Option<u64>,
}

#[tokio::test(start_paused = true)]
async fn a_drain_says_what_it_waits_for_and_what_ends_when_it_is_cut_short() {
    let world = World::new().await;
    let people = Arc::clone(&world.people);
    let words = Arc::new(Mutex::new(Words::default()));
    let seen = Arc::clone(&words);
    let end = world
        .work(IN_FLIGHT, Schedule::default(), move |event, sender| {
            let mut words = seen.lock().unwrap();
            match event {
                RunEvent::Tick(snapshot) if snapshot.exposed >= 3 && snapshot.mode == RunMode::Running => {
                    people.slow_down(Kind::Write, Duration::from_secs(60));
                    drop(send(sender, Command::Interrupt("SIGINT received".into())));
                }
                RunEvent::Interrupted { at_stake, .. } => words.at_stake = Some(*at_stake),
                RunEvent::StillDraining { snapshot, .. } => {
                    words.still.push(snapshot.exposed);
                    if words.still.len() == 2 {
                        let stop = Command::StopNow("SIGINT received twice".into());
                        drop(send(sender, stop));
                    }
                }
                RunEvent::StoppingNow { reason, exposed } => {
                    assert_eq!(reason.text, "SIGINT received twice");
                    words.abandoned = Some(*exposed);
                }
                _ => {}
            }
        })
        .await;
    let reason = StopKind::Requested.because("SIGINT received twice");
    assert_eq!(end.stopped, Some(reason));
    let words = words.lock().unwrap();
    assert!(words.at_stake >= Some(3), "{:?}", words.at_stake);
    assert_eq!(words.still.len(), 2);
    let away = world.people.away() as u64;
    assert!(away > 0);
    assert!(words.abandoned >= Some(away), "{:?}", words.abandoned);
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_the_wait_for_a_place_and_those_who_waited_are_untouched() {
    let world = World::with(JOB, ROWS, "1/s").await;
    let people = Arc::clone(&world.people);
    let mut drained = false;
    let end = world
        .work(IN_FLIGHT, Schedule::default(), move |event, sender| {
            if matches!(event, RunEvent::Tick(_)) && people.away() > 0 && !drained {
                drained = true;
                drop(send(sender, Command::Drain("enough".into())));
            }
        })
        .await;
    assert!(end.stopped.is_some() && world.people.away() == 0, "{end:?}");
    let written: BTreeSet<String> = world.writes().into_iter().collect();
    assert_eq!((people_of(&world.people.asked()).len(), written.len()), (IN_FLIGHT, 1));
    let begun = || world.session.run().begun_max;
    let reader = world.session.reader().await.unwrap();
    for row in 1..=begun() {
        let record = reader.row(RowNumber(row)).unwrap();
        let writes = record.map_or(0, |record| record.attempts);
        assert!(writes == 0 || written.contains(&upn(row)), "row {row}");
    }
    let end = world.work(IN_FLIGHT, Schedule::default(), |_event, _sender| {}).await;
    world.must_be_done(&end).await;
}
