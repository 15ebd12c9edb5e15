//! The journal by itself: committed transitions a second beside a bare append + `fdatasync` loop on the same disk, bytes a
//! transition, and how long and in how much memory a journal of a million rows opens, after a clean end and after a kill.
//!
//! Transitions are those of the shipped job for a person in a managed domain (two writes), through the real session. The
//! bare loop appends as many bytes as the log took, one barrier for so many records as are in flight. Both take turns, so
//! that whatever else the machine does slows both. A process that opens, or is killed, is this program again. Reads `/proc`,
//! so memory is told on Linux. `CUTOVER_BENCH_ROWS=20000 CUTOVER_BENCH_ROUNDS=1 cargo bench --bench journal` is over soon;
//! the journal lies below `TMPDIR`, which should be a real disk.

use cutover::batch::Digest;
use cutover::job::{Decision, Job, StepId};
use cutover::journal::{
    Facts, Holder, InputFacts, InputRow, Journal, RowNumber, RowRecord, RunHeader, RunId, Session, Stop, Transition,
};
use cutover::machine::{Attempt, Event, Forecast, Look, Observation, Rules};
use cutover::runner::start::rules_of;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Anyhow<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const IN_FLIGHT: [usize; 4] = [1, 16, 64, 256];

/// How long one side of one round works.
const TURN: Duration = Duration::from_millis(300);

/// How long the process that is killed works: a moment less than the checkpoint takes from one flush to the next, so that
/// it lacks as much as it ever does.
const WORK: Duration = Duration::from_millis(4_900);

/// Transitions of one row; each is committed.
const TRANSITIONS: u64 = 4;

fn main() -> Anyhow<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [mode, dir] if mode == "open" => open_and_tell(Path::new(dir)),
        [mode, dir] if mode == "work" => work_until_killed(Path::new(dir)),
        // What cargo passes to every benchmark.
        _ => measure(number("CUTOVER_BENCH_ROWS", 1_000_000), number("CUTOVER_BENCH_ROUNDS", 15)),
    }
}

fn number(variable: &str, default: u64) -> u64 {
    let given = std::env::var(variable).ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn measure(rows: u64, rounds: u64) -> Anyhow<()> {
    let place = tempfile::tempdir()?;
    let dir = place.path().join("journal");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let journal = Journal::open(&dir, &holder())?;
    let begun = Instant::now();
    let session = import(&runtime, &journal, place.path(), rows)?;
    println!("{rows} rows copied in {:.2} s", begun.elapsed().as_secs_f64());

    let work = Arc::new(Work::new(session, 1, rows));
    rates(&runtime, &work, place.path(), &log_of(&dir)?, rounds)?;
    let begun = Instant::now();
    work.turn(&runtime, 256, Until::Row(rows * 7 / 10))?;
    println!("and on to 70 % of the rows in {:.1} s", begun.elapsed().as_secs_f64());
    let work = Arc::into_inner(work).ok_or("a task still has the session")?;
    let stop = Stop::Requested("benchmark".into());
    runtime.block_on(work.session.close(now(), stop)).whole()?;
    drop(journal);
    openings(&dir, rounds)
}

/// Which rows are next, and where they are committed.
struct Work {
    session: Session,
    rules: Rules,
    next: AtomicU64,
    rows: u64,
    committed: AtomicU64,
}

#[derive(Clone, Copy)]
enum Until {
    Time(Duration),
    Row(u64),
}

impl Work {
    fn new(session: Session, first: u64, rows: u64) -> Work {
        Work {
            rules: session.header().rules.clone(),
            session,
            next: AtomicU64::new(first),
            rows,
            committed: AtomicU64::new(0),
        }
    }

    /// Works with so many rows in flight; answers the transitions committed a second.
    fn turn(self: &Arc<Self>, runtime: &Runtime, in_flight: usize, until: Until) -> Anyhow<f64> {
        let begun = Instant::now();
        let before = self.committed.load(Ordering::Relaxed);
        runtime.block_on(async {
            let mut tasks = tokio::task::JoinSet::new();
            for _ in 0..in_flight {
                let work = Arc::clone(self);
                tasks.spawn(async move {
                    while !work.is_over(begun, until) {
                        let row = work.next.fetch_add(1, Ordering::Relaxed);
                        work.row(RowNumber(row)).await?;
                    }
                    Anyhow::Ok(())
                });
            }
            while let Some(ended) = tasks.join_next().await {
                ended??;
            }
            Anyhow::Ok(())
        })?;
        let committed = self.committed.load(Ordering::Relaxed) - before;
        Ok(committed as f64 / begun.elapsed().as_secs_f64())
    }

    fn is_over(&self, begun: Instant, until: Until) -> bool {
        let next = self.next.load(Ordering::Relaxed);
        next > self.rows
            || match until {
                Until::Time(time) => begun.elapsed() >= time,
                Until::Row(row) => next > row,
            }
    }

    async fn row(&self, row: RowNumber) -> Anyhow<()> {
        let mut record = Arc::new(RowRecord::default());
        for (events, facts) in life(row.0) {
            let events = events.into_iter().map(|event| (now(), event)).collect();
            let transition = Transition { row, events, facts };
            Arc::make_mut(&mut record).apply(transition.clone(), &self.rules)?;
            self.session.commit(transition, &record).await?;
            self.committed.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// What happens to a person in a managed domain: read, cleared, set, verified.
fn life(row: u64) -> [(Vec<Event>, Facts); TRANSITIONS as usize] {
    let (clear, set) = (StepId(2), StepId(3));
    let attempt = |step| Attempt { step, number: 1 };
    let old = format!("\"AAAAAAAAAAAAAAAA{row:08}\"");
    let new = format!("\"5c0deAAAAAAAAAA{row:07}==\"");
    let seen = |decision| Event::Observed(Observation { decision, exposed: false });
    let applied = |attempt, look| {
        let exposed = false;
        Event::Applied(attempt, Forecast { look, exposed })
    };
    let facts =
        |reads| Facts { reads, request_id: Some(format!("5c0de000-0000-4000-9000-{row:012x}")), ..Facts::default() };
    let (first, second) = (attempt(clear), attempt(set));
    [
        (
            vec![Event::Admitted, seen(Decision::Next(clear))],
            Facts { before: Some(state(row, &old)), account: Some(object_id(row)), ..facts(1) },
        ),
        (
            vec![Event::Durable(first), applied(first, Look::Next(set))],
            Facts { expected: Some(state(row, "null")), ..facts(0) },
        ),
        (
            vec![Event::Durable(second), applied(second, Look::Rest)],
            Facts { expected: Some(state(row, &new)), ..facts(0) },
        ),
        (
            vec![seen(Decision::Goal)],
            Facts { report: Some(vec![object_id(row), upn(row), upn(row), old, new]), ..facts(1) },
        ),
    ]
}

fn state(row: u64, immutable_id: &str) -> String {
    let (id, upn) = (object_id(row), upn(row));
    format!(
        r#"{{"deleted":false,"id":"{id}","onPremisesImmutableId":{immutable_id},"onPremisesSyncEnabled":null,"userPrincipalName":"{upn}"}}"#
    )
}

/// In no order, as real ones are.
fn object_id(row: u64) -> String {
    let mixed = row.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    format!("{mixed:08x}-0000-4000-8000-{row:012x}")
}

fn upn(row: u64) -> String {
    format!("person{row:07}@fabrikam.com")
}

fn rates(runtime: &Runtime, work: &Arc<Work>, dir: &Path, log: &Path, rounds: u64) -> Anyhow<()> {
    let before = std::fs::metadata(log)?.len();
    work.turn(runtime, 64, Until::Time(TURN))?;
    let committed = work.committed.load(Ordering::Relaxed);
    let bytes = (std::fs::metadata(log)?.len() - before) / committed.max(1);
    println!("{bytes} bytes of log a transition, {} a row", bytes * TRANSITIONS);
    println!(
        "{:<10} {:>26} {:>26} {:>20}",
        "in flight", "bare /s (min-max)", "journal /s (min-max)", "ratio (min-max)"
    );
    for in_flight in IN_FLIGHT {
        let (mut bare, mut ours, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            let theirs = bare_loop(dir, bytes as usize * in_flight)? * in_flight as f64;
            let journal = work.turn(runtime, in_flight, Until::Time(TURN))?;
            bare.push(theirs);
            ours.push(journal);
            ratios.push(100.0 * journal / theirs);
        }
        println!("{in_flight:<10} {:>26} {:>26} {:>18} %", spread(&mut bare), spread(&mut ours), spread(&mut ratios));
    }
    Ok(())
}

/// Appends and barriers a second, as fast as the disk takes them.
fn bare_loop(dir: &Path, bytes: usize) -> Anyhow<f64> {
    let path = dir.join("bare");
    let mut file = File::create(&path)?;
    let group = vec![0x5a; bytes];
    let begun = Instant::now();
    let mut barriers = 0;
    while begun.elapsed() < TURN {
        file.write_all(&group)?;
        file.sync_data()?;
        barriers += 1;
    }
    let rate = f64::from(barriers) / begun.elapsed().as_secs_f64();
    drop(file);
    std::fs::remove_file(path)?;
    Ok(rate)
}

/// The median, the least and the most.
fn spread(values: &mut [f64]) -> String {
    values.sort_by(f64::total_cmp);
    let (Some(least), Some(most)) = (values.first(), values.last()) else {
        return "nothing".into();
    };
    format!("{:.0} ({least:.0}-{most:.0})", values[values.len() / 2])
}

fn openings(dir: &Path, rounds: u64) -> Anyhow<()> {
    for round in 1..=rounds.min(3) {
        println!("opened after a clean end, {round}: {}", told_by("open", dir)?);
    }
    for round in 1..=rounds.min(3) {
        let mut working = program("work", dir)?.stdout(Stdio::null()).spawn()?;
        std::thread::sleep(WORK);
        working.kill()?;
        working.wait()?;
        println!("opened after a kill, {round}: {}", told_by("open", dir)?);
    }
    Ok(())
}

fn program(mode: &str, dir: &Path) -> Anyhow<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(mode).arg(dir);
    Ok(command)
}

fn told_by(mode: &str, dir: &Path) -> Anyhow<String> {
    let output = program(mode, dir)?.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("`{mode}` ended with {}", output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}

fn open_and_tell(dir: &Path) -> Anyhow<()> {
    let begun = Instant::now();
    let journal = Journal::open(dir, &holder())?;
    let run = journal.find(None)?;
    println!(
        "{:.2} s, at most {} MB resident; {} of {} rows ended{}",
        begun.elapsed().as_secs_f64(),
        resident_max_mb(),
        run.counts.total(),
        run.rows,
        journal.set_aside().map_or(String::new(), |word| format!("; {word}")),
    );
    Ok(())
}

fn work_until_killed(dir: &Path) -> Anyhow<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let journal = Journal::open(dir, &holder())?;
    let run = journal.find(None)?;
    let _entered = runtime.enter();
    let session = journal.resume(&run)?;
    runtime.block_on(session.opened(now()))?;
    let work = Arc::new(Work::new(session, run.begun_max + 1, run.rows));
    work.turn(&runtime, 64, Until::Row(run.rows))?;
    // No rows are left; the kill is to come all the same.
    std::thread::sleep(WORK);
    Ok(())
}

fn import(runtime: &Runtime, journal: &Journal, dir: &Path, rows: u64) -> Anyhow<Session> {
    let job = cutover::job::find("immutable-id")?;
    let mut import = journal.begin(header(&job, dir)?)?;
    for row in 1..=rows {
        import.push(InputRow {
            number: RowNumber(row),
            line: row + 1,
            cells: vec![upn(row), object_id(row)],
            planned: None,
        })?;
    }
    let session = runtime.block_on(import.finish(now()))?;
    runtime.block_on(session.opened(now()))?;
    Ok(session)
}

fn header(job: &Job, dir: &Path) -> Anyhow<RunHeader> {
    let path = dir.join("people.csv");
    std::fs::write(&path, "upn,object_guid\n")?;
    let input = cutover::batch::open(&path, &job.layout)?;
    Ok(RunHeader {
        id: RunId(uuid::Uuid::now_v7()),
        program: env!("CARGO_PKG_VERSION").into(),
        job: job.name.clone(),
        job_source: job.source.to_string(),
        job_digest: job.digest.clone(),
        rules: rules_of(job),
        steps: job.steps.iter().map(|step| step.name.clone()).collect(),
        report_columns: job.report.iter().map(|(name, _)| name.clone()).collect(),
        params: BTreeMap::new(),
        input: InputFacts {
            path: path.display().to_string(),
            digest: Digest::of(b""),
            header: input.header,
            mapping: input.mapping,
            key_cell: 0,
        },
        target: "benchmark".into(),
        target_spec: "benchmark".into(),
        write_quota: "3000/150s".into(),
        operator: "benchmark".into(),
        started_at: now(),
        plan: None,
        adopts: None,
    })
}

fn holder() -> Holder {
    Holder {
        pid: std::process::id(),
        command: "benchmark".into(),
        run: None,
        since: jiff::Timestamp::now().to_string(),
        control: None,
    }
}

fn now() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default()
}

fn log_of(dir: &Path) -> Anyhow<PathBuf> {
    let mut logs = std::fs::read_dir(dir.join("runs"))?;
    Ok(logs.next().ok_or("the journal has no log")??.path())
}

fn resident_max_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kb = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kb.unwrap_or(0) / 1024
}
