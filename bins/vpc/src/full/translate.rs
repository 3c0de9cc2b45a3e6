//! The model's objects in the fabric's words.

use std::{
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use ipnet::IpNet;
use underlay_fabric::{
    AclRule, AclRules, GroupRules, INTERNET_MTU, MTU, Peer, PortConfig, Protocol, Route,
    RouteTarget, Rule, Subnet, TrackingAllowance, TrackingTimeouts,
};
use underlay_types::PrefixListId;
use underlay_vpc_model::{
    self as model, AclAction, AclDirection, AclTraffic, Connectivity, Eni, EniAddresses, Model,
    NetworkAcl, NetworkAclEntry, RouteState, RouteTable, RuleDirection, RulePeer, RuleTraffic,
    SecurityGroup,
};

/// A port of an ENI, with the tracking of its instance's type.
pub(super) fn port(model: &Model, eni: &Eni) -> PortConfig {
    PortConfig {
        eni: eni.id.clone(),
        mac: eni.mac,
        subnet: eni.subnet.clone(),
        addresses: eni.addresses.iter().collect(),
        prefixes: prefixes(&eni.addresses),
        source_dest_check: eni.source_dest_check,
        groups: eni.groups.clone(),
        timeouts: timeouts(model, eni),
        allowance: allowance(model, eni),
    }
}

fn allowance(model: &Model, eni: &Eni) -> TrackingAllowance {
    let unlimited = TrackingAllowance::default();
    TrackingAllowance {
        instance: eni.instance().cloned(),
        flows: model.config().tracking_allowance.unwrap_or(unlimited.flows),
    }
}

fn prefixes(own: &EniAddresses) -> Vec<IpNet> {
    let v4 = own.prefixes.iter().copied().map(IpNet::V4);
    let v6 = own.v6_prefixes.iter().copied().map(IpNet::V6);
    v4.chain(v6).collect()
}

fn blocks(subnet: &model::Subnet) -> Vec<IpNet> {
    let v6 = subnet.v6_cidr().map(IpNet::V6);
    std::iter::once(IpNet::V4(subnet.cidr)).chain(v6).collect()
}

fn timeouts(model: &Model, eni: &Eni) -> TrackingTimeouts {
    let own = model.tracking_timeouts(eni);
    let secs = |secs: u32| Duration::from_secs(secs.into());
    TrackingTimeouts {
        tcp_established: secs(own.tcp_established_secs),
        udp: secs(own.udp_secs),
        udp_stream: secs(own.udp_stream_secs),
    }
}

/// A subnet with its route table.
pub(super) fn subnet(model: &Model, subnet: &model::Subnet) -> Option<Subnet> {
    let table = model.route_table_of(&subnet.id)?;
    Some(Subnet {
        vpc: subnet.vpc.clone(),
        blocks: blocks(subnet),
        route_table: table.id.clone(),
        acl: model.network_acl_of(&subnet.id).map(|acl| acl.id.clone()),
        resolver: model.vpc(&subnet.vpc).and_then(model::Vpc::resolver),
    })
}

/// How an ENI's device is set up by DHCP and the router's advertisements.
pub(super) struct Configured {
    /// Addresses, with the lengths of the subnet's blocks.
    pub(super) addresses: Vec<IpNet>,
    /// Whom default routes lead to.
    pub(super) routers: Vec<IpAddr>,
    /// The subnet's blocks.
    pub(super) blocks: Vec<IpNet>,
    /// The interface's prefixes.
    pub(super) prefixes: Vec<IpNet>,
}

/// The router's link-local address, the same in every subnet.
const ROUTER_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0x0ec2, 0, 0, 0, 0, 0, 1);

/// What the device of `eni` gets: its primary address and its IPv6 addresses, as DHCPv6 hands all
/// of them out, or all addresses.
pub(super) fn configured(subnet: &model::Subnet, eni: &Eni, all: bool) -> Configured {
    let own = &eni.addresses;
    let within = |address: IpAddr, length: u8| {
        IpNet::new(address, length).unwrap_or_else(|_| IpNet::from(address))
    };
    let v4 = std::iter::once(own.primary).chain(own.secondary.iter().copied().filter(|_| all));
    let v4 = v4.map(|address| within(IpAddr::V4(address), subnet.cidr.prefix_len()));
    let mut addresses: Vec<_> = v4.collect();
    let mut routers = vec![IpAddr::V4(subnet.router())];
    if let Some(block) = subnet.v6_cidr().filter(|_| !own.v6.is_empty()) {
        let v6 = own.v6.iter().copied();
        addresses.extend(v6.map(|address| within(IpAddr::V6(address), block.prefix_len())));
        routers.push(IpAddr::V6(ROUTER_V6));
    }
    Configured {
        addresses,
        routers,
        blocks: blocks(subnet),
        prefixes: prefixes(own),
    }
}

/// A table's routes, one for each block; one whose target takes no packets is a blackhole. Of two
/// for the same block the later one counts: that of a block after those of prefix lists.
pub(super) fn routes(model: &Model, table: &RouteTable) -> Vec<Route> {
    let routes = |route: &model::Route| {
        let active = model.route_state(route) == RouteState::Active;
        let (target, mtu) = active
            .then(|| target(model, table, &route.target))
            .flatten()
            .unwrap_or((RouteTarget::Blackhole, MTU));
        let blocks = model.blocks_of(&route.destination).into_iter();
        blocks.map(move |destination| Route {
            destination,
            target: target.clone(),
            mtu,
        })
    };
    let is_block = |route: &&model::Route| route.destination.cidr().is_some();
    let (blocks, lists): (Vec<_>, Vec<_>) = table.routes.iter().partition(is_block);
    lists.into_iter().chain(blocks).flat_map(routes).collect()
}

/// A network ACL's entries, the `*` ones among them.
pub(super) fn acl(acl: &NetworkAcl) -> AclRules {
    let rule = |entry: &NetworkAclEntry| AclRule {
        protocol: acl_protocol(entry.traffic),
        block: entry.cidr,
        allow: entry.action == AclAction::Allow,
    };
    AclRules {
        ingress: acl.entries_of(AclDirection::Ingress).map(rule).collect(),
        egress: acl.entries_of(AclDirection::Egress).map(rule).collect(),
    }
}

const fn acl_protocol(traffic: AclTraffic) -> Protocol {
    match traffic {
        AclTraffic::All => Protocol::Any,
        AclTraffic::Icmp { kind, code } => Protocol::Icmp { kind, code },
        AclTraffic::Icmpv6 { kind, code } => Protocol::Icmpv6 { kind, code },
        AclTraffic::Protocol(number) => Protocol::Other(number),
        AclTraffic::Tcp(range) => Protocol::Tcp {
            from: range.from,
            to: range.to,
        },
        AclTraffic::Udp(range) => Protocol::Udp {
            from: range.from,
            to: range.to,
        },
    }
}

/// Whom a route hands packets to, and the largest it takes; `None` while nobody takes any.
fn target(
    model: &Model,
    table: &RouteTable,
    target: &model::RouteTarget,
) -> Option<(RouteTarget, u16)> {
    Some(match target {
        model::RouteTarget::EgressOnlyInternetGateway(_) => (RouteTarget::EgressOnly, INTERNET_MTU),
        model::RouteTarget::Eni(eni) => (RouteTarget::Eni(eni.clone()), MTU),
        model::RouteTarget::InternetGateway(_) => (RouteTarget::Internet, INTERNET_MTU),
        model::RouteTarget::Local => (RouteTarget::Local, MTU),
        model::RouteTarget::NatGateway(id) => {
            let gateway = model.nat_gateway(id).filter(|each| each.is_available())?;
            // What leads on from there is the internet, as a rule.
            let mtu = match gateway.connectivity {
                Connectivity::Private => MTU,
                Connectivity::Public => INTERNET_MTU,
            };
            (RouteTarget::Nat(gateway.eni()?.clone()), mtu)
        }
        model::RouteTarget::Peering(id) => {
            let peer = model.peering(id)?.peer_of(&table.vpc)?;
            (RouteTarget::Peering(peer.clone()), MTU)
        }
    })
}

/// A group's rules.
pub(super) fn rules(group: &SecurityGroup) -> GroupRules {
    let of = |direction| group.rules_of(direction).map(rule).collect();
    GroupRules {
        ingress: of(RuleDirection::Ingress),
        egress: of(RuleDirection::Egress),
    }
}

/// The prefix lists that a group's rules name.
pub(super) fn lists_of(group: &SecurityGroup) -> impl Iterator<Item = &PrefixListId> {
    group.rules.iter().filter_map(|rule| match &rule.peer {
        RulePeer::PrefixList(list) => Some(list),
        RulePeer::Group(_) | RulePeer::Ipv4(_) | RulePeer::Ipv6(_) => None,
    })
}

fn rule(rule: &model::Rule) -> Rule {
    let peer = match &rule.peer {
        RulePeer::Group(group) => Peer::Group(group.clone()),
        RulePeer::Ipv4(block) => Peer::Cidr(IpNet::V4(*block)),
        RulePeer::Ipv6(block) => Peer::Cidr(IpNet::V6(*block)),
        RulePeer::PrefixList(list) => Peer::List(list.clone()),
    };
    let protocol = protocol(rule.traffic);
    Rule { protocol, peer }
}

const fn protocol(traffic: RuleTraffic) -> Protocol {
    match traffic {
        RuleTraffic::All => Protocol::Any,
        RuleTraffic::Icmp { kind, code } => Protocol::Icmp { kind, code },
        RuleTraffic::Icmpv6 { kind, code } => Protocol::Icmpv6 { kind, code },
        RuleTraffic::Protocol(number) => Protocol::Other(number),
        RuleTraffic::Tcp(range) => Protocol::Tcp {
            from: range.from,
            to: range.to,
        },
        RuleTraffic::Udp(range) => Protocol::Udp {
            from: range.from,
            to: range.to,
        },
    }
}
