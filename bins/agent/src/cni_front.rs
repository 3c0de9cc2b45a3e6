//! The side towards the container runtime: socket, CNI requests and results, conflist, tombstones.
