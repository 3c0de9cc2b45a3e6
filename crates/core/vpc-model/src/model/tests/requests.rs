//! What a request may ask for, and how it is counted.

use super::*;
use crate::Limits;

#[test]
fn a_launch_counts_the_instances_that_are_not_terminated() {
    let (mut model, subnet, first) = with_instance("10.0.1.0/24", "m5.large");
    model.config.limits = Limits {
        instances: 3,
        ..Limits::default()
    };
    model.terminate(&[first], NOW).unwrap();
    model.launch(&launch(&subnet, "m5.large", 2), NOW).unwrap();
    assert_eq!(alive(&model), 2);
    assert_eq!(
        code(model.launch(&launch(&subnet, "m5.large", 2), NOW)),
        "InstanceLimitExceeded"
    );
    let up_to_five = LaunchRequest {
        min_count: 1,
        ..launch(&subnet, "m5.large", 5)
    };
    model.launch(&up_to_five, NOW).unwrap();
    assert_eq!(alive(&model), 3);
    assert_eq!(
        code(model.launch(&up_to_five, NOW)),
        "InstanceLimitExceeded"
    );
}

fn alive(model: &Model) -> usize {
    let alive = |each: &&Instance| each.state != InstanceState::Terminated;
    model.instances().filter(alive).count()
}

#[test]
fn a_launch_in_another_zone_than_the_subnets_is_refused() {
    let (mut model, subnet, _) = with_instance("10.0.1.0/24", "m5.large");
    let mut request = launch(&subnet, "m5.large", 1);
    request.zone = Some("us-east-1b".to_owned());
    assert_eq!(code(model.launch(&request, NOW)), "InvalidParameterValue");
    request.zone = Some("us-east-1a".to_owned());
    model.launch(&request, NOW).unwrap();
}

#[test]
fn user_data_goes_with_the_instance() {
    let (mut model, subnet, _) = with_instance("10.0.1.0/24", "m5.large");
    let mut request = launch(&subnet, "m5.large", 1);
    request.user_data = Some("aGk=".to_owned());
    let reservation = model.launch(&request, NOW).unwrap();
    let made = |model: &Model| {
        let mut all = model.instances();
        all.find(|each| each.reservation == reservation)
            .unwrap()
            .clone()
    };
    let before = made(&model);
    assert_eq!(before.user_data, request.user_data);
    model.terminate(&[before.id], NOW).unwrap();
    assert_eq!(made(&model).user_data, None);
}

#[test]
fn an_address_the_interface_has_already_stays() {
    let (mut model, subnet, _) = with_instance("10.0.1.0/24", "m5.large");
    let eni = model.create_eni(&EniRequest::new(subnet)).unwrap();
    let [held, new] = [[10, 0, 1, 50], [10, 0, 1, 51]].map(Ipv4Addr::from);
    let first = V4Request::Addresses(vec![held]);
    model.assign(&eni, &first, false, NOW).unwrap();
    for (allow, added) in [(false, vec![new]), (true, vec![])] {
        let both = V4Request::Addresses(vec![held, new]);
        let assigned = model.assign(&eni, &both, allow, NOW).unwrap();
        assert_eq!(assigned.addresses, added);
        assert_eq!(model.eni(&eni).unwrap().addresses.secondary, [held, new]);
    }
    check_invariants(&model);
}

#[test]
fn a_vpc_has_only_blocks_that_hosts_may_have() {
    let mut model = model(Preset::Instant, AddressOrder::Sequential);
    for block in [
        "0.1.0.0/16",
        "127.0.0.0/24",
        "169.254.0.0/16",
        "169.254.7.0/28",
        "224.0.0.0/16",
        "255.255.255.0/24",
    ] {
        let outcome = model.create_vpc(net(block), Tags::new());
        assert_eq!(code(outcome), "InvalidVpc.Range", "{block}");
    }
    for block in ["169.253.0.0/16", "223.255.0.0/16", "100.64.0.0/16"] {
        model.create_vpc(net(block), Tags::new()).unwrap();
    }
}

#[test]
fn images_are_not_the_accounts_to_tag() {
    let mut model = model(Preset::Instant, AddressOrder::Sequential);
    let tags = Tags::from([("a".to_owned(), "b".to_owned())]);
    let mut tag = |id: &str| code(model.create_tags(&[id.to_owned()], &tags));
    assert_eq!(tag("ami-0dc0000000000000a"), "UnsupportedOperation");
    assert_eq!(tag("ami-0123456789abcdef0"), "InvalidAMIID.NotFound");
}
