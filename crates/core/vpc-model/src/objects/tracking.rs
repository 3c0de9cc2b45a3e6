//! How long an interface's flows are tracked while idle.

use serde::{Deserialize, Serialize};

/// What an interface was told (`ConnectionTrackingSpecification`); `None` is left to EC2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ConnectionTracking {
    /// TCP, established: 60 to 432,000 seconds.
    pub tcp_established_secs: Option<u32>,
    /// UDP with more than one request and answer: 60 to 180 seconds.
    pub udp_stream_secs: Option<u32>,
    /// Other UDP: 30 to 60 seconds.
    pub udp_secs: Option<u32>,
}

impl ConnectionTracking {
    /// This, and `other` where this leaves it open.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            tcp_established_secs: self.tcp_established_secs.or(other.tcp_established_secs),
            udp_stream_secs: self.udp_stream_secs.or(other.udp_stream_secs),
            udp_secs: self.udp_secs.or(other.udp_secs),
        }
    }
}

/// What counts for an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrackingTimeouts {
    /// TCP, established.
    pub tcp_established_secs: u32,
    /// UDP with more than one request and answer.
    pub udp_stream_secs: u32,
    /// Other UDP.
    pub udp_secs: u32,
}
