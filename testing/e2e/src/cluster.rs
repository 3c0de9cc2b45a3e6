//! `make cluster`, `make cluster-test`, `make conformance`: a current Kubernetes on the local VPC.

mod agent_killer;
mod checks;
mod conformance;
mod control_plane;
mod images;
mod kubectl;
mod kubernetes;
mod programs;
mod worker;

use std::{
    future::Future,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::{Args, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use underlay_testkit::{LocalVpc, preflight};

use self::{
    kubernetes::{Kubernetes, Settings},
    programs::Programs,
    worker::ProxyMode,
};
use crate::screen::Screen;

/// What to do with a cluster.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Starts a cluster and leaves it running.
    Up {
        #[command(flatten)]
        options: Options,
        /// The run's id.
        #[arg(long, default_value = "cluster")]
        run: String,
    },
    /// Removes a cluster that was left running.
    Down {
        /// The run's id.
        #[arg(long, default_value = "cluster")]
        run: String,
    },
    /// Checks pods, Services, host ports, security groups and the death of an agent.
    Test {
        #[command(flatten)]
        options: Options,
        /// The run's id.
        #[arg(long, default_value = "cluster-test")]
        run: String,
        /// Leave the cluster running; `down` removes it.
        #[arg(long)]
        keep: bool,
    },
    /// Runs upstream's conformance specs of networking.
    Conformance {
        #[command(flatten)]
        options: Options,
        /// The run's id.
        #[arg(long, default_value = "conformance")]
        run: String,
        /// Leave the cluster running; `down` removes it.
        #[arg(long)]
        keep: bool,
        #[command(flatten)]
        specs: conformance::Specs,
    },
}

/// How a cluster is made.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The folder that scripts/cluster-build printed.
    #[arg(long)]
    programs: PathBuf,
    /// How kube-proxy carries out Services.
    #[arg(long, value_enum, default_value_t = ProxyMode::Nftables)]
    proxy: ProxyMode,
}

/// Does it. The exit code is 0 only if everything held. A signal ends it early, and then everything
/// is removed, too.
///
/// # Errors
/// When something could not be brought up; it is removed before this returns.
pub(crate) async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Up { options, run } => interruptible("cluster", up(options, run)).await,
        Command::Down { run } => {
            LocalVpc::clean(&run)?;
            Screen::new("cluster").note(&format!("cluster-down: nothing of {run} is left"));
            Ok(ExitCode::SUCCESS)
        }
        Command::Test { options, run, keep } => {
            interruptible("cluster-test", test(options, run, keep)).await
        }
        Command::Conformance {
            options,
            run,
            keep,
            specs,
        } => interruptible("conformance", conform(options, run, keep, specs)).await,
    }
}

async fn interruptible(
    program: &'static str,
    work: impl Future<Output = anyhow::Result<ExitCode>>,
) -> anyhow::Result<ExitCode> {
    preflight()?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let (word, code) = tokio::select! {
        ended = work => return ended,
        _ = interrupt.recv() => ("interrupted", 130),
        _ = terminate.recv() => ("terminated", 143),
    };
    Screen::new(program).note(&format!("{program}: {word}, everything was removed"));
    Ok(ExitCode::from(code))
}

async fn up(options: Options, run: String) -> anyhow::Result<ExitCode> {
    let mut screen = Screen::new("cluster");
    let mut kubernetes = start(&mut screen, options, run).await?;
    screen.step("everything is left running");
    show_way_in(&screen, &kubernetes)?;
    kubernetes.cluster.persist();
    screen.times();
    Ok(ExitCode::SUCCESS)
}

async fn test(options: Options, run: String, keep: bool) -> anyhow::Result<ExitCode> {
    let mut screen = Screen::new("cluster-test");
    let mut kubernetes = start(&mut screen, options, run).await?;
    if let Err(error) = checks::run(&mut screen, &mut kubernetes).await {
        screen.check("the checks ran to their end", Err(format!("{error:#}")));
    }
    end(&mut screen, kubernetes, keep)?;
    screen.verdict();
    Ok(code(screen.failed() == 0))
}

async fn conform(
    options: Options,
    run: String,
    keep: bool,
    specs: conformance::Specs,
) -> anyhow::Result<ExitCode> {
    let mut screen = Screen::new("conformance");
    let proxy = options.proxy;
    let mut kubernetes = start(&mut screen, options, run).await?;
    screen.step("upstream's specs");
    let started = Instant::now();
    let outcome = conformance::run(&screen, &mut kubernetes, &specs).await?;
    let took = started.elapsed();
    end(&mut screen, kubernetes, keep)?;
    screen.note(&outcome.verdict(proxy, took));
    Ok(code(outcome.all_passed()))
}

async fn start(screen: &mut Screen, options: Options, run: String) -> anyhow::Result<Kubernetes> {
    let settings = Settings {
        run,
        programs: Programs::in_folder(options.programs)?,
        proxy: options.proxy,
    };
    Kubernetes::start(screen, settings).await
}

fn end(screen: &mut Screen, mut kubernetes: Kubernetes, keep: bool) -> anyhow::Result<()> {
    if keep {
        screen.step("everything is left running");
        show_way_in(screen, &kubernetes)?;
        kubernetes.cluster.persist();
    } else {
        screen.step("taking everything down");
        kubernetes.cluster.stop()?;
        screen.line("nothing is left");
    }
    screen.times();
    Ok(())
}

fn show_way_in(screen: &Screen, kubernetes: &Kubernetes) -> anyhow::Result<()> {
    let script = kubernetes.write_kubectl()?;
    screen.line(format!("{} get pods -A -o wide", script.display()));
    let run = kubernetes.cluster.vpc.run_dir().id();
    screen.line(if run == "cluster" {
        "`make cluster-down` removes it".to_owned()
    } else {
        format!("`underlay-e2e cluster down --run {run}` removes it")
    });
    Ok(())
}

fn code(good: bool) -> ExitCode {
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// How long anything of Kubernetes may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);
