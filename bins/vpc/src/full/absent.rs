//! What the fabric cannot do yet: the model refuses what asks for it.

use underlay_vpc_model::Feature;

/// Whatever the fabric learns to enforce leaves this list.
pub const ABSENT: [Feature; 1] = [Feature::PrefixListRoutes];
