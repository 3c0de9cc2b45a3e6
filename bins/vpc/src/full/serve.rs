//! Starting a VPC, and ending it.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use underlay_fabric::{Fabric, FabricError, FabricNames, LoadedPrograms};
use underlay_types::{InstanceId, chain};

use super::{
    admin,
    clean::{self, CleanError},
    driver::Driver,
    link_local::{self, LinkLocalError},
    metadata::{self, MetadataError},
    namespaces::{NamespaceError, Namespaces},
    preflight::{self, PreflightError},
    process::{self, ProcessRecord},
    run_dir::{RunDir, RunDirError, RunId},
    vpc::{Follow, FullVpc},
    windows::{self, FlowLogs},
};
use crate::{
    control_plane::say_ready,
    imds::{self, MetadataServer},
    serve::ApiServer,
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
    /// The run's folder cannot be used.
    #[error(transparent)]
    RunDir(#[from] RunDirError),
    /// A run of this name is there, running or not.
    #[error("the run {0} exists; `underlay-vpc clean --run {0}` ends it and removes what it left")]
    Taken(RunId),
}

/// Runs a VPC until SIGTERM, SIGINT or a stop by the admin socket, and removes it.
///
/// # Errors
/// When it cannot start. Nothing is left behind then.
pub async fn serve(api: Arc<ApiServer>, options: FullOptions) -> Result<(), FullError> {
    let programs = preflight::check()?;
    let run = RunDir::of(&options.run);
    if run.path().exists() {
        return Err(FullError::Taken(options.run));
    }
    let listening = TcpListener::bind(options.api).and_then(|listener| {
        let address = listener.local_addr()?;
        Ok((listener, address))
    });
    let listening = listening.map_err(|source| FullError::Listen {
        place: options.api.to_string(),
        source,
    })?;
    // Looked at above only to refuse early: whose the run is, is decided here.
    run.create().map_err(|error| match error.source.kind() {
        io::ErrorKind::AlreadyExists => FullError::Taken(options.run.clone()),
        _ => error.into(),
    })?;
    let outcome = start_and_wait(api, &options, &run, programs, listening).await;
    // Whatever came of it: what is recorded goes. Others may have recorded theirs in the folder.
    for error in tokio::task::block_in_place(|| clean::clean(&run)) {
        tracing::error!(error = chain(&error), "not removed");
    }
    outcome
}

async fn start_and_wait(
    api: Arc<ApiServer>,
    options: &FullOptions,
    run: &RunDir,
    programs: LoadedPrograms,
    (listener, address): (TcpListener, SocketAddr),
) -> Result<(), FullError> {
    let failed = |what| move |source| FullError::Process { what, source };
    let mut terminate = signal(SignalKind::terminate()).map_err(failed("handle SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed("handle SIGINT"))?;
    run.append("pids", &ProcessRecord::own("underlay-vpc").to_string())?;
    let (vpc, terminated) = assemble(Arc::clone(&api), options, run, programs)?;
    let mut tasks = JoinSet::new();
    start(&mut tasks, &vpc, options, address, terminated)?;
    let listen = |source| FullError::Listen {
        place: address.to_string(),
        source,
    };
    let listening = api.serve_on(listener, vpc.stop.clone()).map_err(listen)?;
    say_ready(address).map_err(failed("write to standard output"))?;
    tracing::info!(run = %run.id(), "the VPC is up");
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
    tokio::task::block_in_place(|| {
        drop(vpc.flush_flow_logs());
        for error in vpc.driver.lock().namespaces().remove_all() {
            tracing::error!(error = chain(&error), "a namespace stays");
        }
    });
    Ok(())
}

fn assemble(
    api: Arc<ApiServer>,
    options: &FullOptions,
    run: &RunDir,
    programs: LoadedPrograms,
) -> Result<(Arc<FullVpc>, mpsc::UnboundedReceiver<InstanceId>), FullError> {
    let names = FabricNames {
        fabric: run.netns_name("fabric"),
        services: run.netns_name("services"),
    };
    let mut namespaces = Namespaces::new(run.clone());
    namespaces.record(&names.fabric)?;
    namespaces.record(&names.services)?;
    let fabric = Fabric::create(programs, names)?;
    let driver = Arc::new(Mutex::new(Driver::new(fabric, namespaces)));
    let (sender, terminated) = mpsc::unbounded_channel();
    api.set_hook(Follow {
        driver: Arc::clone(&driver),
        terminated: sender,
    });
    let flow_logs = FlowLogs::new(flow_log_dir(options, run), options.flow_log_window);
    let vpc = FullVpc {
        run: run.clone(),
        api,
        driver,
        flow_logs: Mutex::new(flow_logs),
        stop: CancellationToken::new(),
    };
    Ok((Arc::new(vpc), terminated))
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
    tasks.spawn(windows::watch_lost_ports(Arc::clone(vpc), stop()));
    let socket = vpc.run.admin_socket();
    let listener = crate::admin::listen(&socket).map_err(|source| FullError::Listen {
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
