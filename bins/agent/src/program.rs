//! The whole agent: its parts, started in order and stopped in the opposite one.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::{
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
};
use tracing::{error, info, warn};
use tracing_subscriber::filter::LevelFilter;
use underlay_agent::{
    cni_front::{Front, RunDir},
    config::{Config, LogConfig, LogFormat, LogLevel},
    engine::{Engine, EngineConfig},
    kernel::{Kernel, KernelConfig},
    metrics::Endpoint,
    preflight,
    service::NodeService,
};
use underlay_cloud::{Ec2, Ec2Config, Imds, imds::ImdsConfig};
use underlay_types::chain;

/// How long requests under way may take after the agent was told to stop.
const STOP_PATIENCE: Duration = Duration::from_secs(10);
/// EC2 calls and rules; the ADD path has threads of its own.
const WORKERS: usize = 1;
/// Kernel work that EC2's side asks for: ENIs and rules.
const BLOCKING_MAX: usize = 16;
const STACK_SIZE: usize = 1 << 20;

/// A running agent. Fields are dropped in the order in which they must stop.
pub(crate) struct Agent {
    _metrics: Option<Endpoint>,
    pub(crate) front: Front,
    engine: Arc<Engine>,
    runtime: Runtime,
}

impl Agent {
    /// Starts everything but the conflist.
    pub(crate) fn start(config: &Config) -> anyhow::Result<Self> {
        let run_dir = RunDir::claim(&config.paths.run_dir)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .max_blocking_threads(BLOCKING_MAX)
            .thread_stack_size(STACK_SIZE)
            .thread_name("ec2")
            .enable_all()
            .build()
            .context("cannot start threads for EC2 calls")?;
        let kernel = Kernel::new(&KernelConfig::default()).context("cannot work on the kernel")?;
        let imds = Imds::new(ImdsConfig::from_env())?;
        let connect = |region: &str| Ec2::new(Ec2Config::from_env(region));
        let engine = EngineConfig {
            addresses: config.addresses.clone(),
            enis: config.enis.clone(),
            security_groups: config.security_groups.clone(),
            pods: config.pods.clone(),
            branch_enis: config.branch_enis,
            snat: config.snat.clone(),
            drift: config.drift.clone(),
            journal: config.paths.journal(),
        };
        let engine = Engine::start(engine, kernel, &imds, connect, runtime.handle().clone())?;
        let engine = Arc::new(engine);
        let service: Arc<dyn NodeService> = Arc::clone(&engine) as _;
        let front = Front::start(config, run_dir, service)?;
        let metrics = metrics_endpoint(config, &front, &runtime);
        Ok(Self {
            _metrics: metrics,
            front,
            engine,
            runtime,
        })
    }

    /// Lets requests under way end, then stops. Pods stay as they are.
    pub(crate) fn stop(self) {
        let unfinished = self.front.stop(STOP_PATIENCE);
        if unfinished > 0 {
            warn!(
                unfinished,
                "requests did not end in time; the next start undoes them"
            );
        }
        drop(self.engine);
        self.runtime.shutdown_timeout(Duration::from_secs(1));
    }
}

/// Pods are served also where metrics cannot be.
fn metrics_endpoint(config: &Config, front: &Front, runtime: &Runtime) -> Option<Endpoint> {
    let address = config.metrics.listen?;
    match Endpoint::start(address, front.metrics(), runtime.handle()) {
        Ok(endpoint) => {
            info!(%address, "serving metrics");
            Some(endpoint)
        }
        Err(error) => {
            error!("{}", chain(&error));
            None
        }
    }
}

/// Reads the configuration, looks whether the node can serve pods and starts logging. Changes nothing.
pub(crate) fn prepare(config: &Path) -> anyhow::Result<Config> {
    anyhow::ensure!(
        rustix::process::geteuid().is_root(),
        "must run as root: it changes network devices and namespaces (run it with sudo, or as a \
         privileged container with hostNetwork)"
    );
    let config = Config::load(config)?;
    preflight::packet_rules()?;
    start_logging(config.log);
    Ok(config)
}

fn start_logging(config: LogConfig) {
    let level = match config.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let lines = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(false);
    match config.format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .init(),
    }
}

/// Serves until SIGTERM or SIGINT.
pub(crate) fn run(config: &Path) -> anyhow::Result<()> {
    let config = prepare(config)?;
    let agent = Agent::start(&config)?;
    agent.front.publish_conflist()?;
    info!("ready");
    let ended = agent.runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            _ = terminate.recv() => std::io::Result::Ok("SIGTERM"),
            _ = interrupt.recv() => Ok("SIGINT"),
        }
    });
    let signal = ended.context("cannot wait for signals")?;
    info!(signal, "stopping; pods stay as they are");
    agent.stop();
    Ok(())
}
