//! Waiting for a condition instead of sleeping.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use anyhow::bail;

/// Time between two looks at a condition.
const INTERVAL: Duration = Duration::from_millis(10);

/// Looks until `condition` yields a value. `what` completes "gave up waiting for ...".
///
/// # Errors
/// The condition's own error at once, or that `deadline` passed.
pub fn wait_for<T>(
    what: &str,
    deadline: Duration,
    mut condition: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = condition()? {
            return Ok(value);
        }
        if start.elapsed() >= deadline {
            bail!("gave up waiting for {what} after {deadline:?}");
        }
        std::thread::sleep(INTERVAL);
    }
}

/// As [`wait_for`], with a condition that is itself a future.
///
/// # Errors
/// The condition's own error at once, or that `deadline` passed.
pub async fn wait_for_async<T, F: Future<Output = anyhow::Result<Option<T>>>>(
    what: &str,
    deadline: Duration,
    mut condition: impl FnMut() -> F,
) -> anyhow::Result<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = condition().await? {
            return Ok(value);
        }
        if start.elapsed() >= deadline {
            bail!("gave up waiting for {what} after {deadline:?}");
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
