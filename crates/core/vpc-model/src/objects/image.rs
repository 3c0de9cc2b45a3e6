//! Machine images: what state an instance's devices are in when it starts.

use serde::{Deserialize, Serialize};
use underlay_types::ImageId;

/// A machine image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Its id.
    pub id: ImageId,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// How its instances boot.
    pub boot: BootMode,
    /// `x86_64` or `arm64`.
    pub architecture: String,
}

/// How an image's instances boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BootMode {
    /// The primary interface comes up with its address and routes, as a DHCP client would do.
    /// Others arrive down and without address.
    Dhcp,
    /// Every device arrives down and without address.
    Bare,
}
