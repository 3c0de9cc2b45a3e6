//! The images every account sees.

use crate::{BootMode, Image};

/// `(id, name, description, boot mode, architecture)`.
const IMAGES: [(&str, &str, &str, BootMode, &str); 4] = [
    (
        "ami-0dc0000000000000a",
        "underlay-dhcp-x86_64",
        "primary interface comes up configured",
        BootMode::Dhcp,
        "x86_64",
    ),
    (
        "ami-0dc0000000000000b",
        "underlay-dhcp-arm64",
        "primary interface comes up configured",
        BootMode::Dhcp,
        "arm64",
    ),
    (
        "ami-0ba0000000000000a",
        "underlay-bare-x86_64",
        "every device arrives down and without address",
        BootMode::Bare,
        "x86_64",
    ),
    (
        "ami-0ba0000000000000b",
        "underlay-bare-arm64",
        "every device arrives down and without address",
        BootMode::Bare,
        "arm64",
    ),
];

pub(crate) fn images() -> Vec<Image> {
    IMAGES
        .iter()
        .filter_map(|(id, name, description, boot, architecture)| {
            Some(Image {
                id: id.parse().ok()?,
                name: (*name).to_owned(),
                description: (*description).to_owned(),
                boot: *boot,
                architecture: (*architecture).to_owned(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_has_a_valid_id() {
        assert_eq!(images().len(), IMAGES.len());
    }
}
