//! Where lines are delivered: destinations, and the names of objects and streams below them.

mod chunks;
mod destination;
mod log_group;
mod object;

pub use chunks::{OBJECT_BYTES, chunks};
pub use destination::{Destination, DestinationError};
pub use log_group::{LogGroup, LogGroupError, log_stream};
pub use object::{FileFormat, ObjectName, ObjectNameError, Partitioning, content_hash};
