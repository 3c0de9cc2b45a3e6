//! A small synchronous rtnetlink and nftables client, and network-namespace handling.
