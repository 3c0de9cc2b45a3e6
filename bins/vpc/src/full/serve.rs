//! Starting a VPC, and ending it.

use std::{
    fs, io,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use ipnet::Ipv4Net;
use parking_lot::Mutex;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use underlay_fabric::{Fabric, FabricError, FabricNames, FabricStore, LoadedPrograms};
use underlay_types::{InstanceId, chain};

use super::{
    admin,
    claim::Claim,
    clean::{self, CleanError},
    driver::{Driver, Resumed},
    hosts::{OWNERS, Placed},
    link_local::{self, LinkLocalError},
    metadata::{self, MetadataError},
    namespaces::{NamespaceError, Namespaces},
    preflight::PreflightError,
    process,
    run_dir::{RunDir, RunDirError, RunId},
    vpc::{Follow, FullVpc},
    windows::{self, FlowLogs},
};
use crate::{
    control_plane::say_ready,
    imds::{self, MetadataServer},
    journal::JournalError,
    serve::{ApiServer, StateError},
};

/// How long a VPC may take to end by itself.
const STOP_PATIENCE: Duration = Duration::from_secs(15);

/// How a VPC is run.
#[derive(Debug, Clone)]
pub struct FullOptions {
    /// Where the API is served, in the caller's namespace.
    pub api: SocketAddr,
    /// The run's name.
    pub run: RunId,
    /// Who is asked for names that are not the VPC's.
    pub dns_upstream: Option<SocketAddr>,
    /// The length of a flow-log window.
    pub flow_log_window: Duration,
    /// What becomes of the run at SIGTERM and SIGINT.
    pub ending: Ending,
    /// Where flow logs are written; in the run's folder without it.
    pub flow_log_dir: Option<PathBuf>,
}

/// Why a VPC does not run.
#[derive(Debug, thiserror::Error)]
pub enum FullError {
    /// The fabric could not be made.
    #[error("make the packet fabric")]
    Fabric(#[from] FabricError),
    /// The resolver or the time service does not listen.
    #[error(transparent)]
    LinkLocal(#[from] LinkLocalError),
    /// The API's address or the admin socket cannot be listened on.
    #[error("listen on {place}")]
    Listen {
        /// The address or the socket.
        place: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The metadata service does not listen.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// The fabric's namespaces could not be recorded.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// Something is missing on this machine.
    #[error(transparent)]
    Preflight(#[from] PreflightError),
    /// Standard output or a signal handler does not work.
    #[error("{what}")]
    Process {
        /// What was tried.
        what: &'static str,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// What the run was cannot be read or kept.
    #[error(transparent)]
    State(#[from] StateError),
    /// What the run was cannot be kept.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The run's folder cannot be used.
    #[error(transparent)]
    RunDir(#[from] RunDirError),
    /// A run of this name is there, running or not.
    #[error("the run {0} exists; `underlay-vpc clean --run {0}` ends it and removes what it left")]
    Taken(RunId),
}

/// What becomes of a run when its process ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ending {
    /// All of it stays, and packets go on, until somebody starts it again.
    Leave,
    /// All of it is removed.
    #[default]
    Remove,
    /// It stays, and the caller is to start the program again in its place.
    Restart,
}

/// Runs a VPC until SIGTERM, SIGINT or word by the admin socket. Says what became of it: one that
/// ends with [`Ending::Remove`] is gone.
///
/// # Errors
/// When it cannot start. Nothing of a new run is left then, and everything of one that was gone on
/// with.
pub async fn serve(
    api: Arc<ApiServer>,
    claim: Claim,
    options: FullOptions,
) -> Result<Ending, FullError> {
    let Claim {
        run,
        state,
        programs,
        resumes,
    } = claim;
    let kept = Kept {
        run: run.clone(),
        journal: state.journal(),
        programs,
        resumes,
    };
    let outcome = start_and_wait(api, &options, kept).await;
    let removes = match &outcome {
        Ok(ending) => *ending == Ending::Remove,
        Err(_) => !resumes,
    };
    if removes {
        // What is recorded goes. Others may have recorded theirs in the folder.
        for error in tokio::task::block_in_place(|| clean::clean(&run)) {
            tracing::error!(error = chain(&error), "not removed");
        }
    }
    outcome
}

/// What a run keeps, and whether that is there already.
struct Kept {
    run: RunDir,
    journal: PathBuf,
    programs: LoadedPrograms,
    resumes: bool,
}

async fn start_and_wait(
    api: Arc<ApiServer>,
    options: &FullOptions,
    kept: Kept,
) -> Result<Ending, FullError> {
    let failed = |what| move |source| FullError::Process { what, source };
    let mut terminate = signal(SignalKind::terminate()).map_err(failed("handle SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed("handle SIGINT"))?;
    let journal = kept.journal.clone();
    let (listener, address) = listen(options.api, &kept.run)?;
    let (vpc, terminated, endpoints) = assemble(Arc::clone(&api), options, kept)?;
    let mut tasks = JoinSet::new();
    start(&mut tasks, &vpc, options, address, terminated)?;
    vpc.serve_again(&endpoints);
    let refused = |source| FullError::Listen {
        place: address.to_string(),
        source,
    };
    let listening = api.serve_on(listener, vpc.stop.clone()).map_err(refused)?;
    say_ready(address).map_err(failed("write to standard output"))?;
    tracing::info!(run = %vpc.run.id(), "the VPC is up");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = vpc.stop.cancelled() => {}
    }
    vpc.stop.cancel();
    listening.ended().await;
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a part of the VPC failed");
        }
    }
    let ending = vpc.ending.get().copied();
    let ending = ending.unwrap_or(options.ending);
    tokio::task::block_in_place(|| {
        drop(vpc.flush_flow_logs());
        if ending != Ending::Remove {
            // Without history, any later build can go on with the objects.
            return Ok(api.keep_journal(&journal)?);
        }
        for error in vpc.driver.lock().namespaces().remove_all() {
            tracing::error!(error = chain(&error), "a namespace stays");
        }
        Ok(())
    })
    .map(|()| ending)
}

/// Listens where the API is to be served; a run that goes on, where it was if any port will do.
fn listen(wanted: SocketAddr, run: &RunDir) -> Result<(TcpListener, SocketAddr), FullError> {
    let before = run.lines("api")?;
    let before = before.last().and_then(|line| line.parse().ok());
    let place = match before {
        Some(before) if wanted.port() == 0 => before,
        _ => wanted,
    };
    let failed = |source| FullError::Listen {
        place: place.to_string(),
        source,
    };
    let listener = TcpListener::bind(place).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    run.append("api", &address.to_string())?;
    Ok((listener, address))
}

type Assembled = (
    Arc<FullVpc>,
    mpsc::UnboundedReceiver<InstanceId>,
    Vec<Placed>,
);

fn assemble(
    api: Arc<ApiServer>,
    options: &FullOptions,
    kept: Kept,
) -> Result<Assembled, FullError> {
    let Kept {
        run,
        journal,
        programs,
        resumes,
    } = kept;
    let (driver, resumed) = if resumes {
        let (driver, resumed) = go_on(&api, &run)?;
        (driver, Some(resumed))
    } else {
        let pool = api.read(|model| model.config().public_pool);
        (begin(&run, programs, pool)?, None)
    };
    let driver = Arc::new(Mutex::new(driver));
    let (sender, terminated) = mpsc::unbounded_channel();
    api.set_hook(Follow {
        driver: Arc::clone(&driver),
        terminated: sender,
    });
    // From here on the run can be gone on with.
    api.keep_journal(&journal)?;
    let flow_logs = FlowLogs::new(flow_log_dir(options, &run), options.flow_log_window);
    let vpc = FullVpc {
        run,
        api,
        driver,
        flow_logs: Mutex::new(flow_logs),
        stop: CancellationToken::new(),
        ending: OnceLock::new(),
    };
    let endpoints = resumed.map_or_else(Vec::new, |resumed| vpc.take_back_unplaced(resumed));
    Ok((Arc::new(vpc), terminated, endpoints))
}

fn fabric_names(run: &RunDir) -> FabricNames {
    FabricNames {
        fabric: run.netns_name("fabric"),
        services: run.netns_name("services"),
        outside: run.netns_name("outside"),
    }
}

fn store(run: &RunDir) -> FabricStore {
    FabricStore::at(run.path().join("fabric"))
}

/// A fabric of a new run. What is made stays when the process ends: it is removed by its record.
fn begin(
    run: &RunDir,
    programs: LoadedPrograms,
    public_pool: Ipv4Net,
) -> Result<Driver, FullError> {
    let names = fabric_names(run);
    let mut namespaces = Namespaces::new(run.clone());
    namespaces.record(&names.fabric)?;
    namespaces.record(&names.services)?;
    namespaces.record(&names.outside)?;
    let mut fabric = Fabric::create(store(run).keep(programs)?, names)?;
    fabric.route_from_outside(public_pool.into())?;
    fabric.stay(true);
    Ok(Driver::new(fabric, namespaces))
}

/// What another process left, made what the model says.
fn go_on(api: &ApiServer, run: &RunDir) -> Result<(Driver, Resumed), FullError> {
    let fabric = Fabric::resume(store(run).load()?, fabric_names(run))?;
    let namespaces = Namespaces::recorded(run.clone())?;
    let mut driver = Driver::new(fabric, namespaces);
    let resumed = api.read(|model| driver.resume(model, &OWNERS));
    resumed.log();
    Ok((driver, resumed))
}

fn flow_log_dir(options: &FullOptions, run: &RunDir) -> PathBuf {
    let own = || run.path().join("flow-logs");
    options.flow_log_dir.clone().unwrap_or_else(own)
}

fn start(
    tasks: &mut JoinSet<()>,
    vpc: &Arc<FullVpc>,
    options: &FullOptions,
    address: SocketAddr,
    mut terminated: mpsc::UnboundedReceiver<InstanceId>,
) -> Result<(), FullError> {
    let stop = || vpc.stop.clone();
    let metadata = Arc::new(MetadataServer::new(
        Arc::clone(&vpc.api) as Arc<dyn imds::Metadata>
    ));
    let listener = metadata::listen(vpc)?;
    let serving = imds::serve(
        listener,
        metadata::resolve(vpc),
        Arc::clone(&metadata),
        stop(),
    );
    tasks.spawn(async move {
        if let Err(error) = serving.await {
            tracing::error!(%error, "the metadata service failed");
        }
    });
    link_local::start(tasks, vpc, options.dns_upstream)?;
    let (api, ended) = (Arc::clone(&vpc.api), stop());
    tasks.spawn(async move {
        loop {
            let instance = tokio::select! {
                () = ended.cancelled() => return,
                instance = terminated.recv() => instance,
            };
            let Some(instance) = instance else { return };
            metadata.forget(&instance);
            api.forget_credentials(&instance);
        }
    });
    tasks.spawn(Arc::clone(&vpc.api).run_clock(stop()));
    tasks.spawn(windows::run(Arc::clone(vpc), stop()));
    tasks.spawn(windows::watch_kernel(Arc::clone(vpc), stop()));
    let socket = vpc.run.admin_socket();
    let listener = listen_anew(&socket).map_err(|source| FullError::Listen {
        place: socket.display().to_string(),
        source,
    })?;
    let facts = admin::Facts {
        api: format!("http://{address}"),
        flow_log_dir: flow_log_dir(options, &vpc.run),
    };
    let admin = Arc::new(admin::FullAdmin {
        vpc: Arc::clone(vpc),
        facts,
    });
    tasks.spawn(crate::admin::serve(admin, listener, stop()));
    Ok(())
}

/// Opens the admin socket; one that another process of this run left makes room.
fn listen_anew(socket: &Path) -> io::Result<tokio::net::UnixListener> {
    match fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => crate::admin::listen(socket),
    }
}

/// Has a running VPC end and waits for it. One that does not run is no error.
///
/// # Errors
/// What of the run could not be ended.
pub fn stop(run: &RunDir) -> Vec<CleanError> {
    let mut errors = Vec::new();
    let mut live = clean::processes(run, &mut errors);
    live.retain(|process| process.record().is_server());
    let stayed = process::end(live, STOP_PATIENCE);
    errors.extend(stayed.into_iter().map(CleanError::from));
    errors
}
