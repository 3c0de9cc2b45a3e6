//! Which subnets ENIs of pods are created in, and in which order they are tried.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use ipnet::Ipv4Net;
use underlay_types::{SubnetId, Timestamp, VpcId};

/// The tag by which the AWS VPC CNI finds subnets (its documentation, "Subnet discovery"): `1` lets
/// pods in, `0` keeps them out.
const ROLE_TAG: &str = "kubernetes.io/role/cni";
/// How long counts of free addresses, and tags, are good for.
const KNOWN_FOR: Duration = Duration::from_mins(1);
/// How long a subnet that had not enough is tried after all others: pods come and go.
const REFUSED_FOR: Duration = Duration::from_mins(2);

/// Which subnets of its VPC and zone a node creates ENIs for pods in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SubnetRule {
    /// The primary ENI's.
    #[default]
    Node,
    /// These, as far as they are in the node's zone.
    Ids(BTreeSet<SubnetId>),
    /// Those that carry this tag.
    Tagged {
        /// The tag's key.
        key: String,
        /// The value it must have.
        value: String,
    },
    /// The primary ENI's, unless `kubernetes.io/role/cni` is 0 there, and those where it is 1.
    Discover,
}

/// Where the node is. ENIs in another VPC or zone cannot be attached to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Its VPC.
    pub vpc: VpcId,
    /// Its availability zone.
    pub zone: String,
    /// The primary ENI's subnet.
    pub subnet: SubnetId,
}

/// A subnet of the node's VPC and zone, as EC2 describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subnet {
    /// Its id.
    pub id: SubnetId,
    /// Its IPv4 block.
    pub block: Ipv4Net,
    /// Whether it has an IPv6 block.
    pub ipv6: bool,
    /// Free IPv4 addresses, as EC2 counts them.
    pub free: u32,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// What is known of the subnets that a node may use.
#[derive(Debug, Clone)]
pub struct Subnets {
    rule: SubnetRule,
    site: Site,
    /// ENIs need an IPv6 prefix.
    ipv6: bool,
    /// Blocks of all subnets ever seen: ENIs stand also in those that are not used any more.
    blocks: BTreeMap<SubnetId, Ipv4Net>,
    /// Those that new ENIs may be created in, with their free addresses.
    candidates: BTreeMap<SubnetId, u32>,
    refused: BTreeMap<SubnetId, Timestamp>,
    learned: Option<Timestamp>,
    /// What was learned is an earlier run's.
    recalled: bool,
}

// === impl SubnetRule ===

impl SubnetRule {
    /// Whether pods may have addresses of the primary ENI where its subnet is one of the rule's:
    /// who names subnets for pods keeps them off the node's own ENI.
    #[must_use]
    pub const fn shares_with_node(&self) -> bool {
        matches!(self, Self::Node | Self::Discover)
    }

    fn admits(&self, subnet: &Subnet, site: &Site) -> bool {
        let tagged = |key: &str, value: &str| subnet.tags.get(key).is_some_and(|tag| tag == value);
        match self {
            Self::Node => subnet.id == site.subnet,
            Self::Ids(ids) => ids.contains(&subnet.id),
            Self::Tagged { key, value } => tagged(key, value),
            Self::Discover => {
                tagged(ROLE_TAG, "1") || subnet.id == site.subnet && !tagged(ROLE_TAG, "0")
            }
        }
    }
}

impl fmt::Display for SubnetRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node => f.write_str("the node's own"),
            Self::Ids(ids) => {
                let ids: Vec<&str> = ids.iter().map(SubnetId::as_str).collect();
                write!(f, "one of {}", ids.join(", "))
            }
            Self::Tagged { key, value } => write!(f, "tagged {key}={value}"),
            Self::Discover => write!(f, "tagged {ROLE_TAG}=1"),
        }
    }
}

// === impl Subnets ===

impl Subnets {
    /// Nothing is known but the primary ENI's subnet and its block.
    #[must_use]
    pub fn new(rule: SubnetRule, site: Site, block: Ipv4Net, ipv6: bool) -> Self {
        let candidates = match rule {
            SubnetRule::Node => BTreeMap::from([(site.subnet.clone(), u32::MAX)]),
            _ => BTreeMap::new(),
        };
        Self {
            rule,
            blocks: BTreeMap::from([(site.subnet.clone(), block)]),
            site,
            ipv6,
            candidates,
            refused: BTreeMap::new(),
            learned: None,
            recalled: false,
        }
    }

    /// Where the node is.
    #[must_use]
    pub const fn site(&self) -> &Site {
        &self.site
    }

    /// Whether EC2 is to be asked before an ENI is created. Not where there is nothing to choose.
    #[must_use]
    pub fn is_stale(&self, now: Timestamp) -> bool {
        let old = |learned: Timestamp| now.saturating_since(learned) > KNOWN_FOR;
        self.rule != SubnetRule::Node && self.learned.is_none_or(old)
    }

    /// Takes what EC2 says of all subnets of the node's VPC and zone.
    pub fn learn(&mut self, now: Timestamp, subnets: &[Subnet]) {
        self.learned = Some(now);
        self.recalled = false;
        self.take(subnets);
        self.refused
            .retain(|_, at| now.saturating_since(*at) < REFUSED_FOR);
    }

    /// Takes what EC2 said to an earlier run: good enough to judge ENIs by until the next audit, too
    /// old to create one.
    pub fn recall(&mut self, subnets: &[Subnet]) {
        if !subnets.is_empty() {
            self.recalled = true;
            self.take(subnets);
        }
    }

    /// Whether EC2 was asked, if only by an earlier run, or need not be.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.rule == SubnetRule::Node || self.learned.is_some() || self.recalled
    }

    fn take(&mut self, subnets: &[Subnet]) {
        let blocks = subnets
            .iter()
            .map(|subnet| (subnet.id.clone(), subnet.block));
        self.blocks.extend(blocks);
        if self.rule != SubnetRule::Node {
            let usable = subnets
                .iter()
                .filter(|subnet| self.rule.admits(subnet, &self.site))
                .filter(|subnet| subnet.ipv6 || !self.ipv6);
            self.candidates = usable
                .map(|subnet| (subnet.id.clone(), subnet.free))
                .collect();
        }
    }

    /// The IPv4 block of a subnet, once known.
    #[must_use]
    pub fn block(&self, subnet: &SubnetId) -> Option<Ipv4Net> {
        self.blocks.get(subnet).copied()
    }

    /// Whether pods get addresses of ENIs in this subnet. Until EC2 was asked, nothing speaks
    /// against it.
    #[must_use]
    pub fn admits(&self, subnet: &SubnetId) -> bool {
        !self.is_known() || self.candidates.contains_key(subnet)
    }

    /// The subnets to try for a new ENI, in this order: most free addresses first, and those that
    /// had too few lately after all others.
    #[must_use]
    pub fn in_order(&self, now: Timestamp) -> Vec<SubnetId> {
        let mut candidates: Vec<_> = self.candidates.iter().collect();
        candidates.sort_by_key(|(id, free)| {
            let lately = |at: &Timestamp| now.saturating_since(*at) < REFUSED_FOR;
            let refused = self.refused.get(*id).is_some_and(lately);
            (refused, std::cmp::Reverse(**free))
        });
        candidates.into_iter().map(|(id, _)| id.clone()).collect()
    }

    /// EC2 refused an ENI in this subnet for want of addresses.
    pub fn refuses(&mut self, now: Timestamp, subnet: &SubnetId) {
        self.refused.insert(subnet.clone(), now);
    }

    /// EC2 gave an ENI in this subnet that many addresses, of the subnet's count until the next
    /// answer.
    pub fn gave(&mut self, subnet: &SubnetId, addresses: u32) {
        self.refused.remove(subnet);
        if let Some(free) = self.candidates.get_mut(subnet) {
            *free = free.saturating_sub(addresses);
        }
    }

    /// Why there is none to try.
    #[must_use]
    pub fn none(&self) -> String {
        let Site { vpc, zone, .. } = &self.site;
        let family = if self.ipv6 { " with an IPv6 block" } else { "" };
        format!(
            "no subnet{family} of {vpc} in {zone} is {}, as `subnets` in [enis] wants it",
            self.rule
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1000);

    fn site() -> Site {
        Site {
            vpc: VpcId::from_serial(1),
            zone: "eu-west-1a".to_owned(),
            subnet: SubnetId::from_serial(1),
        }
    }

    fn subnet(serial: u64, free: u32, tags: &[(&str, &str)]) -> Subnet {
        let tags = tags.iter().map(|(key, value)| (*key, *value));
        Subnet {
            id: SubnetId::from_serial(serial),
            block: Ipv4Net::new([10, 0, u8::try_from(serial).unwrap(), 0].into(), 24).unwrap(),
            ipv6: serial == 2,
            free,
            tags: tags
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
        }
    }

    fn told(rule: SubnetRule, ipv6: bool, subnets: &[Subnet]) -> Subnets {
        let block = "10.0.1.0/24".parse().unwrap();
        let mut told = Subnets::new(rule, site(), block, ipv6);
        told.learn(NOW, subnets);
        told
    }

    fn serials(subnets: &[SubnetId]) -> Vec<u64> {
        let serial = |id: &SubnetId| (1..9).find(|n| SubnetId::from_serial(*n) == *id);
        subnets.iter().filter_map(serial).collect()
    }

    fn order(subnets: &Subnets) -> Vec<u64> {
        serials(&subnets.in_order(NOW))
    }

    #[test]
    fn without_a_choice_ec2_is_never_asked() {
        let block = "10.0.1.0/24".parse().unwrap();
        let mut node = Subnets::new(SubnetRule::Node, site(), block, true);
        assert!(!node.is_stale(NOW));
        assert_eq!(order(&node), [1]);
        node.refuses(NOW, &SubnetId::from_serial(1));
        assert_eq!(order(&node), [1]);
        assert!(node.admits(&SubnetId::from_serial(1)));
        assert!(!node.admits(&SubnetId::from_serial(2)));
        // An ENI of an earlier configuration stands there: its block must be known all the same.
        node.learn(NOW, &[subnet(2, 9, &[])]);
        assert_eq!(
            node.block(&SubnetId::from_serial(2)),
            Some("10.0.2.0/24".parse().unwrap())
        );
        assert_eq!(order(&node), [1]);
    }

    #[test]
    fn what_an_earlier_run_was_told_is_good_for_judging_alone() {
        let block = "10.0.1.0/24".parse().unwrap();
        let mut subnets = Subnets::new(SubnetRule::Discover, site(), block, false);
        subnets.recall(&[]);
        assert!(!subnets.is_known());
        assert!(subnets.admits(&SubnetId::from_serial(3)));
        subnets.recall(&[subnet(2, 9, &[(ROLE_TAG, "1")]), subnet(3, 9, &[])]);
        assert!(subnets.is_known());
        assert!(subnets.admits(&SubnetId::from_serial(2)));
        assert!(!subnets.admits(&SubnetId::from_serial(3)));
        assert!(subnets.block(&SubnetId::from_serial(3)).is_some());
        assert!(subnets.is_stale(Timestamp::ZERO), "before one is created");
        subnets.learn(NOW, &[]);
        assert!(!subnets.is_stale(NOW));
        assert!(!subnets.admits(&SubnetId::from_serial(2)));
    }

    #[test]
    fn each_rule_admits_its_own() {
        let all = [
            subnet(1, 5, &[]),
            subnet(2, 9, &[(ROLE_TAG, "1"), ("team", "pods")]),
            subnet(3, 9, &[(ROLE_TAG, "0"), ("team", "pods")]),
            subnet(4, 9, &[]),
        ];
        let ids = [1, 4, 7].map(SubnetId::from_serial).into();
        assert_eq!(order(&told(SubnetRule::Ids(ids), false, &all)), [4, 1]);
        let tagged = SubnetRule::Tagged {
            key: "team".to_owned(),
            value: "pods".to_owned(),
        };
        assert_eq!(order(&told(tagged.clone(), false, &all)), [2, 3]);
        assert_eq!(order(&told(tagged, true, &all)), [2], "one has IPv6");
        assert_eq!(order(&told(SubnetRule::Discover, false, &all)), [2, 1]);
        let mut excluded = all;
        excluded[0] = subnet(1, 5, &[(ROLE_TAG, "0")]);
        let excluded = told(SubnetRule::Discover, false, &excluded);
        assert_eq!(order(&excluded), [2]);
        assert!(!excluded.admits(&SubnetId::from_serial(1)));
    }

    #[test]
    fn most_free_addresses_first_and_what_refused_lately_last() {
        let ids = [1, 2, 3].map(SubnetId::from_serial).into();
        let all = [subnet(1, 20, &[]), subnet(2, 50, &[]), subnet(3, 40, &[])];
        let mut subnets = told(SubnetRule::Ids(ids), false, &all);
        assert_eq!(order(&subnets), [2, 3, 1]);
        // Ones own ENIs count before EC2 is asked again.
        subnets.gave(&SubnetId::from_serial(2), 31);
        assert_eq!(order(&subnets), [3, 1, 2]);
        subnets.refuses(NOW, &SubnetId::from_serial(3));
        assert_eq!(order(&subnets), [1, 2, 3]);
        let later = NOW + REFUSED_FOR;
        assert_eq!(serials(&subnets.in_order(later)), [3, 1, 2]);
        subnets.gave(&SubnetId::from_serial(3), 1);
        assert_eq!(order(&subnets), [3, 1, 2]);
    }

    #[test]
    fn counts_are_asked_for_again_when_they_are_old() {
        let mut subnets = told(SubnetRule::Discover, false, &[]);
        assert!(!subnets.is_stale(NOW + KNOWN_FOR));
        let later = NOW + KNOWN_FOR + Duration::from_secs(1);
        assert!(subnets.is_stale(later));
        subnets.learn(later, &[]);
        assert!(!subnets.is_stale(later));
        assert_eq!(
            subnets.none(),
            "no subnet of vpc-00000000000000001 in eu-west-1a is tagged kubernetes.io/role/cni=1, \
             as `subnets` in [enis] wants it"
        );
    }
}
