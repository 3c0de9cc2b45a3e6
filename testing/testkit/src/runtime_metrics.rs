//! What the container runtime measured itself.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use anyhow::Context as _;

use crate::Netns;

/// All set-ups of pods' networks so far, as the runtime counted them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CniSetups {
    /// How many.
    pub count: u64,
    /// How long they took altogether: every plugin of the chain, its processes included.
    pub took: Duration,
}

/// Where a node's runtime serves its metrics, inside the node.
pub(crate) const ADDRESS: &str = "127.0.0.1:1338";

/// The name that containerd 1.6 and 2 both end up with: the unit is appended twice.
const METRIC: &str = "containerd_cri_network_plugin_operations_duration_seconds_seconds";

/// Reads the counts of the runtime in `netns`.
///
/// # Errors
/// When it serves no metrics, or not these. The latter holds until the first pod.
pub fn cni_setups(netns: &Netns) -> anyhow::Result<CniSetups> {
    let page = netns.run(|| {
        let mut stream = TcpStream::connect(ADDRESS).context("connecting to the metrics")?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        // Version 1.0, so that the answer comes in one piece.
        stream.write_all(b"GET /v1/metrics HTTP/1.0\r\n\r\n")?;
        let mut page = String::new();
        stream
            .read_to_string(&mut page)
            .context("reading the metrics")?;
        Ok(page)
    })?;
    let value = |suffix: &str| {
        let name = format!("{METRIC}_{suffix}{{operation_type=\"set_up_pod\"}} ");
        let line = page.lines().find_map(|line| line.strip_prefix(&name));
        line.with_context(|| format!("the runtime's metrics have no {name}"))
    };
    let seconds = value("sum")?.parse().context("reading a metric")?;
    Ok(CniSetups {
        count: value("count")?.parse().context("reading a metric")?,
        took: Duration::try_from_secs_f64(seconds).context("reading a metric")?,
    })
}
