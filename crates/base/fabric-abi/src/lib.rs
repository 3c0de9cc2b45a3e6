//! Layout of the maps that the fabric's eBPF programs share with user space.
