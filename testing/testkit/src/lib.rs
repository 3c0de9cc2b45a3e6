//! Local VPCs, nodes, containerd and CRI clients for tests, the demo and the bench.
