//! Flow logs: from the fabric's counters to files in the documented layout, and back to a person.
//!
//! The destination `arn:aws:s3:::bucket/prefix` is the folder `<flow-log dir>/bucket/prefix`:
//! objects lie below it as they would in the bucket, at `AWSLogs/<account>/vpcflowlogs/…`. The log
//! group `name` is the folder `<flow-log dir>/CloudWatchLogs/name`, with a file per stream.

mod reader;
mod recorder;
mod show;
mod sieve;
mod subscription;
mod writer;

pub use reader::{LoggedLine, ReadError, read_object, read_stream};
pub use recorder::Recorder;
pub use show::{LogsArgs, ShowError, show};
pub use sieve::{Addresses, Sieve, Since};
pub use subscription::{
    Aggregation, LogState, Scope, Subscription, SubscriptionError, Target, eni_facts,
};
pub use writer::{Delivery, DeliveryError, LogOutcome, Writer};
