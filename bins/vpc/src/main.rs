//! The VPC on one machine: EC2 API, instance metadata, fabric, flow logs.

use std::{
    io::Write, net::SocketAddr, os::unix::process::CommandExt, path::PathBuf, process::ExitCode,
    sync::Arc,
};

use anyhow::Context;
use clap::{Args, Parser, Subcommand, error::ErrorKind};
use underlay_vpc::{
    admin::ControlCommand,
    api::KeyPair,
    control_plane,
    flowlogs::{self, LogsArgs},
    full::{self, Ending, FullArgs, RunCommand},
    serve::{ApiServer, Clock, ModelOptions, StateDir, random_seed},
};
use underlay_vpc_model::{Model, ModelConfig, Speed};

/// The VPC on one machine.
#[derive(Debug, Parser)]
#[command(name = "underlay-vpc", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print flow-log lines, oldest first; lines that start with # name the fields of those below
    Logs(LogsArgs),
    #[command(flatten)]
    Control(ControlCommand),
    #[command(flatten)]
    Run(RunCommand),
    /// Serve the EC2 API, and everything behind it unless told otherwise
    Serve(Box<ServeArgs>),
}

#[derive(Debug, Args)]
struct ServeArgs {
    /// Where to serve the EC2 API; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT")]
    api: SocketAddr,
    /// Serve the API alone: no root, no namespaces, no packets
    #[arg(long)]
    control_plane: bool,
    /// Where to open the admin socket of --control-plane, for clock, faults and budgets
    #[arg(long, value_name = "PATH", requires = "control_plane")]
    admin_socket: Option<PathBuf>,
    /// Keep everything in this folder, and go on with it after a restart or a kill
    #[arg(long, value_name = "DIR", requires = "control_plane")]
    state: Option<PathBuf>,
    /// Verify signatures, by --access-key or a role's credentials
    #[arg(long, requires = "access_key")]
    require_auth: bool,
    /// The account's key pair
    #[arg(long, value_name = "ID:SECRET", value_parser = key_pair)]
    access_key: Option<KeyPair>,
    /// How fast the VPC's clock goes: 60 makes a minute of a second, 0 leaves it to
    /// `underlay-vpc clock advance`
    #[arg(long, value_name = "FACTOR", default_value_t = Speed::REAL)]
    clock_speed: Speed,
    #[command(flatten)]
    model: ModelOptions,
    #[command(flatten)]
    full: FullArgs,
}

fn key_pair(text: &str) -> Result<KeyPair, &'static str> {
    match text.split_once(':') {
        Some((id, secret)) if !id.is_empty() && !secret.is_empty() => {
            let (access_key, secret) = (id.to_owned(), secret.to_owned());
            Ok(KeyPair {
                access_key,
                secret,
                token: None,
            })
        }
        _ => Err("expected an access key id, a colon, and a secret"),
    }
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return explain(&error),
    };
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let outcome = match cli.command {
        Command::Logs(args) => {
            flowlogs::show(&args, &mut std::io::stdout(), || false).map_err(Into::into)
        }
        Command::Control(command) => command.run(&mut std::io::stdout()).map_err(Into::into),
        Command::Run(command) => command.run(&mut std::io::stdout()).map_err(Into::into),
        Command::Serve(args) => serve(*args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("underlay-vpc: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn serve(args: ServeArgs) -> anyhow::Result<()> {
    // Looked at before anything is taken or made.
    args.model.config(0)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    if !args.control_plane {
        let options = args.full.options(args.api, random_seed());
        let claim = full::Claim::take(&options.run)?;
        let server = begin_from(claim.state(), &args)?;
        let ending = runtime.block_on(full::serve(server, claim, options))?;
        return if ending == Ending::Restart {
            Err(again())
        } else {
            Ok(())
        };
    }
    let state = args.state.as_deref().map(StateDir::take).transpose()?;
    let server = match &state {
        None => begin(&args, Model::new(config(&args, random_seed())), None),
        Some(state) => begin_from(state, &args)?,
    };
    if let Some(state) = &state {
        server.keep_journal(&state.journal())?;
    }
    runtime.block_on(control_plane::serve(
        Arc::clone(&server),
        args.api,
        args.admin_socket,
    ))?;
    if let Some(state) = &state {
        // Without history, any later build can go on with it.
        server.keep_journal(&state.journal())?;
    }
    Ok(())
}

/// Has the program as it is now run in the place of this one. Returns only if that fails.
fn again() -> anyhow::Error {
    let mut arguments = std::env::args_os();
    let program = arguments.next().unwrap_or_default();
    let error = std::process::Command::new(program).args(arguments).exec();
    anyhow::Error::new(error).context("starting the program anew")
}

/// The model's configuration; the options were looked at before.
fn config(args: &ServeArgs, seed: u64) -> ModelConfig {
    let config = args.model.config(seed);
    config.expect("options that were taken once are taken again")
}

fn begin(args: &ServeArgs, model: Model, clock: Option<Clock>) -> Arc<ApiServer> {
    let clock = clock.unwrap_or_else(|| Clock::new(args.clock_speed));
    let budgets = args.model.budgets();
    let budgets = budgets.expect("options that were taken once are taken again");
    let key = args.access_key.clone();
    ApiServer::new(model, clock, budgets, key, args.require_auth)
}

/// A server that goes on with a folder's journal, or begins it.
fn begin_from(state: &StateDir, args: &ServeArgs) -> anyhow::Result<Arc<ApiServer>> {
    let config = |seed| config(args, seed);
    let begin = |model, clock| begin(args, model, clock);
    Ok(ApiServer::from_state(state, config, begin, random_seed())?)
}

/// Help goes to standard output; a mistake is one line.
fn explain(error: &clap::Error) -> ExitCode {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        return match error.print() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    complain(&one_line(&error.to_string()));
    ExitCode::from(2)
}

/// What went wrong, without the usage that follows it.
fn one_line(text: &str) -> String {
    let first = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<_> = first.split_whitespace().collect();
    words.join(" ").replacen("error:", "underlay-vpc:", 1)
}

fn complain(text: &str) {
    let mut out = std::io::stderr().lock();
    if writeln!(out, "{}", text.trim_end()).is_err() {
        // Nobody reads standard error: there is nobody to tell.
    }
}
