//! What a seed decides before the first step.

use std::time::Duration;

use fastrand::Rng;
use underlay_ipam::{Config, Delegation, InstanceLimits};
use underlay_types::Families;
use underlay_vpc_model::InstanceType;

/// What a seed decides before the first step.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub(crate) seed: u64,
    /// No faults, no crashes, nobody else: every pod that fits must get its address.
    pub(crate) calm: bool,
    pub(crate) instance_type: &'static InstanceType,
    /// Of the node's subnet, in bits.
    pub(crate) subnet_length: u8,
    /// Subnets for new ENIs; of several the node's own is one, and the last is full.
    pub(crate) subnets: u8,
    /// Explicit group sets that pods ask for, besides the default pool.
    pub(crate) sets: u8,
    /// Whether some pods ask for an ENI of their own.
    pub(crate) whole: bool,
    /// Whether what EC2 said is noted for the next run.
    pub(crate) remembers: bool,
    pub(crate) config: Config,
    /// How many pods are asked for.
    pub(crate) pods: u32,
    /// Over which time.
    pub(crate) busy: Duration,
    /// How long an ADD waits for growth.
    pub(crate) add_wait: Duration,
    /// How likely an agent's life ends with a crash.
    pub(crate) crashes: f64,
    /// Changes by somebody else.
    pub(crate) changes: u32,
    /// In which share of calls, or of changes of objects, each kind of fault strikes.
    pub(crate) fault_rate: f64,
    /// Which kinds of faults are on, one bit each.
    pub(crate) fault_kinds: u32,
}

const TYPES: [&str; 9] = [
    "t3.small",
    "t3.small",
    "t3.micro",
    "t3.medium",
    "t3.medium",
    "t2.small",
    "m5.large",
    "hpc7a.12xlarge",
    "hpc7a.12xlarge",
];

impl Setting {
    pub(crate) fn of(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let rng = &mut rng;
        let calm = rng.u8(..5) == 0;
        let name = TYPES[rng.usize(..TYPES.len())];
        let instance_type = InstanceType::named(name).expect("the table knows these types");
        let limits = limits(instance_type);
        let mut config = config(rng, limits);
        let prefixes = config.delegation == Delegation::Prefixes;
        let shortest = if prefixes { 24 } else { 25 };
        let setting = Self {
            seed,
            calm,
            instance_type,
            subnet_length: if calm { 22 } else { rng.u8(shortest..=28) },
            subnets: if rng.u8(..4) == 0 { rng.u8(2..4) } else { 1 },
            sets: rng.u8(..3),
            whole: rng.u8(..4) == 0,
            remembers: rng.u8(..4) > 0,
            pods: rng.u32(1..40),
            busy: Duration::from_secs(rng.u64(1..400)),
            add_wait: Duration::from_secs(if calm { 120 } else { rng.u64(1..45) }),
            crashes: if calm {
                0.0
            } else {
                f64::from(rng.u8(..4)) * 0.3
            },
            changes: if calm { 0 } else { rng.u32(..6) },
            fault_rate: if calm {
                0.0
            } else {
                [0.0, 0.03, 0.1, 0.3][rng.usize(..4)]
            },
            fault_kinds: rng.u32(..),
            config: config.clone(),
        };
        config.several_subnets = setting.subnets > 1;
        Self { config, ..setting }
    }
}

fn config(rng: &mut Rng, limits: InstanceLimits) -> Config {
    let prefixes = limits.prefixes && rng.bool();
    let delegation = if prefixes {
        Delegation::Prefixes
    } else {
        Delegation::Addresses
    };
    let warm_default = [0, 1, 2, 5, 16][rng.usize(..5)];
    let families = match rng.u8(..8) {
        0 if limits.prefixes => Families::V6,
        1 | 2 if limits.prefixes => Families::Dual,
        _ => Families::V4,
    };
    let counted = families != Families::V6;
    let minimum = if rng.u8(..4) == 0 && counted {
        rng.u16(..24)
    } else {
        0
    };
    let maximum = rng.u8(..5) == 0 && counted;
    let maximum = maximum.then(|| rng.u16(..48).max(minimum).max(warm_default));
    Config {
        families,
        delegation,
        minimum,
        maximum,
        warm_default,
        warm_explicit: rng.u16(..4),
        cooldown: Duration::from_secs(rng.u64(1..45)),
        idle_release: Duration::from_secs([5, 30, 120, 600][rng.usize(..4)]),
        gather: Duration::from_millis([0, 20, 20, 200][rng.usize(..4)]),
        ..Config::for_limits(limits)
    }
}

/// As the agent reads them from EC2.
fn limits(kind: &InstanceType) -> InstanceLimits {
    let enis = |count: &u32| u8::try_from(*count).unwrap_or(u8::MAX);
    InstanceLimits {
        enis_per_card: kind.cards.iter().map(enis).collect(),
        enis: usize::try_from(kind.max_enis).ok(),
        ipv4_per_eni: u16::try_from(kind.ipv4_per_eni).unwrap_or(u16::MAX),
        prefixes: kind.takes_prefixes(),
    }
}
