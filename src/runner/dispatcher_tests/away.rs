//! For how long people cannot work, and how much of the budget is used meanwhile.

use super::*;

/// How long people are away where the budget is used up, and how much of it is used. Without a latency each row has its own.
struct Away {
    p99: Duration,
    used: f64,
}

async fn away(rows: u64, writes: &str, latency: Option<Duration>) -> Away {
    let twice = "[[step]]\nname = \"twice\"\ntitle = \"be marked again\"\nwhen = \"state.mark == true and is_away\"\n\
        patch = \"/users/{{ row.upn }}\"\nbody = { mark = \"twice\" }\n\
        undo.when = \"state.mark == 'twice'\"\nundo.patch = \"/users/{{ row.upn }}\"\nundo.body = { mark = false }\n";
    let back = "[[step]]\nname = \"back\"";
    let job = JOB.replace(back, &format!("{twice}{back}"));
    let world = World::with(&job, rows, writes).await;
    if let Some(latency) = latency {
        world.people.slow_down(Kind::Read, latency);
        world.people.slow_down(Kind::Write, latency);
    }
    let end = world.work(256, Schedule::default(), |_event, _sender| {}).await;
    assert!(end.stopped.is_none() && end.journal.is_none(), "{end:?}");
    let memory = &mut *world.people.0.lock().unwrap();
    memory.away_for.sort();
    let of = |share: usize| memory.away_for[(memory.away_for.len() - 1) * share / 100];
    let written = &memory.written;
    let least = 3 * latency.unwrap_or(Duration::from_millis(LATENCY_MS[3]));
    assert!(of(0) >= least, "{:?}", of(0));
    assert_eq!(written.len() as u64, 4 * rows);
    // Neither the start, when nothing was measured, nor the end, when nobody is left.
    let (from, to) = (written.len() * 4 / 10, written.len() * 9 / 10);
    let seconds = (written[to] - written[from]).as_secs_f64();
    let per_s = writes.parse::<Quota>().unwrap().per_second();
    let used = (to - from) as f64 / seconds / per_s;
    println!("{writes} {latency:?}: away {:?} {:?} {:?}, {used:.4} used", of(50), of(99), of(100));
    Away { p99: of(99), used }
}

/// Those who begin together wait for each other while they are away.
#[tokio::test(start_paused = true)]
async fn nobody_is_away_for_long_though_the_budget_is_used_up() {
    let even = Some(Duration::from_millis(200));
    // Of its own accord the slowest row takes 1,110 ms.
    for (latency, most_ms) in [(even, 1_200), (None, 1_600)] {
        let away = away(400, "3000/150s", latency).await;
        assert!(away.p99 <= Duration::from_millis(most_ms), "{latency:?}: {:?}", away.p99);
        assert!(away.used >= 0.98, "{latency:?}: {}", away.used);
    }
}

/// So many rows at this pace and latency; how much of the budget is used, and within how many milliseconds everybody is back.
const PACES: [(u64, &str, u64, f64, u64); 10] = [
    (200, "3000/150s", 0, 0.98, 300),
    (200, "3000/150s", 20, 0.98, 300),
    (250, "3000/150s", 2_000, 0.98, 7_000),
    (300, "9000/150s", 20, 0.98, 300),
    (300, "9000/150s", 200, 0.98, 1_000),
    (600, "9000/150s", 2_000, 0.98, 7_000),
    (20, "1/s", 0, 0.95, 3_200),
    (20, "1/s", 900, 0.95, 4_500),
    (40, "1/s", 2_000, 0.95, 7_000),
    (20, "30/m", 200, 0.98, 6_200),
];

#[tokio::test(start_paused = true)]
async fn places_for_those_away_cost_nothing_at_any_pace_and_latency() {
    for (rows, writes, latency_ms, least, most_ms) in PACES {
        let case = format!("{writes} {latency_ms} ms");
        let away = away(rows, writes, Some(Duration::from_millis(latency_ms))).await;
        assert!(away.used >= least, "{case}: {}", away.used);
        assert!(away.p99 <= Duration::from_millis(most_ms), "{case}: {:?}", away.p99);
    }
}
