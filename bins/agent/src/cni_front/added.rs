//! The line that the log has of each ADD.

use std::time::Duration;

use underlay_types::{EniId, KubernetesPod, LeaseKey, PodAddresses, PoolKey};

use crate::service::{Attachment, ServiceError, milliseconds};

/// An ADD that was tried.
pub(super) struct Added {
    key: LeaseKey,
    pod: Option<KubernetesPod>,
    pool: PoolKey,
    outcome: Result<(PodAddresses, EniId), String>,
}

impl Added {
    pub(super) fn new(
        key: LeaseKey,
        pod: Option<KubernetesPod>,
        pool: PoolKey,
        outcome: &Result<Attachment, ServiceError>,
    ) -> Self {
        let outcome = match outcome {
            Ok(attachment) => Ok((attachment.addresses, attachment.eni.clone())),
            Err(error) => Err(error.to_string()),
        };
        Self {
            key,
            pod,
            pool,
            outcome,
        }
    }

    /// Writes the line. The pod's namespace and name are empty where the runtime did not say.
    pub(super) fn tell(self, took: Duration) {
        let Self { key, pool, .. } = &self;
        let pod = self.pod.as_ref();
        let namespace = pod.map_or("", |pod| pod.namespace.as_str());
        let pod = pod.map_or("", |pod| pod.name.as_str());
        let milliseconds = milliseconds(took);
        match &self.outcome {
            Ok((addresses, eni)) => {
                tracing::info!(%key, namespace, pod, %pool, %addresses, %eni, milliseconds, "ADD");
            }
            Err(error) => {
                tracing::warn!(%key, namespace, pod, %pool, %error, milliseconds, "ADD failed");
            }
        }
    }
}
