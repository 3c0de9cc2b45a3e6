//! What the engine learns once, at its start: where it runs and what the place allows.

use std::{net::Ipv4Addr, sync::Arc};

use ipnet::Ipv4Net;
use tracing::warn;
use underlay_cloud::{
    Ec2, Ec2Error, Imds, ImdsError,
    ec2::{Ec2ConfigError, InstanceTypeLimits, InterfaceQuery, NetworkInterface},
    imds::InstanceIdentity,
};
use underlay_ipam::{InstanceLimits, SubnetRule};
use underlay_types::{Families, Family, SubnetId, VpcId};

use super::{
    memory::{self, Remembered},
    observation::INSTANCE_TAG,
};
use crate::config::Targets;

/// Why the agent cannot know where it runs.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// No metadata service.
    #[error(
        "this is not an EC2 instance, or its metadata service is off: turn IMDSv2 on \
         (HttpEndpoint enabled), or set AWS_EC2_METADATA_SERVICE_ENDPOINT"
    )]
    Metadata(#[source] ImdsError),
    /// EC2 cannot be configured.
    #[error("EC2 cannot be reached as configured")]
    Config(#[source] Ec2ConfigError),
    /// EC2 refused to tell.
    #[error("EC2 does not say what this instance has; see the README for the permissions needed")]
    Ec2(#[source] Ec2Error),
    /// Translation is asked for where there is nothing to translate to.
    #[error("snat.enabled is true, but the instance's primary ENI has no IPv4 address")]
    NoIpv4,
    /// EC2 knows no ENI with the instance's own Ethernet address.
    #[error("EC2 does not know the primary ENI of {instance} ({mac})")]
    NoPrimary {
        /// The instance.
        instance: String,
        /// The Ethernet address its metadata names.
        mac: String,
    },
    /// Pods are to have IPv6 addresses, and the subnet has none.
    #[error(
        "pods cannot have IPv6 addresses: {0} has no IPv6 block; give it one \
         (AssociateSubnetCidrBlock), or set families = [\"v4\"] in [addresses]"
    )]
    SubnetWithoutIpv6(SubnetId),
    /// Pods are to have IPv6 addresses, and the instance's ENIs take none.
    #[error(
        "pods cannot have IPv6 addresses: the ENIs of {0} take no IPv6 prefixes; use a type of the \
         Nitro system, or set families = [\"v4\"] in [addresses]"
    )]
    TypeWithoutIpv6(String),
}

/// Where the engine runs.
#[derive(Debug)]
pub(super) struct NodeFacts {
    pub(super) identity: InstanceIdentity,
    pub(super) vpc: VpcId,
    pub(super) zone: String,
    pub(super) subnet: SubnetId,
    pub(super) subnet_cidr: Ipv4Net,
    pub(super) primary_address: Option<Ipv4Addr>,
    pub(super) limits: InstanceLimits,
    /// The families that pods get addresses of.
    pub(super) families: Families,
}

/// The node, a client for its region, and what EC2 shows there.
pub(super) struct Found {
    pub(super) node: Arc<NodeFacts>,
    pub(super) ec2: Ec2,
    /// What EC2 said, now or to an earlier agent.
    pub(super) known: Remembered,
    /// Whether this is what an earlier agent knew, and EC2 was not asked.
    pub(super) remembered: bool,
}

/// Asks the metadata service, and EC2 unless what an earlier agent of this instance remembered is
/// enough.
pub(super) async fn find(
    imds: &Imds,
    connect: impl FnOnce(&str) -> Result<Ec2, Ec2ConfigError>,
    targets: &Targets,
    subnets: &SubnetRule,
    remembered: Option<Remembered>,
) -> Result<Found, NodeError> {
    let families = targets.families;
    let identity = imds.identity().await.map_err(NodeError::Metadata)?;
    let ec2 = connect(&identity.region).map_err(NodeError::Config)?;
    let shares = subnets.shares_with_node();
    let fits = |known: &Remembered| {
        let place = &known.place;
        place.instance == identity.instance_id
            && place.primary_mac == identity.primary_mac
            && place.limits.instance_type == identity.instance_type
            && (!families.has(Family::V6) || is_fit_for_ipv6(place, shares))
    };
    let remembered = remembered.filter(fits);
    let is_remembered = remembered.is_some();
    let known = match remembered {
        Some(known) => known,
        None => ask(imds, &ec2, &identity, families, shares).await?,
    };
    let place = &known.place;
    let primary = primary(&known.interfaces, &identity)?;
    let node = Arc::new(NodeFacts {
        vpc: primary.vpc.clone(),
        zone: primary.zone.clone(),
        subnet: primary.subnet.clone(),
        subnet_cidr: place.subnet_cidr,
        primary_address: primary.primary,
        limits: instance_limits(&place.limits, targets.max_enis),
        families,
        identity,
    });
    Ok(Found {
        node,
        ec2,
        known,
        remembered: is_remembered,
    })
}

/// Whether IPv6 was looked for where this agent needs it, and found. `shares`: pods use the node's
/// subnet too.
const fn is_fit_for_ipv6(place: &memory::Place, shares: bool) -> bool {
    takes_ipv6(&place.limits) && (place.subnet_has_ipv6 || !shares)
}

const fn takes_ipv6(limits: &InstanceTypeLimits) -> bool {
    limits.ipv6 && limits.prefixes
}

fn primary<'a>(
    interfaces: &'a [NetworkInterface],
    identity: &InstanceIdentity,
) -> Result<&'a NetworkInterface, NodeError> {
    let mac = identity.primary_mac;
    interfaces
        .iter()
        .find(|eni| eni.mac == mac)
        .ok_or_else(|| NodeError::NoPrimary {
            instance: identity.instance_id.to_string(),
            mac: mac.to_string(),
        })
}

async fn ask(
    imds: &Imds,
    ec2: &Ec2,
    identity: &InstanceIdentity,
    families: Families,
    shares: bool,
) -> Result<Remembered, NodeError> {
    let mac = identity.primary_mac;
    let path = format!("/latest/meta-data/network/interfaces/macs/{mac}/subnet-ipv4-cidr-block");
    let cidr = imds.get(&path).await.map_err(NodeError::Metadata)?;
    let limits = ec2
        .describe_instance_type(&identity.instance_type)
        .await
        .map_err(NodeError::Ec2)?;
    let interfaces = interfaces(ec2, identity).await.map_err(NodeError::Ec2)?;
    let primary = primary(&interfaces, identity)?;
    if families.has(Family::V6) {
        let shared = shares.then_some(&primary.subnet);
        can_have_ipv6(ec2, &limits, shared).await?;
        if primary.ipv6.is_empty() {
            warn!(
                eni = %primary.id,
                "the node has no IPv6 address of its own: it cannot probe its pods over IPv6 until \
                 its primary ENI has one (AssignIpv6Addresses)"
            );
        }
    }
    let missing = || NodeError::NoPrimary {
        instance: identity.instance_id.to_string(),
        mac: mac.to_string(),
    };
    let place = memory::Place {
        instance: identity.instance_id.clone(),
        primary_mac: mac,
        limits,
        subnet_cidr: cidr.trim().parse().ok().ok_or_else(missing)?,
        subnet_has_ipv6: shares && families.has(Family::V6),
    };
    Ok(Remembered {
        place,
        interfaces,
        subnets: Vec::new(),
    })
}

/// `subnet` is the node's own, where pods use it too.
async fn can_have_ipv6(
    ec2: &Ec2,
    limits: &InstanceTypeLimits,
    subnet: Option<&SubnetId>,
) -> Result<(), NodeError> {
    if !takes_ipv6(limits) {
        let kind = limits.instance_type.clone();
        return Err(NodeError::TypeWithoutIpv6(kind));
    }
    let Some(subnet) = subnet else {
        return Ok(());
    };
    let subnets = ec2.describe_subnets(std::slice::from_ref(subnet)).await;
    let subnets = subnets.map_err(NodeError::Ec2)?;
    if subnets.iter().any(|found| !found.ipv6_cidrs.is_empty()) {
        Ok(())
    } else {
        Err(NodeError::SubnetWithoutIpv6(subnet.clone()))
    }
}

/// Every ENI that is attached to the instance or was created for it.
pub(super) async fn interfaces(
    ec2: &Ec2,
    identity: &InstanceIdentity,
) -> Result<Vec<NetworkInterface>, Ec2Error> {
    let instance = &identity.instance_id;
    let attached = InterfaceQuery::attached_to(instance);
    let tagged = InterfaceQuery::tagged(INSTANCE_TAG, instance.as_str());
    let (attached, tagged) = tokio::try_join!(
        ec2.describe_network_interfaces(&attached),
        ec2.describe_network_interfaces(&tagged),
    )?;
    let mut all = attached;
    all.extend(tagged);
    all.sort_by(|left, right| left.id.cmp(&right.id));
    all.dedup_by(|left, right| left.id == right.id);
    Ok(all)
}

fn instance_limits(limits: &InstanceTypeLimits, max_enis: Option<u32>) -> InstanceLimits {
    let enis = |count: u32| u8::try_from(count).unwrap_or(u8::MAX);
    InstanceLimits {
        enis_per_card: limits
            .cards
            .iter()
            .map(|card| enis(card.interfaces))
            .collect(),
        enis: max_enis.map_or_else(
            || usize::try_from(limits.interfaces).ok(),
            |max| usize::try_from(max.min(limits.interfaces)).ok(),
        ),
        ipv4_per_eni: u16::try_from(limits.ipv4_per_interface).unwrap_or(u16::MAX),
        prefixes: limits.prefixes,
    }
}

#[cfg(test)]
mod tests {
    use underlay_types::{InstanceId, Mac};

    use super::*;

    fn place(type_has_ipv6: bool, subnet_has_ipv6: bool) -> memory::Place {
        memory::Place {
            instance: InstanceId::from_serial(1),
            primary_mac: Mac::local(1),
            limits: InstanceTypeLimits {
                instance_type: "m5.large".to_owned(),
                interfaces: 3,
                ipv4_per_interface: 10,
                cards: Vec::new(),
                prefixes: true,
                ipv6: type_has_ipv6,
            },
            subnet_cidr: "10.0.0.0/24".parse().unwrap(),
            subnet_has_ipv6,
        }
    }

    #[test]
    fn ipv6_is_looked_for_again_unless_it_was_found_where_pods_get_it() {
        let shares = true;
        assert!(is_fit_for_ipv6(&place(true, true), shares));
        // Pods used other subnets so far: nobody looked at the node's.
        assert!(!is_fit_for_ipv6(&place(true, false), shares));
        assert!(is_fit_for_ipv6(&place(true, false), !shares));
        assert!(!is_fit_for_ipv6(&place(false, true), shares));
        assert!(!is_fit_for_ipv6(&place(false, false), !shares));
    }
}
