//! Flow logs: from the fabric's counters to files in the documented layout, and back to a person.
//!
//! The destination `arn:aws:s3:::bucket/prefix` is the folder `<flow-log dir>/bucket/prefix`:
//! objects lie below it as they would in the bucket, at `AWSLogs/<account>/vpcflowlogs/…`.

mod reader;
mod recorder;
mod show;
mod subscription;
mod writer;

pub use reader::{LoggedLine, ReadError, read_object};
pub use recorder::Recorder;
pub use show::{LogsArgs, ShowError, show};
pub use subscription::{LogState, Scope, Subscription, SubscriptionError, eni_facts};
pub use writer::{Delivery, DeliveryError, Writer};
