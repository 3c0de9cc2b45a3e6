//! Where lines are delivered: destinations, and the names of objects below them.

mod destination;
mod object;

pub use destination::{Destination, DestinationError};
pub use object::{ObjectName, ObjectNameError, Partitioning, content_hash};
