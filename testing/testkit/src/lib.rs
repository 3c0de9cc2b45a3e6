//! Local VPCs, nodes, containerd and CRI clients for tests, the demo and the bench.
//!
//! A [`LocalVpc`] is a running `underlay-vpc`; [`Ec2`] speaks to its API; a [`Node`] is an instance
//! of it with a container runtime and the node agent; [`Cri`] creates pods there; [`probe`] opens
//! sockets inside pods, nodes and hosts and tells allowed from refused from broken.
//!
//! Everything that is started is stopped when its value is dropped, and recorded in the run's
//! folder so that `underlay-vpc clean` finds it when nothing was dropped.

#![forbid(unsafe_code)]

mod addresses;
mod binaries;
mod cluster;
mod control_plane;
mod cri;
mod ec2;
mod flow_logs;
mod image;
mod imds;
mod netns;
mod node;
mod preflight;
pub mod probe;
mod process;
mod run_dir;
mod runtime_metrics;
mod vpc;
mod wait;

pub use addresses::{addresses_inside, all_addresses_inside};
pub use binaries::Binaries;
pub use cluster::{Cluster, ClusterNode, NETWORK_DEADLINE, Networks, NodeSpec};
pub use control_plane::ControlPlane;
pub use cri::{Cri, Pod, PodSpec, PortMapping};
pub use ec2::{Ec2, Ec2Error, Element, IngressRule, Interface, Source};
pub use flow_logs::{FlowLogLine, read_flow_logs};
pub use image::{ImageSpec, PauseImage, pack_image};
pub use imds::{TokenAttempt, imds_addresses, imds_get, imds_token};
pub use netns::Netns;
pub use node::{AgentSettings, Containerd, Node, PluginInterface};
pub use preflight::preflight;
pub use process::Daemon;
pub use run_dir::RunDir;
pub use runtime_metrics::{CniSetups, cni_setups};
pub use vpc::{Host, LocalVpc, LocalVpcOptions};
pub use wait::{wait_for, wait_for_async};
