//! A model in the words of the fabric.

use ipnet::IpNet;
use underlay_fabric::{
    AclRule, AclRules, Fabric, GroupRules, Peer, PortConfig, Protocol, Route, RouteTarget, Rule,
    Subnet, TrackingAllowance, TrackingTimeouts,
};
use underlay_vpc_model::{
    AclAction, AclDirection, AclTraffic, Eni, EniAddresses, Model, NetworkAcl, NetworkAclEntry,
    RouteState, RouteTarget as ModelTarget, Rule as ModelRule, RuleDirection, RulePeer,
    RuleTraffic, SecurityGroup,
};

pub(crate) fn port(eni: &Eni) -> PortConfig {
    let addresses = &eni.addresses;
    PortConfig {
        eni: eni.id.clone(),
        mac: eni.mac,
        subnet: eni.subnet.clone(),
        addresses: addresses.iter().collect(),
        prefixes: prefixes(addresses),
        source_dest_check: eni.source_dest_check,
        groups: eni.groups.clone(),
        timeouts: TrackingTimeouts::default(),
        allowance: TrackingAllowance::default(),
    }
}

fn prefixes(own: &EniAddresses) -> Vec<IpNet> {
    let v4 = own.prefixes.iter().copied().map(IpNet::V4);
    let v6 = own.v6_prefixes.iter().copied().map(IpNet::V6);
    v4.chain(v6).collect()
}

/// Tells the fabric of everything but ports.
pub(crate) fn tell(model: &Model, fabric: &mut Fabric) {
    for acl in model.network_acls() {
        fabric.set_acl(&acl.id, &acl_rules(acl)).unwrap();
    }
    for subnet in model.subnets() {
        let words = Subnet {
            vpc: subnet.vpc.clone(),
            blocks: std::iter::once(IpNet::V4(subnet.cidr))
                .chain(subnet.v6_cidr().map(IpNet::V6))
                .collect(),
            acl: model.network_acl_of(&subnet.id).map(|acl| acl.id.clone()),
            resolver: None,
            route_table: model.route_table_of(&subnet.id).unwrap().id.clone(),
        };
        fabric.set_subnet(&subnet.id, words).unwrap();
    }
    for table in model.route_tables() {
        let routes: Vec<_> = table
            .routes
            .iter()
            .map(|route| {
                let target = match (&route.target, model.route_state(route)) {
                    (_, RouteState::Blackhole) => RouteTarget::Blackhole,
                    (ModelTarget::Local, RouteState::Active) => RouteTarget::Local,
                    (ModelTarget::Eni(id), RouteState::Active) => RouteTarget::Eni(id.clone()),
                    // These worlds have no gateways.
                    (_, RouteState::Active) => unreachable!("{route:?}"),
                };
                Route::new(route.destination.cidr().unwrap(), target)
            })
            .collect();
        fabric.set_routes(&table.id, &routes).unwrap();
    }
    for list in model.prefix_lists() {
        let blocks: Vec<_> = list.entries().iter().map(|entry| entry.cidr).collect();
        fabric.set_prefix_list(&list.id, &blocks).unwrap();
    }
    for group in model.groups() {
        fabric.set_group(&group.id, &rules(group)).unwrap();
    }
}

fn acl_rules(acl: &NetworkAcl) -> AclRules {
    let rule = |entry: &NetworkAclEntry| AclRule {
        protocol: match entry.traffic {
            AclTraffic::All => Protocol::Any,
            AclTraffic::Icmp { kind, code } => Protocol::Icmp { kind, code },
            AclTraffic::Icmpv6 { kind, code } => Protocol::Icmpv6 { kind, code },
            AclTraffic::Protocol(number) => Protocol::Other(number),
            AclTraffic::Tcp(ports) => Protocol::Tcp {
                from: ports.from,
                to: ports.to,
            },
            AclTraffic::Udp(ports) => Protocol::Udp {
                from: ports.from,
                to: ports.to,
            },
        },
        block: entry.cidr,
        allow: entry.action == AclAction::Allow,
    };
    AclRules {
        ingress: acl.entries_of(AclDirection::Ingress).map(rule).collect(),
        egress: acl.entries_of(AclDirection::Egress).map(rule).collect(),
    }
}

fn rules(group: &SecurityGroup) -> GroupRules {
    let of = |direction| group.rules_of(direction).map(rule).collect();
    GroupRules {
        ingress: of(RuleDirection::Ingress),
        egress: of(RuleDirection::Egress),
    }
}

fn rule(rule: &ModelRule) -> Rule {
    let protocol = match rule.traffic {
        RuleTraffic::All => Protocol::Any,
        RuleTraffic::Icmp { kind, code } => Protocol::Icmp { kind, code },
        RuleTraffic::Icmpv6 { kind, code } => Protocol::Icmpv6 { kind, code },
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
        RulePeer::Ipv6(block) => Peer::Cidr(IpNet::V6(*block)),
        RulePeer::PrefixList(list) => Peer::List(list.clone()),
    };
    Rule { protocol, peer }
}
