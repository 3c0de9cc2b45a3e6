//! What the VPC's resolver says.

use super::*;
use crate::Resolution;

fn addresses(text: &str) -> Resolution {
    Resolution::Addresses(vec![text.parse().unwrap()])
}

#[test]
fn names_of_interfaces_and_instances_resolve_and_back() {
    let (model, _, instance) = with_instance("10.0.1.0/24", "m5.large");
    let vpc = model.vpcs().next().unwrap().id.clone();
    let cases = [
        ("ip-10-0-1-4.ec2.internal", addresses("10.0.1.4")),
        ("IP-10-0-1-4.EC2.Internal", addresses("10.0.1.4")),
        (&format!("{instance}.ec2.internal"), addresses("10.0.1.4")),
        (
            "4.1.0.10.in-addr.arpa",
            Resolution::Name("ip-10-0-1-4.ec2.internal".to_owned()),
        ),
        ("ec2.internal", Resolution::Addresses(Vec::new())),
        ("ip-10-0-1-5.ec2.internal", Resolution::NoSuchName),
        ("ip-10-0-01-4.ec2.internal", Resolution::NoSuchName),
        ("ip-10-0-1-4-5.ec2.internal", Resolution::NoSuchName),
        ("ip-10-0-1-300.ec2.internal", Resolution::NoSuchName),
        ("a.ip-10-0-1-4.ec2.internal", Resolution::NoSuchName),
        ("i-00000000.ec2.internal", Resolution::NoSuchName),
        ("5.1.0.10.in-addr.arpa", Resolution::NoSuchName),
        ("5.1.0.11.in-addr.arpa", Resolution::Elsewhere),
        ("1.0.10.in-addr.arpa", Resolution::Elsewhere),
        ("notec2.internal", Resolution::Elsewhere),
        ("example.com", Resolution::Elsewhere),
    ];
    for (name, wanted) in cases {
        assert_eq!(model.resolve(&vpc, name), wanted, "{name}");
    }
}

#[test]
fn a_vpc_without_dns_support_and_another_vpc_answer_nothing_of_it() {
    let (mut model, _, _) = with_instance("10.0.1.0/24", "m5.large");
    let name = "ip-10-0-1-4.ec2.internal";
    let other = model.create_vpc(net("10.0.0.0/16"), Tags::new()).unwrap();
    assert_eq!(model.resolve(&other, name), Resolution::NoSuchName);
    model.vpcs.get_mut(&other).unwrap().dns_support = false;
    assert_eq!(model.resolve(&other, name), Resolution::Off);
}
