//! What a person tells a VPC that runs about its clock, faults and budgets.

mod show;

use std::{
    io::{self, Write},
    path::PathBuf,
};

use clap::{Args, Subcommand, ValueEnum};
use serde::{Serialize, de::DeserializeOwned};
use underlay_vpc_model::{
    BucketState, CallCount, Delay, Fault, FaultRequest, Hazard, Probability, Speed,
};

use super::{
    AdminError, BudgetSetting, Client, ClockRequest, ClockState, FaultsOff, Inspection, Limits,
    LimitsRequest, SwitchedOff,
};
use crate::full::{RunDir, RunId};

/// Commands about a VPC's clock, faults and budgets.
#[derive(Debug, Subcommand)]
pub enum ControlCommand {
    /// Show the tokens left in each bucket that was used
    Buckets {
        /// Which VPC
        #[command(flatten)]
        at: Whereabouts,
    },
    /// Show how many calls came to which result, by action
    Calls {
        /// Which VPC
        #[command(flatten)]
        at: Whereabouts,
    },
    /// Show the VPC's clock, or drive it
    Clock {
        /// Which VPC
        #[command(flatten)]
        at: Whereabouts,
        /// What to do
        #[command(subcommand)]
        act: Option<ClockAct>,
    },
    /// Show the faults that are on, or switch faults on and off
    Fault {
        /// Which VPC
        #[command(flatten)]
        at: Whereabouts,
        /// What to do
        #[command(subcommand)]
        act: Option<FaultAct>,
    },
    /// Show interfaces as they are, as Describe and as metadata show them, with the flows that are
    /// tracked for them; and what the kernel refused
    Inspect {
        /// Which VPC
        #[command(flatten)]
        at: Whereabouts,
        /// One interface, or those of one instance
        id: Option<String>,
    },
    /// Show what calls may cost and how long things take, or set budgets
    Limits {
        /// Which VPC
        #[command(flatten)]
        at: Whereabouts,
        /// Have buckets throttle, beginning full, or not
        #[arg(long, value_enum)]
        throttle: Option<Switch>,
        /// A budget, such as AttachNetworkInterface=50/5, reading=100/20, broad=50/10,
        /// changing=50/5 or RunInstances:resources=1000/2
        #[arg(long = "set", value_name = "NAME=BURST/PER_SECOND")]
        budgets: Vec<BudgetSetting>,
    },
}

/// Which VPC.
#[derive(Debug, Clone, Args)]
pub struct Whereabouts {
    /// A run of full mode
    #[arg(long, global = true, value_name = "ID")]
    run: Option<RunId>,
    /// An admin socket, as `serve --control-plane --admin-socket` opened it
    #[arg(long, global = true, value_name = "PATH", conflicts_with = "run")]
    socket: Option<PathBuf>,
    /// As JSON, for programs
    #[arg(long, global = true)]
    json: bool,
}

/// What to do with the clock.
#[derive(Debug, Clone, Subcommand)]
pub enum ClockAct {
    /// Move it forward, such as by 10s
    Advance {
        /// How far
        by: Delay,
    },
    /// Show it
    Show,
    /// Have it go at another speed: 1 as the machine's, 60 a minute a second, 0 by hand
    Speed {
        /// How fast
        factor: Speed,
    },
    /// Move it to when something ends next
    Step,
}

/// What to do with faults.
#[derive(Debug, Clone, Subcommand)]
pub enum FaultAct {
    /// Show what can go wrong, by name
    Hazards,
    /// Show the faults that are on
    List,
    /// Switch a fault on
    On(FaultOn),
    /// Switch faults off
    Off {
        /// The one with this number
        #[arg(required_unless_present_any = ["hazard", "all"])]
        id: Option<u64>,
        /// Those of this hazard
        #[arg(long)]
        hazard: Option<Hazard>,
        /// All of them
        #[arg(long)]
        all: bool,
    },
}

/// A fault to switch on.
#[derive(Debug, Clone, Args)]
pub struct FaultOn {
    /// What goes wrong: see `fault hazards`
    hazard: Hazard,
    /// In one action, or in all that begin so if it ends in *
    #[arg(long)]
    action: Option<String>,
    /// For one instance or interface
    #[arg(long, value_name = "INSTANCE|ENI")]
    target: Option<String>,
    /// How likely, each time
    #[arg(long, default_value_t = Probability::ALWAYS)]
    probability: Probability,
    /// How often at most
    #[arg(long)]
    count: Option<u32>,
    /// For how long
    #[arg(long = "for", value_name = "TIME")]
    lasts: Option<Delay>,
    /// How late things are, such as 10s or 1s..30s
    #[arg(long, value_name = "TIME|RANGE")]
    delay: Option<Delay>,
    /// The error's code, with the hazard `refuse`
    #[arg(long)]
    code: Option<String>,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// On.
    On,
    /// Off.
    Off,
}

/// Why such a command failed.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The VPC did not answer, or refused.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// Nobody said which VPC.
    #[error("name the VPC: --run ID, or --socket PATH")]
    Nowhere,
    /// Standard output does not take what is printed.
    #[error("write to standard output")]
    Output(#[from] io::Error),
}

impl ControlCommand {
    /// Carries out the command, printing to `out`.
    ///
    /// # Errors
    /// What could not be done.
    pub fn run(self, out: &mut impl Write) -> Result<(), ControlError> {
        match self {
            Self::Buckets { at } => {
                at.show::<Vec<BucketState>>(("GET", "/buckets"), &(), out, |b| show::buckets(b))
            }
            Self::Calls { at } => {
                at.show::<Vec<CallCount>>(("GET", "/calls"), &(), out, |c| show::calls(c))
            }
            Self::Clock { at, act } => {
                let request = match act {
                    None | Some(ClockAct::Show) => {
                        return at.show::<ClockState>(("GET", "/clock"), &(), out, show::clock);
                    }
                    Some(ClockAct::Advance { by }) => ClockRequest {
                        advance: Some(by),
                        ..ClockRequest::default()
                    },
                    Some(ClockAct::Speed { factor }) => ClockRequest {
                        speed: Some(factor),
                        ..ClockRequest::default()
                    },
                    Some(ClockAct::Step) => ClockRequest {
                        step: true,
                        ..ClockRequest::default()
                    },
                };
                at.show::<ClockState>(("POST", "/clock"), &request, out, show::clock)
            }
            Self::Fault { at, act } => fault(&at, act, out),
            Self::Inspect { at, id } => {
                let path = id.map_or_else(|| "/inspect".to_owned(), |id| format!("/inspect/{id}"));
                at.show::<Inspection>(("GET", &path), &(), out, show::inspection)
            }
            Self::Limits {
                at,
                throttle,
                budgets,
            } => {
                let request = LimitsRequest {
                    throttles: throttle.map(|throttle| throttle == Switch::On),
                    budgets,
                };
                if request == LimitsRequest::default() {
                    return at.show::<Limits>(("GET", "/limits"), &(), out, show::limits);
                }
                at.show::<Limits>(("POST", "/limits"), &request, out, show::limits)
            }
        }
    }
}

fn fault(
    at: &Whereabouts,
    act: Option<FaultAct>,
    out: &mut impl Write,
) -> Result<(), ControlError> {
    match act {
        Some(FaultAct::Hazards) => {
            out.write_all(show::hazards().as_bytes())?;
            Ok(())
        }
        None | Some(FaultAct::List) => {
            at.show::<Vec<Fault>>(("GET", "/faults"), &(), out, |f| show::faults(f))
        }
        Some(FaultAct::On(on)) => {
            let request = FaultRequest {
                hazard: on.hazard,
                action: on.action,
                target: on.target,
                probability: on.probability,
                count: on.count,
                lasts: on.lasts,
                delay: on.delay,
                code: on.code,
            };
            at.show::<Fault>(("POST", "/faults"), &request, out, |fault| {
                show::faults(std::slice::from_ref(fault))
            })
        }
        Some(FaultAct::Off { id, hazard, all }) => {
            let request = FaultsOff { id, hazard, all };
            at.show::<SwitchedOff>(("POST", "/faults/off"), &request, out, |off| {
                format!("{} switched off\n", off.faults)
            })
        }
    }
}

impl Whereabouts {
    fn client(&self) -> Result<Client, ControlError> {
        let socket = match (&self.run, &self.socket) {
            (Some(run), _) => RunDir::of(run).admin_socket(),
            (None, Some(socket)) => socket.clone(),
            (None, None) => return Err(ControlError::Nowhere),
        };
        Ok(Client::new(socket))
    }

    /// Makes a request and prints its answer, as JSON or as `text` has it.
    fn show<T: DeserializeOwned + Serialize>(
        &self,
        (method, path): (&str, &str),
        request: &impl Serialize,
        out: &mut impl Write,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), ControlError> {
        let answer: T = self.client()?.call(method, path, request)?;
        let printed = if self.json {
            serde_json::to_string_pretty(&answer).map_err(io::Error::other)? + "\n"
        } else {
            text(&answer)
        };
        Ok(out.write_all(printed.as_bytes())?)
    }
}
