//! A simulated tenant, served over real HTTP on loopback. It stands in for Microsoft Graph and its sign-in service
//! in tests, in rehearsals and in `--target sim`, and is as strict as the real thing where the real thing is known:
//! a client that sends what Graph would refuse is refused here.
//!
//! Inside, `store` keeps entities as JSON documents and `schema` is the table of entity sets; `odata` reads the query options,
//! `endpoints` is the table of addresses, and `rules` decides. A set that is only read needs its properties in `schema.toml`, a
//! row in `schema`, its rows and how one of them is found in `rules`, and its addresses in `endpoints`. `view` is what a client
//! may see and how late; `tenant` ties all to the memory on disk; `service` leads a request through tokens, throttling and
//! faults; `http` is the edge. Every decision comes from one seed (`chance`), and time is an argument (`clock`).
//!
//! It deliberately does not serve `$search` or `$orderby`, expands nothing but the holders of directory roles, knows no
//! groups but those that roles are given to, no licences, and never purges the recycle bin by itself. It imports nothing of
//! the rest of the program.

mod anchor;
mod assertion;
mod batch;
mod call;
mod chance;
mod clock;
mod control;
mod denial;
mod derive;
mod device;
mod direct;
mod document;
mod endpoints;
mod faults;
mod http;
mod limits;
mod login;
mod names;
mod odata;
mod operation;
mod permission;
mod population;
mod refusal;
mod replica;
mod reply;
mod rules;
mod schema;
mod service;
mod sign_in;
mod state_file;
mod store;
mod tenant;
mod throttle;
mod token;
mod upn;
mod user;
mod view;
mod write_log;

#[cfg(test)]
mod http_tests;
#[cfg(test)]
mod throttling_tests;

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt as _;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

// The words of the room.
use call::Call;
use chance::{Identity, Sequencer};
use clock::{SimClock, SimTime};
use denial::Denial;
use document::Document;
use endpoints::Route;
use odata::ODataQuery;
use operation::GraphOperation;
use refusal::GraphRefusal;
use reply::GraphReply;
use schema::{ApiVersion, EntitySet, Rows, USERS};
use service::{Access, SimService};
use state_file::StateLine;
use store::Slot;
use tenant::{PlannedWrite, Tenant};
use token::{TokenRights, TokenSubject};
use user::Collection;
use view::ReplicaView;

pub use direct::Direct;
pub use faults::Faults;
pub use limits::{RateQuota, ServiceLimits};
pub use permission::{GraphPermission, UnknownPermission};
pub use population::{Person, Population, write_csv};
pub use rules::domains::INITIAL_DOMAIN;
pub use rules::hard_match::NoHardMatch;
pub use sign_in::{AppSecret, Approval, IDENTITY_CLIENT_ID, IDENTITY_HEADER, SignIn};
pub use token::{CLIENT_ID, CLIENT_SECRET, SERVICE_PRINCIPAL_ID, TENANT_ID};

/// The environment variable in which the connection file looks for the secret.
pub const SECRET_VARIABLE: &str = "CUTOVER_SIM_SECRET";

/// Longest wait for open requests when the simulator stops: more than any latency worth simulating.
const STOP_MS_MAX: u64 = 5_000;

/// How a simulated tenant is to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The port on 127.0.0.1; 0 takes any free one.
    pub port: u16,
    /// The source of every decision.
    pub seed: u64,
    /// Who lives in the tenant.
    pub population: Population,
    /// A directory to remember changes in, across processes; without it they end with the simulator.
    pub state: Option<PathBuf>,
    /// Latency and troubles.
    pub faults: Faults,
    /// Throttling.
    pub limits: ServiceLimits,
    /// Writes a second that another app makes in the same tenant; they count against the tenant's limit only.
    pub other_app_writes_per_s: f64,
    /// How long reads may show what was before a write, in milliseconds; 0 makes every read fresh.
    pub replication_ms: u64,
    /// How long a token lives, in seconds.
    pub token_life_s: u64,
    /// What the app is granted in Graph; a device code's token has the same as scopes.
    pub permissions: BTreeSet<GraphPermission>,
    /// Whether the app's service principal holds the roles that let it act on administrators and clear on-premises
    /// identifiers: Privileged Authentication Administrator and Hybrid Identity Administrator. So does whoever signs in.
    pub app_has_admin_role: bool,
    /// The tenant's switch `blockCloudObjectTakeoverThroughHardMatchEnabled`: whether objects from on premises take no account of
    /// the cloud over.
    pub blocks_takeover: bool,
    /// How one may sign in.
    pub sign_in: SignIn,
    /// Whether `$batch` is served; otherwise it is an unknown segment.
    pub serves_batch: bool,
}

impl Default for Options {
    /// A thousand generated users, a pleasant latency, Microsoft's published limits, no troubles, no memory.
    fn default() -> Self {
        Self {
            port: 0,
            seed: 1,
            population: Population::Generated { users: 1_000 },
            state: None,
            faults: Faults::pleasant(),
            limits: ServiceLimits::default(),
            other_app_writes_per_s: 0.0,
            replication_ms: 0,
            // Entra's usual figure: an hour less a second.
            token_life_s: 3_599,
            permissions: GraphPermission::of_shipped_jobs(),
            app_has_admin_role: false,
            blocks_takeover: false,
            sign_in: SignIn::default(),
            serves_batch: true,
        }
    }
}

/// Why a simulated tenant cannot start.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum SimError {
    /// The address is taken or forbidden.
    #[error("the simulated tenant cannot listen on {0}")]
    #[diagnostic(code(sim::listen), help("choose another port, or 0 for any free one"))]
    Listen(SocketAddr, #[source] io::Error),
    /// The probabilities of the faults are none, or add up to more than 1.
    #[error("the probabilities of the simulated faults must each be from 0 to 1, and their sum at most 1")]
    #[diagnostic(code(sim::faults), help("lower some of them"))]
    Faults,
    /// The state directory, or its file, cannot be read or written.
    #[error("the simulated tenant's state in `{path}` cannot be read or written", path = .0.display())]
    #[diagnostic(code(sim::state), help("check that the directory is writable and the disk is not full"))]
    State(PathBuf, #[source] io::Error),
    /// Another simulator uses the directory.
    #[error("the simulated tenant's state in `{path}` is in use by another process", path = .0.display())]
    #[diagnostic(code(sim::state_in_use), help("stop the other simulator, or choose another directory"))]
    StateInUse(PathBuf),
    /// The file belongs to a tenant with another seed or other people.
    #[error("`{path}` holds the state of another simulated tenant", path = .0.display())]
    #[diagnostic(
        code(sim::other_tenant),
        help("use the seed and the people it was made with, or choose another directory")
    )]
    OtherTenant(PathBuf),
    /// A whole line of the file, counted from 1, is not understood.
    #[error("line {1} of the simulated tenant's state `{path}` cannot be understood", path = .0.display())]
    #[diagnostic(code(sim::state_unreadable), help("delete the directory to begin with a fresh tenant"))]
    StateUnreadable(PathBuf, u64, #[source] serde_json::Error),
    /// The task that builds the tenant ended early.
    #[error("the simulated tenant could not be built")]
    #[diagnostic(code(sim::build), help("this is a fault of the program; please report it"))]
    Build(#[source] tokio::task::JoinError),
}

/// A running simulated tenant. It stops when it is dropped; [`Simulator::stop`] also waits for open requests.
#[derive(Debug)]
pub struct Simulator {
    address: SocketAddr,
    service: Arc<SimService>,
    stop: oneshot::Sender<()>,
    server: JoinHandle<io::Result<()>>,
}

impl Simulator {
    /// Builds the tenant and begins to serve it on 127.0.0.1.
    ///
    /// # Errors
    /// When the faults are impossible, the state directory is unusable or another tenant's, or the port is taken.
    pub async fn start(options: Options) -> Result<Self, SimError> {
        let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
        let listen = |source| SimError::Listen(wanted, source);
        let listener = TcpListener::bind(wanted).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        // A million users take a while to make, which must not stop the runtime's other tasks.
        let building = tokio::task::spawn_blocking(move || {
            let clock = SimClock::start();
            let now = clock.now();
            build(options, root(address), clock, now)
        });
        let service = building.await.map_err(SimError::Build)??;
        let service = Arc::new(service);
        let listener = listener.tap_io(|stream| {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "replies on a connection may be slow: TCP_NODELAY could not be set");
            }
        });
        let (stop, stopped) = oneshot::channel();
        let serving = axum::serve(listener, http::router(Arc::clone(&service))).with_graceful_shutdown(async {
            // A dropped simulator ends the same way as one that is stopped.
            let _either_way = stopped.await;
        });
        Ok(Self { address, service, stop, server: tokio::spawn(serving.into_future()) })
    }

    /// The server's root, for Graph and for signing in: `http://127.0.0.1:port`.
    #[must_use]
    pub fn url(&self) -> String {
        root(self.address)
    }

    /// A connection file, in TOML, that leads to this tenant.
    #[must_use]
    pub fn connection_file(&self) -> String {
        let url = self.url();
        format!(
            "[graph]\n\
             tenant = \"{INITIAL_DOMAIN}\"\n\
             cloud = \"global\"\n\
             client_id = \"{CLIENT_ID}\"\n\
             auth = \"client-secret\"\n\
             client_secret = {{ env = \"{SECRET_VARIABLE}\" }}\n\
             endpoint = \"{url}\"\n\
             login = \"{url}\"\n"
        )
    }

    /// Changes how one may sign in from now on, as an operator does in the middle of the night.
    pub fn change_sign_in(&self, change: impl FnOnce(&mut SignIn)) {
        change(&mut self.service.access.lock().sign_in);
    }

    /// Changes latency and troubles from the next request on.
    pub fn change_faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.service.faults.lock());
    }

    /// Changes what the app is granted. As in Entra, only tokens that are given out from now on tell of it.
    pub fn change_permissions(&self, change: impl FnOnce(&mut BTreeSet<GraphPermission>)) {
        change(&mut self.service.access.lock().permissions);
    }

    /// Does what Entra Connect would do with an object of this anchor that newly arrives from an on-premises directory: the
    /// user with this ImmutableID is taken over and synchronized from then on. Gives that user's id.
    ///
    /// # Errors
    /// When Entra would refuse that, or finds nobody.
    pub fn hard_match(&self, anchor: &str) -> Result<String, NoHardMatch> {
        self.service.hard_match(anchor, self.service.clock.now())
    }

    /// Ends the life of every token that was given out.
    pub fn end_tokens(&self) {
        self.service.access.lock().tokens.end_all(self.service.clock.now());
    }

    /// Takes no more requests, waits for the open ones for some seconds at most, and ends.
    pub async fn stop(self) {
        let Self { stop, mut server, .. } = self;
        drop(stop);
        if tokio::time::timeout(Duration::from_millis(STOP_MS_MAX), &mut server).await.is_err() {
            server.abort();
        }
    }
}

fn root(address: SocketAddr) -> String {
    format!("http://{address}")
}

/// The tenant as it is at `now`; what lies in its people's past is told from there.
fn build(options: Options, root: String, clock: SimClock, now: SimTime) -> Result<SimService, SimError> {
    if !options.faults.are_possible() {
        return Err(SimError::Faults);
    }
    let access = Access {
        sign_in: options.sign_in.clone(),
        permissions: options.permissions.clone(),
        tokens: token::TokensIssued::new(options.token_life_s),
        devices: device::Devices::default(),
    };
    let throttle = throttle::Throttle::new(&options.limits, options.population.len(), options.other_app_writes_per_s);
    Ok(SimService {
        root,
        clock,
        sequencer: Sequencer::new(options.seed),
        tenant: Mutex::new(Tenant::open(&options, now)?),
        throttle: Mutex::new(throttle),
        access: Mutex::new(access),
        started_at: now,
        faults: Mutex::new(options.faults),
        options,
        counters: service::Counters::default(),
    })
}
