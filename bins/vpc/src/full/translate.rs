//! The model's objects in the fabric's words.

use std::{net::IpAddr, time::Duration};

use ipnet::IpNet;
use underlay_fabric::{
    GroupRules, Peer, PortConfig, Protocol, Route, RouteTarget, Rule, Subnet, TrackingTimeouts,
};
use underlay_vpc_model::{
    self as model, Eni, Model, PrefixListEntry, RouteState, RouteTable, RuleDirection, RulePeer,
    RuleTraffic, SecurityGroup,
};

/// A port of an ENI, with the tracking of its instance's type.
pub(super) fn port(model: &Model, eni: &Eni) -> PortConfig {
    let primary = std::iter::once(eni.addresses.primary);
    PortConfig {
        eni: eni.id.clone(),
        mac: eni.mac,
        subnet: eni.subnet.clone(),
        addresses: primary
            .chain(eni.addresses.secondary.iter().copied())
            .map(IpAddr::V4)
            .collect(),
        prefixes: eni
            .addresses
            .prefixes
            .iter()
            .copied()
            .map(IpNet::V4)
            .collect(),
        source_dest_check: eni.source_dest_check,
        groups: eni.groups.clone(),
        timeouts: timeouts(model, eni),
    }
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
        blocks: vec![IpNet::V4(subnet.cidr)],
        route_table: table.id.clone(),
    })
}

/// A table's routes; one whose target takes no packets is a blackhole.
pub(super) fn routes(model: &Model, table: &RouteTable) -> Vec<Route> {
    let route = |route: &model::Route| {
        let target = match (model.route_state(route), &route.target) {
            (RouteState::Active, model::RouteTarget::Eni(eni)) => RouteTarget::Eni(eni.clone()),
            (RouteState::Active, model::RouteTarget::Local) => RouteTarget::Local,
            // What the fabric cannot do is refused when the route is made: see `ABSENT`.
            (RouteState::Active | RouteState::Blackhole, _) => RouteTarget::Blackhole,
        };
        let destination = route.destination.cidr()?;
        Some(Route {
            destination,
            target,
        })
    };
    table.routes.iter().filter_map(route).collect()
}

/// A group's rules. Those that speak of IPv6 match nothing here and are left out.
pub(super) fn rules(model: &Model, group: &SecurityGroup) -> GroupRules {
    let of = |direction| {
        let each = |rule| rules_of(model, rule);
        group.rules_of(direction).flat_map(each).collect()
    };
    GroupRules {
        ingress: of(RuleDirection::Ingress),
        egress: of(RuleDirection::Egress),
    }
}

/// A rule that names a prefix list is one for each of its entries.
fn rules_of(model: &Model, rule: &model::Rule) -> Vec<Rule> {
    let peers = match &rule.peer {
        RulePeer::Group(group) => vec![Peer::Group(group.clone())],
        RulePeer::Ipv4(block) => vec![Peer::Cidr(IpNet::V4(*block))],
        RulePeer::Ipv6(_) => Vec::new(),
        RulePeer::PrefixList(list) => {
            let entries = model
                .prefix_list(list)
                .map_or(&[][..], |list| list.entries());
            let peer = |entry: &PrefixListEntry| match entry.cidr {
                IpNet::V4(_) => Some(Peer::Cidr(entry.cidr)),
                IpNet::V6(_) => None,
            };
            entries.iter().filter_map(peer).collect()
        }
    };
    let Some(protocol) = protocol(rule.traffic) else {
        return Vec::new();
    };
    let rule = |peer| Rule { protocol, peer };
    peers.into_iter().map(rule).collect()
}

fn protocol(traffic: RuleTraffic) -> Option<Protocol> {
    let protocol = match traffic {
        RuleTraffic::All => Protocol::Any,
        RuleTraffic::Icmp { kind, code } => Protocol::Icmp { kind, code },
        RuleTraffic::Icmpv6 { .. } => return None,
        RuleTraffic::Protocol(number) => Protocol::Other(number),
        RuleTraffic::Tcp(range) => Protocol::Tcp {
            from: range.from,
            to: range.to,
        },
        RuleTraffic::Udp(range) => Protocol::Udp {
            from: range.from,
            to: range.to,
        },
    };
    Some(protocol)
}
