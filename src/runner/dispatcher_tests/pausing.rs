//! Operators hold a run, let it go on, and change its pace.

use super::*;

/// What a script saw while nobody was under way and none could begin.
#[derive(Default)]
struct Still {
    ticks: u32,
    asked: usize,
}

/// Ticks with nobody under way after which a pause has been watched for long enough.
const STILL_TICKS: u32 = 40;

#[tokio::test(start_paused = true)]
async fn a_pause_leaves_nobody_exposed_and_sends_nothing_until_it_is_ended() {
    let world = World::new().await;
    let people = Arc::clone(&world.people);
    let still = Arc::new(Mutex::new(Still::default()));
    let seen = Arc::clone(&still);
    let end = world
        .work(IN_FLIGHT, Schedule::default(), move |event, sender| match event {
            RunEvent::Tick(snapshot) if snapshot.exposed >= 3 && seen.lock().unwrap().ticks == 0 => {
                drop(send(sender, Command::Pause("lunch".into())));
            }
            RunEvent::Tick(snapshot) if snapshot.in_flight == 0 => {
                let held = RunMode::Paused(AdmissionPause::Operator("lunch".into()));
                assert_eq!(snapshot.mode, held);
                assert_eq!((snapshot.exposed, people.away()), (0, 0));
                let mut still = seen.lock().unwrap();
                still.ticks += 1;
                if still.ticks == 1 {
                    still.asked = people.asked().len();
                }
                assert_eq!(people.asked().len(), still.asked, "nothing is sent while it is paused");
                if still.ticks == STILL_TICKS {
                    drop(send(sender, Command::Continue));
                }
            }
            _ => {}
        })
        .await;
    world.must_be_done(&end).await;
    let still = still.lock().unwrap();
    assert_eq!(still.ticks, STILL_TICKS);
    let asked = world.people.asked();
    let (before, after) = asked.split_at(still.asked);
    let parked: BTreeSet<String> = people_of(before).into_iter().filter(|upn| was_only_read(before, upn)).collect();
    assert!(!parked.is_empty(), "a pause that parks nobody proves nothing");
    let next = people_of(&after[..parked.len()]);
    assert_eq!(next, parked, "who was sent back comes first");
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_a_pause_at_once_when_nobody_is_under_way() {
    let world = World::new().await;
    let people = Arc::clone(&world.people);
    let mut drained = false;
    let end = world
        .work(IN_FLIGHT, Schedule::default(), move |event, sender| match event {
            RunEvent::Started { .. } => drop(send(sender, Command::Pause("lunch".into()))),
            RunEvent::Tick(_) if !drained => {
                drained = true;
                drop(send(sender, Command::Drain("enough".into())));
            }
            _ => {}
        })
        .await;
    assert_eq!(end.stopped, Some(StopKind::Requested.because("enough")));
    assert_eq!(people.away(), 0);
    assert_eq!(world.writes().len() % 3, 0, "whoever began was brought to the end");
    assert!((world.writes().len() as u64) < 3 * ROWS);
}

#[tokio::test(start_paused = true)]
async fn a_drain_is_for_good_and_a_command_that_makes_no_sense_is_refused() {
    let world = World::new().await;
    let answers = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&answers);
    let end = world
        .work(IN_FLIGHT, Schedule::default(), move |event, sender| {
            if let RunEvent::Started { .. } = event {
                let commands = [
                    Command::Continue,
                    Command::Pace("1001/s".parse().unwrap()),
                    Command::Pace("500/s".parse().unwrap()),
                    Command::Drain("enough".into()),
                    Command::Continue,
                    Command::Pause("lunch".into()),
                ];
                let sent = commands.map(|command| send(sender, command));
                kept.lock().unwrap().extend(sent);
            }
        })
        .await;
    assert_eq!(end.stopped, Some(StopKind::Requested.because("enough")));
    let mut answers = std::mem::take(&mut *answers.lock().unwrap());
    let answers: Vec<Answer> = answers.iter_mut().map(|answer| answer.try_recv().unwrap()).collect();
    let too_fast = Refused::TooFast { wanted: "1001/s".parse().unwrap(), allowed: "1000/s".parse().unwrap() };
    let stopping = || Err(Refused::Stopping("enough".into()));
    let expected = [Err(Refused::NotPaused), Err(too_fast), Ok(()), Ok(()), stopping(), stopping()];
    assert_eq!(answers, expected);
}

#[tokio::test(start_paused = true)]
async fn a_new_pace_is_the_budget_from_then_on_and_may_be_raised_again() {
    let world = World::new().await;
    let budgets = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&budgets);
    let end = world
        .work(IN_FLIGHT, Schedule::default(), move |event, sender| match event {
            RunEvent::Started { .. } => {
                drop(send(sender, Command::Pace("2/s".parse().unwrap())));
            }
            RunEvent::RowEnded { row, .. } if row.0 == 2 => {
                drop(send(sender, Command::Pace("1000/s".parse().unwrap())));
            }
            RunEvent::Tick(snapshot) => seen.lock().unwrap().push(snapshot.budget_per_s),
            _ => {}
        })
        .await;
    world.must_be_done(&end).await;
    let budgets = budgets.lock().unwrap();
    let slow = budgets.iter().filter(|budget| **budget <= 2.0).count();
    assert!(slow > 4 && budgets[budgets.len() - 1] > 900.0, "{budgets:?}");
}

/// A process that was cut off left people exposed. The next one may begin nobody, has room for one, and helps them all.
#[tokio::test(start_paused = true)]
async fn people_left_exposed_are_helped_while_nobody_else_may_begin() {
    for command in [Command::Pause("lunch".into()), Command::Drain("enough".into())] {
        let world = World::new().await;
        let people = Arc::clone(&world.people);
        let mut cut = false;
        world
            .work(IN_FLIGHT, Schedule::default(), move |event, sender| {
                if matches!(event, RunEvent::Tick(_)) && !cut && people.away() > 2 {
                    cut = true;
                    drop(send(sender, Command::StopNow("cut off".into())));
                }
            })
            .await;
        assert!(world.people.away() > 1, "a cut that leaves nobody exposed proves nothing");
        let begun = people_of(&world.people.asked());
        let first = command.clone();
        world
            .work(1, Schedule::default(), move |event, sender| match event {
                RunEvent::Started { .. } => drop(send(sender, first.clone())),
                RunEvent::Tick(snapshot) if snapshot.in_flight == 0 => {
                    drop(send(sender, Command::Drain("enough".into())));
                }
                _ => {}
            })
            .await;
        assert_eq!(world.people.away(), 0, "{command:?}");
        assert_eq!(people_of(&world.people.asked()), begun, "and nobody new began");
    }
}
