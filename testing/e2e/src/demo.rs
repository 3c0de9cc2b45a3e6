//! `make demo`: what the product is for, shown on one machine and checked while it is shown.

mod act_one;
mod act_two;
mod add_times;
mod address_views;
mod call_matrix;
mod host_ports;
mod metadata;
mod node_table;
mod rejects;
mod stage;
mod tiers;

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use underlay_testkit::{LocalVpc, preflight};

use self::stage::Stage;
use crate::screen::Screen;

/// The run's id, unless it is told another one.
pub(crate) const RUN_ID: &str = "demo";

/// Runs the demo. The exit code is 0 only if every check held. A signal ends it early, and then
/// everything is removed, too.
///
/// # Errors
/// When something could not be brought up at all; it is removed before this returns.
pub(crate) async fn run(run_id: &str, keep: bool) -> anyhow::Result<ExitCode> {
    preflight()?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut screen = Screen::new("demo");
    let ended = tokio::select! {
        ended = play(&mut screen, run_id, keep) => ended,
        _ = interrupt.recv() => {
            screen.note("interrupted: everything was removed");
            return Ok(ExitCode::from(130));
        }
        _ = terminate.recv() => {
            screen.note("terminated: everything was removed");
            return Ok(ExitCode::from(143));
        }
    };
    if let Err(error) = ended {
        screen.check("the demo ran to its end", Err(format!("{error:#}")));
    }
    screen.verdict();
    Ok(if screen.failed() == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Removes a demo that was left running.
///
/// # Errors
/// When something of it is left.
pub(crate) fn down(run_id: &str) -> anyhow::Result<ExitCode> {
    LocalVpc::clean(run_id)?;
    Screen::new("demo").note("demo-down: nothing of the demo is left");
    Ok(ExitCode::SUCCESS)
}

async fn play(screen: &mut Screen, run_id: &str, keep: bool) -> anyhow::Result<()> {
    screen.title("Underlay: pods with addresses of the VPC, on one machine");
    let mut stage = Stage::set(screen, run_id).await?;
    act_one::play(screen, &mut stage).await?;
    act_two::play(screen, &mut stage).await?;
    host_ports::play(screen, &stage).await?;
    metadata::play(screen, &stage)?;
    add_times::show(screen, &stage);
    let next = next_commands(run_id, keep, &stage.cluster.vpc);
    if keep {
        stage.cluster.persist();
        screen.step("everything is left running");
        screen.line(down_command(run_id));
    } else {
        screen.step("taking everything down");
        let stopped = stage.cluster.stop().map_err(|error| format!("{error:#}"));
        screen.check("nothing is left", stopped);
    }
    screen.times();
    screen.next_commands(&next);
    Ok(())
}

fn down_command(run_id: &str) -> String {
    if run_id == RUN_ID {
        "`make demo-down` removes it".to_owned()
    } else {
        format!("`underlay-e2e demo-down --run {run_id}` removes it")
    }
}

/// Three commands to try next.
fn next_commands(run_id: &str, kept: bool, vpc: &LocalVpc) -> [String; 3] {
    if !kept {
        return [
            "make demo KEEP=1    leaves it running to look around",
            "make bench          what a pod and a packet cost, against a floor and a peer",
            "make test           every test, from single rules to the container runtime",
        ]
        .map(str::to_owned);
    }
    let programs = vpc.binaries().folder().display();
    let run = format!("/run/underlay-vpc/{run_id}");
    let api = vpc.ec2().endpoint();
    [
        format!("{programs}/underlay node --socket {run}/nodes/n1/agent.sock status"),
        format!("{programs}/underlay-vpc logs --dir {run}/flow-logs --filter REJECT"),
        format!(
            "AWS_ENDPOINT_URL_EC2={api} AWS_ACCESS_KEY_ID=demo AWS_SECRET_ACCESS_KEY=demo \
             AWS_DEFAULT_REGION=us-east-1 aws ec2 describe-network-interfaces --output table"
        ),
    ]
}
