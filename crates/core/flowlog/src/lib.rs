//! VPC flow-log records: windows, formats, lines and file names, as the VPC documents them.
//!
//! A fabric counts packets per ENI, direction, 5-tuple and action and hands the counters over as
//! [`FlowRecord`]s with the packets' real addresses. [`Windows`] adds them up per ENI until the
//! window closes; [`Format`] says which fields a flow log wants and [`Format::lines`] writes them,
//! with the facts of the ENI filled in ([`EniFacts`]); [`Destination`], [`ObjectName`] and
//! [`LogGroup`] say where the lines are delivered.
//!
//! Times are on the wall clock, counted from the Unix epoch. Nothing here reads a clock.

#![forbid(unsafe_code)]

mod delivery;
mod eni;
mod field;
mod format;
mod line;
mod record;
mod unlogged;
mod window;

pub use delivery::{
    Destination, DestinationError, FileFormat, LogGroup, LogGroupError, OBJECT_BYTES, ObjectName,
    ObjectNameError, Partitioning, chunks, content_hash, log_stream,
};
pub use eni::{EniFacts, EniNetwork, TrafficPath, Way};
pub use field::{Column, Field};
pub use format::{Format, FormatError};
pub use line::{Line, LineError, Status};
pub use record::{Action, Direction, FlowKey, FlowRecord, TcpFlags, TrafficType, TrafficTypeError};
pub use unlogged::is_unlogged;
pub use window::{EniWindow, Outcome, Windows};
