//! Carries out the operations that `underlay-netplan` decides on.
