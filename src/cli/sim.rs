//! `cutover sim`: serve the simulated tenant for other programs.

use super::args::SimArgs;
use super::connect::{Cast, SIM, person};
use super::{Exit, Failure, Global};
use crate::batch::Digest;
use crate::job::Job;
use crate::journal::{JournalError, RunHeader, RunReader, RunRecord};
use crate::progress::{print_result, print_text};
use crate::sim::{
    GraphPermission, Options, Population, RateQuota, SECRET_VARIABLE, ServiceLimits, Simulator, write_csv,
};
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

/// Digits of the file's digest that name a tenant's folder.
const DIGEST_DIGITS: usize = 16;

pub(super) async fn main(args: &SimArgs) -> Result<Exit, Failure> {
    if let Some(path) = &args.csv {
        write_people(args, path)?;
    }
    let simulator = Simulator::start(options(args)).await?;
    print_result(format_args!("# simulated tenant at {}", simulator.url()));
    print_result(format_args!(
        "# save this as sim.toml, then: {SECRET_VARIABLE}={} cutover run … --target sim.toml",
        crate::sim::CLIENT_SECRET
    ));
    print_text(simulator.connection_file());
    tokio::signal::ctrl_c().await.map_err(|error| Failure::program(format!("signals cannot be heard: {error}")))?;
    simulator.stop().await;
    Ok(Exit::Good)
}

fn write_people(args: &SimArgs, path: &Path) -> Result<(), Failure> {
    let written = File::create(path).and_then(|file| write_csv(args.seed, args.users, &mut BufWriter::new(file)));
    written.map_err(|error| {
        let message = format!("`{}` cannot be written: {error}", path.display());
        Failure::usage("usage", message, "name another file")
    })
}

fn options(args: &SimArgs) -> Options {
    let mut permissions = GraphPermission::of_shipped_jobs();
    permissions.retain(|permission| !args.without.contains(permission));
    Options {
        port: args.port,
        seed: args.seed,
        population: Population::Generated { users: args.users },
        state: args.state.clone(),
        faults: args.faults,
        limits: limits(args),
        other_app_writes_per_s: args.other_app,
        replication_ms: args.replication,
        token_life_s: args.token_life,
        permissions,
        app_has_admin_role: args.admin_role,
        ..Options::default()
    }
}

fn limits(args: &SimArgs) -> ServiceLimits {
    let published = ServiceLimits::default();
    let tenant_writes = args.tenant_writes.map(|given| RateQuota {
        amount: given.count(),
        window_ms: u64::try_from(given.period().as_millis()).unwrap_or(u64::MAX),
    });
    match args.unlimited {
        true => ServiceLimits::off(),
        false => ServiceLimits { tenant_writes: tenant_writes.or(published.tenant_writes), ..published },
    }
}

/// Who plays in the simulated tenant of a run: the people of its rows.
///
/// # Errors
/// The journal cannot be read.
pub(super) fn cast_of(
    global: &Global,
    runs: &[RunRecord],
    header: &RunHeader,
    reader: &mut RunReader,
    job: &Job,
) -> Result<Cast, Failure> {
    if header.target_spec != SIM {
        return Ok(Cast { people: Vec::new(), state: None });
    }
    let mut people = Vec::new();
    reader.each::<JournalError>(|input, _| {
        let values = header.input.mapping.values(&job.layout, &input.cells);
        people.extend(person(&job.layout, &values));
        Ok(())
    })?;
    // The tenant was made from the file of the first run, if people were taken over from one run to the next.
    let adopted = |header: &&RunHeader| runs.iter().find(|run| Some(run.id()) == header.adopts).map(|run| &*run.header);
    let first = std::iter::successors(Some(header), adopted).last().unwrap_or(header);
    Ok(Cast { people, state: Some(state_dir(global, &first.input.digest)) })
}

/// Where the simulated tenant of a file keeps its state: in the journal, so that an interrupted demo continues with the same
/// tenant.
pub(super) fn state_dir(global: &Global, digest: &Digest) -> PathBuf {
    let name = digest.as_str().get(..DIGEST_DIGITS).unwrap_or_default();
    global.journal.join("sim").join(name)
}
