//! Blocks of VPCs and subnets beyond the first.

use std::time::Duration;

use ipnet::{IpNet, Ipv6Net};

use super::*;
use crate::{
    CidrState, PeeringState, RouteTarget, RuleDirection, RulePeer, RuleTraffic, SubnetAttribute,
    SubnetRequest, VpcAttribute,
};

/// The code of a refusal, or nothing.
fn code<T>(outcome: Result<T, Ec2Error>) -> &'static str {
    outcome.err().map_or("", |error| error.code.as_str())
}

fn vpc_of(cidr: &str) -> (Model, VpcId) {
    let mut model = model(Preset::Instant, AddressOrder::Sequential);
    let vpc = model.create_vpc(net(cidr), Tags::new()).unwrap();
    (model, vpc)
}

fn locals(model: &Model) -> Vec<Vec<String>> {
    let of = |table: &RouteTable| {
        let routes = table.routes.iter();
        let local = routes.filter(|route| route.target == RouteTarget::Local);
        local.map(|route| route.destination.to_string()).collect()
    };
    model.route_tables().map(of).collect()
}

fn dual_stack() -> (Model, VpcId, Ipv6Net) {
    let mut model = model(Preset::Instant, AddressOrder::Sequential);
    let vpc = model
        .create_dual_stack_vpc(net("10.0.0.0/16"), Tags::new(), NOW)
        .unwrap();
    let block = model.vpc(&vpc).unwrap().v6_cidrs[0].cidr;
    (model, vpc, block)
}

/// The `nth` /64 of a /56.
fn nth(block: Ipv6Net, nth: usize) -> Ipv6Net {
    block.subnets(64).unwrap().nth(nth).unwrap()
}

fn subnet_with(vpc: &VpcId, cidr: &str, v6: Option<Ipv6Net>) -> SubnetRequest {
    SubnetRequest {
        vpc: vpc.clone(),
        cidr: net(cidr),
        v6,
        zone: None,
        tags: Tags::new(),
    }
}

#[test]
fn a_block_more_takes_subnets_and_is_local_in_every_table() {
    let (mut model, vpc) = vpc_of("10.2.0.0/16");
    model.create_route_table(&vpc, Tags::new()).unwrap();
    assert_eq!(
        code(model.create_subnet(&vpc, net("100.64.1.0/24"), None, Tags::new())),
        "InvalidSubnet.Range"
    );
    let second = model
        .associate_vpc_cidr(&vpc, net("100.64.0.18/16"), NOW)
        .unwrap();
    assert_eq!(locals(&model), [["10.2.0.0/16", "100.64.0.0/16"]; 2]);
    let subnet = model
        .create_subnet(&vpc, net("100.64.1.0/24"), None, Tags::new())
        .unwrap();
    assert_eq!(
        code(model.disassociate_vpc_cidr(&second, NOW)),
        "InvalidCidrBlock.InUse"
    );
    model.delete_subnet(&subnet).unwrap();
    let gone = model.disassociate_vpc_cidr(&second, NOW).unwrap();
    assert_eq!(gone, (vpc.clone(), IpNet::V4(net("100.64.0.0/16"))));
    assert_eq!(locals(&model), [["10.2.0.0/16"]; 2]);
    assert_eq!(model.vpc(&vpc).unwrap().cidrs.len(), 1);
    assert_eq!(
        code(model.disassociate_vpc_cidr(&second, NOW)),
        "InvalidVpcCidrBlockAssociationID.NotFound"
    );
    let primary = model.vpc(&vpc).unwrap().cidrs[0].id.clone();
    assert_eq!(
        code(model.disassociate_vpc_cidr(&primary, NOW)),
        "OperationNotPermitted"
    );
}

#[test]
fn blocks_overlap_nothing_and_are_no_more_than_the_quota() {
    let (mut model, vpc) = vpc_of("10.2.0.0/16");
    let mut associate = |cidr: &str| code(model.associate_vpc_cidr(&vpc, net(cidr), NOW));
    for bad in [
        "10.2.128.0/17",
        "10.3.0.0/15",
        "10.3.0.0/29",
        "172.16.0.0/16",
        "127.0.0.0/16",
    ] {
        assert_eq!(associate(bad), "InvalidVpc.Range", "{bad}");
    }
    for good in ["10.3.0.0/16", "10.4.0.0/28", "100.64.0.0/16", "8.8.0.0/16"] {
        assert_eq!(associate(good), "", "{good}");
    }
    assert_eq!(associate("10.5.0.0/16"), "CidrLimitExceeded");
}

#[test]
fn a_block_is_not_as_wide_as_a_route() {
    let (mut model, vpc) = vpc_of("10.2.0.0/16");
    let subnet = model
        .create_subnet(&vpc, net("10.2.1.0/24"), None, Tags::new())
        .unwrap();
    let eni = model.create_eni(&EniRequest::new(subnet)).unwrap();
    let table = model.vpc(&vpc).unwrap().main_route_table.clone();
    model
        .create_route(
            &table,
            net("10.3.0.0/24").into(),
            crate::RouteTarget::Eni(eni),
        )
        .unwrap();
    let mut associate = |cidr: &str| code(model.associate_vpc_cidr(&vpc, net(cidr), NOW));
    assert_eq!(associate("10.3.0.0/16"), "InvalidVpc.Range");
    assert_eq!(associate("10.3.0.0/24"), "InvalidVpc.Range");
    assert_eq!(associate("10.3.0.0/25"), "");
}

#[test]
fn amazon_provides_a_56_and_subnets_take_parts_of_it() {
    let (mut model, vpc, block) = dual_stack();
    assert_eq!(block.prefix_len(), 56);
    let request = subnet_with(&vpc, "10.0.1.0/24", Some(nth(block, 1)));
    let subnet = model.create_subnet_with(request, NOW).unwrap();
    let seen = model.subnet(&subnet).unwrap();
    assert_eq!(seen.v6_cidr(), Some(nth(block, 1)));
    for (cidr, v6, expected) in [
        (
            "10.0.2.0/24",
            nth(block, 1).to_string(),
            "InvalidSubnet.Conflict",
        ),
        (
            "10.0.2.0/24",
            format!("{}/60", block.network()),
            "InvalidSubnet.Conflict",
        ),
        (
            "10.0.2.0/24",
            format!("{}/62", block.network()),
            "InvalidSubnet.Range",
        ),
        (
            "10.0.2.0/24",
            "2001:db8::/64".to_owned(),
            "InvalidSubnet.Range",
        ),
        ("10.0.2.0/24", nth(block, 2).to_string(), ""),
    ] {
        let request = subnet_with(&vpc, cidr, Some(v6.parse().unwrap()));
        assert_eq!(
            code(model.create_subnet_with(request, NOW)),
            expected,
            "{v6}"
        );
    }
    let second = nth(block, 9);
    assert_eq!(
        code(model.associate_subnet_v6(&subnet, second, NOW)),
        "InvalidParameterValue"
    );
    let held = model.subnet(&subnet).unwrap().v6.clone().unwrap();
    assert_eq!(held.state, CidrState::Associated);
    let on = SubnetAttribute::AssignV6OnCreation;
    model.set_subnet_attribute(&subnet, on(true)).unwrap();
    assert_eq!(
        code(model.disassociate_subnet_v6(&held.id, NOW)),
        "InvalidCidrBlock.InUse"
    );
    model.set_subnet_attribute(&subnet, on(false)).unwrap();
    model.disassociate_subnet_v6(&held.id, NOW).unwrap();
    assert_eq!(model.subnet(&subnet).unwrap().v6, None);
    assert_eq!(
        code(model.set_subnet_attribute(&subnet, on(true))),
        "InvalidParameterValue"
    );
    model.associate_subnet_v6(&subnet, second, NOW).unwrap();
}

#[test]
fn an_ipv6_block_stays_while_a_subnet_has_part_of_it() {
    let (mut model, vpc, block) = dual_stack();
    let request = subnet_with(&vpc, "10.0.1.0/24", Some(nth(block, 0)));
    let subnet = model.create_subnet_with(request, NOW).unwrap();
    let association = model.vpc(&vpc).unwrap().v6_cidrs[0].id.clone();
    assert_eq!(
        code(model.disassociate_vpc_cidr(&association, NOW)),
        "InvalidCidrBlock.InUse"
    );
    model.delete_subnet(&subnet).unwrap();
    model.disassociate_vpc_cidr(&association, NOW).unwrap();
    assert_eq!(model.vpc(&vpc).unwrap().v6_cidrs, []);
    for _ in 0..5 {
        model.associate_vpc_v6(&vpc, NOW).unwrap();
    }
    assert_eq!(code(model.associate_vpc_v6(&vpc, NOW)), "CidrLimitExceeded");
}

#[test]
fn blocks_come_and_go_in_their_time() {
    let mut model = model(Preset::Realistic, AddressOrder::Sequential);
    let vpc = model
        .create_dual_stack_vpc(net("10.0.0.0/16"), Tags::new(), NOW)
        .unwrap();
    let state = |model: &Model| {
        let held = model.vpc(&vpc).unwrap().v6_cidrs.first();
        held.map(|held| held.state)
    };
    assert_eq!(state(&model), Some(CidrState::Associating));
    let end = NOW + Duration::from_secs(10);
    model.tick(end);
    assert_eq!(state(&model), Some(CidrState::Associated));
    let association = model.vpc(&vpc).unwrap().v6_cidrs[0].id.clone();
    model.disassociate_vpc_cidr(&association, end).unwrap();
    assert_eq!(state(&model), Some(CidrState::Disassociating));
    assert_eq!(model.vpc(&vpc).unwrap().v6_blocks().count(), 0);
    model.tick(end + Duration::from_secs(10));
    assert_eq!(state(&model), None);
}

#[test]
fn host_names_need_dns() {
    let (mut model, vpc) = vpc_of("10.0.0.0/16");
    let mut set = |attribute| code(model.set_vpc_attribute(&vpc, attribute));
    assert_eq!(set(VpcAttribute::DnsSupport(false)), "");
    assert_eq!(
        set(VpcAttribute::DnsHostnames(true)),
        "InvalidParameterValue"
    );
    assert_eq!(set(VpcAttribute::DnsSupport(true)), "");
    assert_eq!(set(VpcAttribute::DnsHostnames(true)), "");
}

#[test]
fn the_first_ipv6_block_opens_the_egress_that_nobody_changed() {
    let (mut model, vpc) = vpc_of("10.2.0.0/16");
    let create = |model: &mut Model, name| model.create_group(&vpc, name, name, Tags::new());
    let [kept, changed] = ["kept", "changed"].map(|name| create(&mut model, name).unwrap());
    let all = |model: &Model, id: &SecurityGroupId| {
        let peers = model.group(id).unwrap().rules_of(RuleDirection::Egress);
        peers.map(|rule| rule.peer.clone()).collect::<Vec<_>>()
    };
    let v4 = RulePeer::Ipv4(net("0.0.0.0/0"));
    let v6 = RulePeer::Ipv6(Ipv6Net::default());
    let more = RuleSpec {
        traffic: RuleTraffic::All,
        peer: RulePeer::Ipv4(net("10.0.0.0/8")),
        description: None,
    };
    let egress = RuleDirection::Egress;
    model
        .authorize(&changed, egress, &[more], &Tags::new())
        .unwrap();
    model.associate_vpc_v6(&vpc, NOW).unwrap();
    let default = model.vpc(&vpc).unwrap().default_group.clone();
    for group in [&kept, &default] {
        assert_eq!(all(&model, group), [v4.clone(), v6.clone()]);
    }
    assert_eq!(all(&model, &changed).len(), 2);
    assert!(!all(&model, &changed).contains(&v6));
    let new = create(&mut model, "new").unwrap();
    assert_eq!(all(&model, &new), [v4.clone(), v6.clone()]);
    // A further block changes nothing, and what was taken away stays away.
    let to_all_v6 = RuleSpec {
        traffic: RuleTraffic::All,
        peer: v6,
        description: None,
    };
    model.revoke(&kept, egress, &[to_all_v6]).unwrap();
    model.associate_vpc_v6(&vpc, NOW).unwrap();
    assert_eq!(all(&model, &kept), [v4]);
}

#[test]
fn a_block_is_not_taken_that_a_peer_has() {
    let (mut model, vpc) = vpc_of("10.2.0.0/16");
    let peer = model.create_vpc(net("10.3.0.0/16"), Tags::new()).unwrap();
    let request = model.create_peering(&vpc, &peer, Tags::new(), NOW).unwrap();
    // Who asked waits for the answer; who was asked does not.
    let block =
        |model: &mut Model, vpc: &VpcId, cidr: &str| model.associate_vpc_cidr(vpc, net(cidr), NOW);
    assert_eq!(
        code(block(&mut model, &vpc, "10.4.0.0/16")),
        "OperationNotPermitted"
    );
    block(&mut model, &peer, "10.5.0.0/16").unwrap();
    model.accept_peering(&request, NOW).unwrap();
    for taken in ["10.3.0.0/17", "10.5.0.0/16"] {
        assert_eq!(code(block(&mut model, &vpc, taken)), "InvalidVpc.Range");
    }
    assert_eq!(
        code(block(&mut model, &peer, "10.2.128.0/17")),
        "InvalidVpc.Range"
    );
    block(&mut model, &vpc, "10.4.0.0/16").unwrap();
    model.delete_peering(&request, NOW).unwrap();
    block(&mut model, &vpc, "10.3.0.0/16").unwrap();
}

#[test]
fn a_request_fails_when_the_other_side_takes_a_block_of_the_asking_one() {
    let (mut model, vpc) = vpc_of("10.2.0.0/16");
    let peer = model.create_vpc(net("10.3.0.0/16"), Tags::new()).unwrap();
    let request = model.create_peering(&vpc, &peer, Tags::new(), NOW).unwrap();
    let overlapping = model.associate_vpc_cidr(&peer, net("10.2.0.0/17"), NOW);
    overlapping.unwrap();
    let state = model.peering(&request).unwrap().state;
    assert_eq!(state, PeeringState::Failed);
    assert_eq!(
        code(model.accept_peering(&request, NOW)),
        "InvalidStateTransition"
    );
}
