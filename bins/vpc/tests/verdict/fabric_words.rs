//! A model in the words of the fabric.

use std::net::IpAddr;

use ipnet::IpNet;
use underlay_fabric::{
    Fabric, GroupRules, Peer, PortConfig, Protocol, Route, RouteTarget, Rule, Subnet,
    TrackingTimeouts,
};
use underlay_vpc_model::{
    Eni, Model, RouteState, RouteTarget as ModelTarget, Rule as ModelRule, RuleDirection, RulePeer,
    RuleTraffic, SecurityGroup,
};

pub(crate) fn port(eni: &Eni) -> PortConfig {
    let addresses = &eni.addresses;
    PortConfig {
        eni: eni.id.clone(),
        mac: eni.mac,
        subnet: eni.subnet.clone(),
        addresses: std::iter::once(addresses.primary)
            .chain(addresses.secondary.iter().copied())
            .map(IpAddr::V4)
            .collect(),
        prefixes: addresses.prefixes.iter().copied().map(IpNet::V4).collect(),
        source_dest_check: eni.source_dest_check,
        groups: eni.groups.clone(),
        timeouts: TrackingTimeouts::default(),
    }
}

/// Tells the fabric of everything but ports.
pub(crate) fn tell(model: &Model, fabric: &mut Fabric) {
    for subnet in model.subnets() {
        let words = Subnet {
            vpc: subnet.vpc.clone(),
            blocks: vec![IpNet::V4(subnet.cidr)],
            route_table: model.route_table_of(&subnet.id).unwrap().id.clone(),
        };
        fabric.set_subnet(&subnet.id, words).unwrap();
    }
    for table in model.route_tables() {
        let routes: Vec<_> = table
            .routes
            .iter()
            .map(|route| Route {
                destination: route.destination.cidr().unwrap(),
                target: match (&route.target, model.route_state(route)) {
                    (_, RouteState::Blackhole) => RouteTarget::Blackhole,
                    (ModelTarget::Local, RouteState::Active) => RouteTarget::Local,
                    (ModelTarget::Eni(id), RouteState::Active) => RouteTarget::Eni(id.clone()),
                    // These worlds have no gateways.
                    (_, RouteState::Active) => unreachable!("{route:?}"),
                },
            })
            .collect();
        fabric.set_routes(&table.id, &routes).unwrap();
    }
    for group in model.groups() {
        fabric.set_group(&group.id, &rules(group)).unwrap();
    }
}

fn rules(group: &SecurityGroup) -> GroupRules {
    let of = |direction| group.rules_of(direction).filter_map(rule).collect();
    GroupRules {
        ingress: of(RuleDirection::Ingress),
        egress: of(RuleDirection::Egress),
    }
}

fn rule(rule: &ModelRule) -> Option<Rule> {
    let protocol = match rule.traffic {
        RuleTraffic::All => Protocol::Any,
        RuleTraffic::Icmp { kind, code } => Protocol::Icmp { kind, code },
        RuleTraffic::Icmpv6 { .. } => return None,
        RuleTraffic::Protocol(number) => Protocol::Other(number),
        RuleTraffic::Tcp(ports) => Protocol::Tcp {
            from: ports.from,
            to: ports.to,
        },
        RuleTraffic::Udp(ports) => Protocol::Udp {
            from: ports.from,
            to: ports.to,
        },
    };
    let peer = match &rule.peer {
        RulePeer::Group(id) => Peer::Group(id.clone()),
        RulePeer::Ipv4(block) => Peer::Cidr(IpNet::V4(*block)),
        RulePeer::Ipv6(_) | RulePeer::PrefixList(_) => return None,
    };
    Some(Rule { protocol, peer })
}
