//! Who a pod is.

use serde::{Deserialize, Serialize};

/// The Kubernetes identity of a pod, where the runtime passed one (`CNI_ARGS`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KubernetesPod {
    /// `K8S_POD_NAMESPACE`.
    pub namespace: String,
    /// `K8S_POD_NAME`.
    pub name: String,
    /// `K8S_POD_UID`, absent with old runtimes.
    pub uid: Option<String>,
}
