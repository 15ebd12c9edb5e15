//! From `--target` to something that takes requests: a connection file, or the simulated tenant inside the process.

use super::{Exit, Failure};
use crate::batch::Layout;
use crate::job::{AppFacts, Job};
use crate::progress::warn;
use crate::runner::directory::DirectoryBatcher;
use crate::runner::{Clock, Gauges, Services, SystemClock};
use crate::services::budget::Budget;
use crate::services::{
    ActiveDirectory, AdConnection, Claims, Class, Connection, Fault, Graph, GraphConnection, GraphLimits,
    HttpTransport, Patience, Registry,
};
use crate::sim::{Options, Person, Population, SECRET_VARIABLE, Simulator};
use crate::values::{CellKind, ImmutableId, ObjectGuid};
use parking_lot::Mutex;
use reqwest::Url;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// How often the sign-in is tried while it is not answered. The service itself is asked ever more rarely.
const TRY_EVERY: Duration = Duration::from_secs(1);

/// How often it is looked whether a person has signed in. The service is asked no more often than it wants to be.
const PERSON_POLL: Duration = Duration::from_millis(250);

/// What stands for the simulated tenant.
pub(super) const SIM: &str = "sim";

/// A target that was named and read, and not yet talked to.
pub(super) struct Target {
    /// What the journal keeps to name it again: the connection file's path, absolute where that could be had, or [`SIM`].
    pub spec: String,
    /// None for the simulated tenant inside the process, which has an address only once it has started.
    pub connection: Option<Box<Connection>>,
}

/// What the simulated tenant needs to know.
pub(super) struct Cast {
    /// Who lives there.
    pub people: Vec<Person>,
    /// Where it remembers; None forgets.
    pub state: Option<PathBuf>,
}

/// A target that can be talked to.
pub(super) struct Connected {
    pub services: Arc<Services>,
    /// The tenant as the connection names it: its domain or id.
    pub tenant: String,
    /// The root of its Graph.
    pub endpoint: String,
    /// Who signs in.
    pub app: String,
    simulator: Option<Simulator>,
}

/// What a sign-in hangs on at present, for whoever waits for it. None while it hangs on nothing, or on a person who was told so.
pub(super) type Hitch = Mutex<Option<String>>;

impl Connected {
    /// Ends what was started for it.
    pub async fn close(self) {
        if let Some(simulator) = self.simulator {
            simulator.stop().await;
        }
    }
}

impl Target {
    /// Reads what `--target` names.
    ///
    /// # Errors
    /// It is missing, or the file has mistakes.
    pub fn named(spec: Option<&str>) -> Result<Target, Failure> {
        let none = || {
            let help = "write `--target FILE` with a connection file, or `--target sim` for the simulated tenant";
            Failure::usage("no-target", "no target was named", help)
        };
        let spec = spec.ok_or_else(none)?;
        let path = Path::new(spec);
        if spec == SIM || (spec.eq_ignore_ascii_case(SIM) && !path.exists()) {
            return Ok(Target { spec: SIM.to_owned(), connection: None });
        }
        let connection = Connection::load(path)?;
        let absolute = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        Ok(Target { spec: absolute.display().to_string(), connection: Some(Box::new(connection)) })
    }

    /// Which tenant it is.
    pub fn identity(&self) -> String {
        let simulated = || "simulated tenant".to_owned();
        self.connection.as_ref().map_or_else(simulated, |connection| connection.identity())
    }

    /// The same for people, with everything that tells one address from another.
    pub fn address(&self) -> String {
        let address = |graph: &GraphConnection| format!("{} ({})", graph.tenant, root(&graph.endpoint));
        self.graph().map_or_else(|| "the simulated tenant".to_owned(), address)
    }

    /// How long it may answer nothing.
    pub fn patience(&self) -> Duration {
        self.graph().map_or(Patience::USUAL, |graph| graph.patience).silence
    }

    /// The budget of writes.
    pub fn write_quota(&self) -> String {
        self.graph().map_or(GraphLimits::GRAPH.writes, |graph| graph.limits.writes).to_string()
    }

    fn graph(&self) -> Option<&GraphConnection> {
        self.connection.as_ref().map(|connection| &connection.graph)
    }

    /// Signs in, to the on-premises directory only if the job asks it. `run` names the requests; `cast` is who plays in the
    /// simulated tenant. Tries for as long as it is let; `hitch` says what it hangs on.
    ///
    /// # Errors
    /// The sign-in is refused, or the simulated tenant cannot start.
    pub async fn connect(self, run: Uuid, job: &Job, cast: Cast, hitch: &Hitch) -> Result<Connected, Failure> {
        *hitch.lock() = Some("no reply yet".to_owned());
        let reached = self.reach(cast).await?;
        let claims = loop {
            match reached.sign_in(hitch).await {
                Ok(claims) => break claims,
                // A sign-in that is refused is a mistake in the connection file.
                Err(fault) if fault.class == Class::SignIn => return Err(refused(&fault)),
                Err(fault) => *hitch.lock() = Some(fault.brief().to_owned()),
            }
            tokio::time::sleep(TRY_EVERY).await;
        };
        let connection = &reached.connection;
        let directory = match &connection.ad {
            Some(ad) if job.directory.is_some() => {
                *hitch.lock() = Some("no reply from the directory yet".to_owned());
                Some(directory(ad.clone(), connection.graph.patience.silence).await?)
            }
            Some(_) | None => None,
        };
        Ok(reached.connected(run, claims.as_ref(), directory))
    }

    /// Prepares everything that is needed to ask; nothing is sent.
    ///
    /// # Errors
    /// The client cannot be set up, or the simulated tenant cannot start.
    pub async fn reach(self, cast: Cast) -> Result<Reached, Failure> {
        let (connection, simulator) = match self.connection {
            Some(connection) => (*connection, None),
            None => {
                let population = Population::People(cast.people);
                let options = Options { population, state: cast.state, ..Options::default() };
                let simulator = Simulator::start(options).await?;
                (connection_to(&simulator)?, Some(simulator))
            }
        };
        let transport = HttpTransport::new(&connection)?;
        Ok(Reached { connection, transport, simulator })
    }
}

/// A target that nobody has signed in to yet.
pub(super) struct Reached {
    pub connection: Connection,
    transport: HttpTransport,
    simulator: Option<Simulator>,
}

impl Reached {
    /// Signs in. Where a person has to, this asks, and waits as long as the code is good. Answers what the token says.
    ///
    /// # Errors
    /// [`Fault`], of the class `SignIn` where the connection file must be mended.
    pub async fn sign_in(&self, hitch: &Hitch) -> Result<Option<Claims>, Fault> {
        let mut shown = String::new();
        loop {
            match self.transport.sign_in().await {
                Err(fault) if fault.awaits_person() => {
                    if shown != fault.message {
                        warn(format_args!("to sign in, {}", fault.message));
                        shown = fault.message;
                    }
                    *hitch.lock() = None;
                    tokio::time::sleep(PERSON_POLL).await;
                }
                // An answer that is lost while a person signs in is asked for again, for as long as the code is good.
                Err(fault) if fault.class != Class::SignIn && !shown.is_empty() => {
                    *hitch.lock() = Some(fault.brief().to_owned());
                    tokio::time::sleep(PERSON_POLL).await;
                }
                answer => return answer,
            }
        }
    }

    /// What rows are worked on with.
    pub fn connected(self, run: Uuid, claims: Option<&Claims>, directory: Option<DirectoryBatcher>) -> Connected {
        let graph = self.connection.graph;
        let service = Graph::new(Arc::new(self.transport), &*graph.tenant, graph.limits, graph.patience);
        let app = claims.and_then(|claims| claims.app.as_deref());
        let app = app.unwrap_or(graph.auth.who()).to_owned();
        let services = Services {
            registry: Registry::of(Arc::new(service), Vec::new()),
            directory,
            app: AppFacts {
                permissions: claims.map(|claims| claims.permissions.clone()),
                roles: claims.map(|claims| claims.directory_roles.clone()),
                tenant: claims.and_then(|claims| claims.tenant.clone()),
            },
            clock: Arc::new(SystemClock),
            run,
            process_at: SystemClock.now(),
            gauges: Gauges::default(),
        };
        Connected {
            services: Arc::new(services),
            tenant: graph.tenant,
            endpoint: root(&graph.endpoint),
            app,
            simulator: self.simulator,
        }
    }
}

fn root(endpoint: &Url) -> String {
    endpoint.as_str().trim_end_matches('/').to_owned()
}

fn connection_to(simulator: &Simulator) -> Result<Connection, Failure> {
    let secret = |name: &str| (name == SECRET_VARIABLE).then(|| crate::sim::CLIENT_SECRET.to_owned());
    Connection::parse(Path::new(SIM), &simulator.connection_file(), &secret)
        .map_err(|error| Failure::new(Exit::Program, error))
}

/// As for the tenant: what has to be mended in the connection file is told now, a silence is waited for later.
async fn directory(ad: AdConnection, patience: Duration) -> Result<DirectoryBatcher, Failure> {
    let limits = ad.limits;
    let directory = ActiveDirectory::new(ad);
    if let Err(fault) = directory.check().await
        && fault.class == Class::SignIn
    {
        let help = format!("{}; nothing was sent to the tenant", fault.advice());
        return Err(Failure::usage("sign-in", format!("{} ({})", fault.message, fault.code), help));
    }
    let queries = Budget::new("directory", limits.queries);
    Ok(DirectoryBatcher::new(Arc::new(directory), queries, limits.at_once, patience))
}

fn refused(fault: &Fault) -> Failure {
    let message = format!("the sign-in is refused: {} ({})", fault.message, fault.code);
    Failure::usage("sign-in", message, format!("{}; nothing was sent", fault.advice()))
}

/// The person that a row is about, for the simulated tenant to have.
pub(super) fn person(layout: &Layout, values: &[Option<String>]) -> Option<Person> {
    let upn = values.get(layout.key)?.clone()?;
    let of_kind = |wanted: &[CellKind]| {
        let cells = layout.columns.iter().zip(values).enumerate();
        cells
            .filter(|(at, (column, _))| *at != layout.key && wanted.contains(&column.kind))
            .find_map(|(_, (column, value))| Some((column.kind, value.clone()?)))
    };
    let wanted_immutable_id = of_kind(&[CellKind::ImmutableId, CellKind::Guid]).map(|(kind, value)| match kind {
        CellKind::Guid => ObjectGuid::parse(&value).map_or(value, |guid| ImmutableId::from(guid).to_string()),
        CellKind::ImmutableId | CellKind::Upn | CellKind::Text => value,
    });
    Some(Person { upn, temp_upn: of_kind(&[CellKind::Upn]).map(|(_, value)| value), wanted_immutable_id })
}
