//! Elements of nftables sets and maps, and whole rulesets.
