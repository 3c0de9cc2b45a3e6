//! Prometheus metrics: the runtime's calls are counted as they end, the rest is read from the
//! engine when somebody asks.

mod collector;
mod endpoint;

use std::{fmt, sync::Arc, time::Duration};

use prometheus_client::{
    encoding::text::encode,
    metrics::{family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};

use self::collector::NodeCollector;
pub use self::endpoint::{Endpoint, EndpointError};
use crate::service::NodeService;

/// What every name begins with.
const PREFIX: &str = "underlay";
/// From an ADD with an address at hand to one that waits for an ENI, in seconds.
const BUCKETS: [f64; 14] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0,
];

/// All metrics of a node.
pub struct Metrics {
    registry: Registry,
    calls: Family<Vec<(&'static str, String)>, Histogram>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Metrics of the node that `service` serves.
    #[must_use]
    pub fn new(service: Arc<dyn NodeService>) -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        let calls = Family::new_with_constructor((|| Histogram::new(BUCKETS)) as fn() -> _);
        registry.register_with_unit(
            "cni_call",
            "How long the runtime's calls took in the agent, by command and CNI code (0: done)",
            Unit::Seconds,
            Family::clone(&calls),
        );
        registry.register_collector(Box::new(NodeCollector::new(service)));
        Self { registry, calls }
    }

    /// Counts a call of the runtime that has ended; `code` is 0 when it was done.
    pub fn called(&self, command: &str, code: u16, took: Duration) {
        let labels = vec![("command", command.to_owned()), ("code", code.to_string())];
        self.calls
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
    }

    /// All of them in the OpenMetrics text format.
    ///
    /// # Errors
    /// When a metric cannot be written.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests;
