//! The admin API: JSON over HTTP on a Unix socket, for clock, faults, budgets and inspection.
//!
//! | request | body | answer |
//! |---|---|---|
//! | `GET /clock` | | [`ClockState`] |
//! | `POST /clock` | [`ClockRequest`] | [`ClockState`] |
//! | `GET /faults` | | a list of [`Fault`](underlay_vpc_model::Fault) |
//! | `POST /faults` | [`FaultRequest`](underlay_vpc_model::FaultRequest) | the fault |
//! | `POST /faults/off` | [`FaultsOff`] | [`SwitchedOff`] |
//! | `GET /buckets` | | a list of [`BucketState`](underlay_vpc_model::BucketState) |
//! | `GET /calls` | | a list of [`CallCount`](underlay_vpc_model::CallCount) |
//! | `GET /limits` | | [`Limits`] |
//! | `POST /limits` | [`LimitsRequest`] | [`Limits`] |
//! | `GET /inspect`, `GET /inspect/ENI`, `GET /inspect/INSTANCE` | | [`Inspection`] |
//!
//! A refusal is a status from 400 on with `{"error": "..."}`. In full mode the same socket serves
//! what [`full::admin`](crate::full::admin) says.

mod client;
mod commands;
mod control;
pub(crate) mod inspect;
mod refusal;
mod server;
mod words;

pub use client::{AdminError, Client};
pub use commands::{
    ClockAct, ControlCommand, ControlError, FaultAct, FaultOn, Switch, Whereabouts,
};
pub use control::ControlAdmin;
pub(crate) use control::act;
pub use inspect::{EniFacts, EniFlows, EniReport, FlowReport, Inspection, InstanceFlows, Refused};
pub use refusal::Refusal;
pub use server::{Admin, listen, serve};
pub(crate) use server::{read, write};
pub use words::{
    BudgetSetting, ClockRequest, ClockState, FaultsOff, Limits, LimitsRequest, SwitchedOff,
};
