use proptest::prelude::{any, *};

use super::*;

const INTERFACE: &str = r#"
<item>
  <networkInterfaceId>eni-0123456789abcdef0</networkInterfaceId>
  <subnetId>subnet-0123456789abcdef0</subnetId>
  <vpcId>vpc-0123456789abcdef0</vpcId>
  <availabilityZone>eu-west-1a</availabilityZone>
  <description>pods &amp; co</description>
  <ownerId>123456789012</ownerId>
  <requesterManaged>false</requesterManaged>
  <status>in-use</status>
  <macAddress>02:81:60:cb:27:37</macAddress>
  <privateIpAddress>10.0.0.10</privateIpAddress>
  <privateDnsName>ip-10-0-0-10.ec2.internal</privateDnsName>
  <sourceDestCheck>true</sourceDestCheck>
  <groupSet>
    <item><groupId>sg-0000000b</groupId><groupName>b</groupName></item>
    <item><groupId>sg-0000000a</groupId><groupName>a</groupName></item>
  </groupSet>
  <attachment>
    <attachmentId>eni-attach-0123456789abcdef0</attachmentId>
    <instanceId>i-0123456789abcdef0</instanceId>
    <instanceOwnerId>123456789012</instanceOwnerId>
    <deviceIndex>1</deviceIndex>
    <networkCardIndex>0</networkCardIndex>
    <status>attached</status>
    <attachTime>2026-11-23T07:00:00.000Z</attachTime>
    <deleteOnTermination>true</deleteOnTermination>
  </attachment>
  <tagSet><item><key>owner</key><value>me</value></item><item><key>bare</key></item></tagSet>
  <privateIpAddressesSet>
    <item><privateIpAddress>10.0.0.10</privateIpAddress><primary>true</primary></item>
    <item><privateIpAddress>10.0.0.12</privateIpAddress><primary>false</primary></item>
    <item><privateIpAddress>10.0.0.11</privateIpAddress><primary>false</primary></item>
  </privateIpAddressesSet>
  <ipv4PrefixSet><item><ipv4Prefix>10.0.0.32/28</ipv4Prefix></item></ipv4PrefixSet>
  <ipv6AddressesSet><item><ipv6Address>2600::5</ipv6Address></item></ipv6AddressesSet>
  <ipv6PrefixSet><item><ipv6Prefix>2600:0:0:0:7::/80</ipv6Prefix></item></ipv6PrefixSet>
  <interfaceType>interface</interfaceType>
</item>"#;

fn element(document: &str) -> Element {
    Element::parse(document).unwrap()
}

fn without(document: &str, name: &str) -> String {
    let start = document.find(&format!("<{name}>")).unwrap();
    let close = format!("</{name}>");
    let end = start + document[start..].find(&close).unwrap() + close.len();
    format!("{}{}", &document[..start], &document[end..])
}

#[test]
fn an_attached_interface_is_read_whole() {
    let expected = NetworkInterface {
        id: "eni-0123456789abcdef0".parse().unwrap(),
        subnet: "subnet-0123456789abcdef0".parse().unwrap(),
        vpc: "vpc-0123456789abcdef0".parse().unwrap(),
        zone: "eu-west-1a".to_owned(),
        mac: "02:81:60:cb:27:37".parse().unwrap(),
        status: InterfaceStatus::InUse,
        description: "pods & co".to_owned(),
        groups: vec![
            "sg-0000000b".parse().unwrap(),
            "sg-0000000a".parse().unwrap(),
        ],
        primary: Some([10, 0, 0, 10].into()),
        secondary: vec![[10, 0, 0, 12].into(), [10, 0, 0, 11].into()],
        prefixes: vec!["10.0.0.32/28".parse().unwrap()],
        ipv6: vec!["2600::5".parse().unwrap()],
        ipv6_prefixes: vec!["2600:0:0:0:7::/80".parse().unwrap()],
        source_dest_check: true,
        interface_type: "interface".to_owned(),
        requester_managed: false,
        tags: [("owner", "me"), ("bare", "")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        attachment: Some(Attachment {
            id: "eni-attach-0123456789abcdef0".parse().unwrap(),
            instance: Some("i-0123456789abcdef0".parse().unwrap()),
            device_index: 1,
            network_card: 0,
            status: AttachmentStatus::Attached,
            delete_on_termination: true,
        }),
    };
    assert_eq!(network_interface(&element(INTERFACE)), Ok(expected));
}

#[test]
fn what_may_be_absent_has_its_default() {
    let full = network_interface(&element(INTERFACE)).unwrap();
    for name in [
        "attachment",
        "tagSet",
        "ipv4PrefixSet",
        "interfaceType",
        "description",
    ] {
        assert!(
            network_interface(&element(&without(INTERFACE, name))).is_ok(),
            "{name}"
        );
    }
    let bare = without(INTERFACE, "networkCardIndex");
    assert_eq!(network_interface(&element(&bare)), Ok(full.clone()));
    // Services' attachments carry no instance; an empty attachment is none.
    let service = without(INTERFACE, "instanceId");
    let attachment = network_interface(&element(&service))
        .unwrap()
        .attachment
        .unwrap();
    assert_eq!(attachment.instance, None);
    let empty = without(INTERFACE, "attachmentId");
    assert_eq!(
        network_interface(&element(&empty)).unwrap().attachment,
        None
    );
    // Without flags the primary address is known by its value.
    let unflagged = INTERFACE.replace("<primary>true</primary>", "");
    assert_eq!(network_interface(&element(&unflagged)), Ok(full));
}

#[test]
fn what_must_be_there_is_named_when_it_is_missing() {
    for name in [
        "networkInterfaceId",
        "subnetId",
        "vpcId",
        "macAddress",
        "status",
        "groupId",
    ] {
        let error = network_interface(&element(&without(INTERFACE, name))).unwrap_err();
        let expected = format!("<{name}>");
        assert!(error.to_string().ends_with(&expected), "{error}");
    }
}

#[test]
fn instance_types_without_cards_have_one() {
    let item = |cards: &str| {
        element(&format!(
            "<R><instanceTypeSet><item><instanceType>m5.large</instanceType><networkInfo>\
             <maximumNetworkInterfaces>3</maximumNetworkInterfaces>\
             <ipv4AddressesPerInterface>10</ipv4AddressesPerInterface>{cards}</networkInfo></item>\
             </instanceTypeSet></R>"
        ))
    };
    let limits = one_instance_type(&item("")).unwrap();
    assert_eq!(
        limits.cards,
        [CardLimits {
            index: 0,
            interfaces: 3
        }]
    );
    assert_eq!((limits.interfaces, limits.ipv4_per_interface), (3, 10));
    let cards = "<networkCards><item><networkCardIndex>1</networkCardIndex>\
        <maximumNetworkInterfaces>2</maximumNetworkInterfaces></item><item><networkCardIndex>0\
        </networkCardIndex><maximumNetworkInterfaces>1</maximumNetworkInterfaces></item>\
        </networkCards>";
    assert_eq!(
        one_instance_type(&item(cards)).unwrap().cards,
        [
            CardLimits {
                index: 0,
                interfaces: 1
            },
            CardLimits {
                index: 1,
                interfaces: 2
            }
        ]
    );
    assert!(one_instance_type(&element("<R><instanceTypeSet/></R>")).is_err());
}

#[test]
fn rules_name_their_protocol_and_their_peer() {
    let rule = |protocol: &str, peer: &str| {
        security_group_rule(&element(&format!(
            "<item><securityGroupRuleId>sgr-01234567</securityGroupRuleId>\
             <groupId>sg-0000000a</groupId><isEgress>false</isEgress>\
             <ipProtocol>{protocol}</ipProtocol><fromPort>80</fromPort><toPort>81</toPort>{peer}</item>"
        )))
    };
    let cidr = "<cidrIpv4>10.0.0.0/8</cidrIpv4>";
    for (text, number) in [
        ("-1", None),
        ("tcp", Some(6)),
        ("udp", Some(17)),
        ("132", Some(132)),
    ] {
        assert_eq!(rule(text, cidr).unwrap().protocol, number);
    }
    assert!(rule("foo", cidr).is_err());
    assert_eq!(
        rule("tcp", cidr).unwrap().peer,
        RulePeer::Ipv4("10.0.0.0/8".parse().unwrap())
    );
    assert_eq!(
        rule("tcp", "<cidrIpv6>::/0</cidrIpv6>").unwrap().peer,
        RulePeer::Ipv6("::/0".parse().unwrap())
    );
    assert_eq!(
        rule(
            "tcp",
            "<referencedGroupInfo><groupId>sg-0000000b</groupId></referencedGroupInfo>"
        )
        .unwrap()
        .peer,
        RulePeer::Group("sg-0000000b".parse().unwrap())
    );
    assert_eq!(
        rule("tcp", "<prefixListId>pl-1</prefixListId>")
            .unwrap()
            .peer,
        RulePeer::PrefixList("pl-1".to_owned())
    );
    assert!(rule("tcp", "").is_err());
}

#[test]
fn an_assignment_answers_the_new_addresses_only() {
    let reply = "<R><networkInterfaceId>eni-01234567</networkInterfaceId>\
        <assignedPrivateIpAddressesSet><item><privateIpAddress>10.0.0.7</privateIpAddress></item>\
        </assignedPrivateIpAddressesSet></R>";
    let one = Assigned {
        addresses: vec![[10, 0, 0, 7].into()],
        prefixes: Vec::new(),
    };
    assert_eq!(assigned(&element(reply)), Ok(one));
    let reply = "<R><assignedIpv4PrefixSet><item><ipv4Prefix>10.0.0.16/28</ipv4Prefix></item>\
        </assignedIpv4PrefixSet></R>";
    let prefix = Assigned {
        addresses: Vec::new(),
        prefixes: vec!["10.0.0.16/28".parse().unwrap()],
    };
    assert_eq!(assigned(&element(reply)), Ok(prefix));
    assert!(assigned(&element("<R/>")).is_err());
    assert_eq!(done(&element("<R><return>true</return></R>")), Ok(()));
    assert!(done(&element("<R><return>false</return></R>")).is_err());
}

#[test]
fn a_subnet_has_the_ipv6_blocks_that_are_associated() {
    let block = |block: &str, state: &str| {
        format!(
            "<item><ipv6CidrBlock>{block}</ipv6CidrBlock>\
             <ipv6CidrBlockState><state>{state}</state></ipv6CidrBlockState></item>"
        )
    };
    let blocks = [
        block("2600:0:0:1::/64", "disassociated"),
        block("2600:0:0:2::/64", "associated"),
    ];
    let item = format!(
        "<item><subnetId>subnet-01234567</subnetId><vpcId>vpc-01234567</vpcId>\
         <availabilityZone>a</availabilityZone><cidrBlock>10.0.0.0/24</cidrBlock>\
         <availableIpAddressCount>251</availableIpAddressCount>\
         <ipv6CidrBlockAssociationSet>{}</ipv6CidrBlockAssociationSet></item>",
        blocks.concat()
    );
    let read = subnet(&element(&item)).unwrap();
    assert_eq!(read.ipv6_cidrs, ["2600:0:0:2::/64".parse().unwrap()]);
    let without = without(&item, "ipv6CidrBlockAssociationSet");
    assert_eq!(subnet(&element(&without)).unwrap().ipv6_cidrs, []);
}

proptest! {
    /// Whatever is cut out of a reply or put into it, reading it gives a value or an error.
    #[test]
    fn damaged_replies_never_panic(
        cut in any::<(prop::sample::Index, prop::sample::Index)>(),
        noise in "(<item>|</item>|<|>|&|-1|\\PC){0,8}",
    ) {
        let at = cut.0.index(INTERFACE.len());
        let until = at + cut.1.index(INTERFACE.len() - at);
        let damaged = format!("{}{noise}{}", &INTERFACE[..at], &INTERFACE[until..]);
        if let Ok(item) = Element::parse(&damaged) {
            drop(network_interface(&item));
            drop(security_group_rule(&item));
            drop(one_instance_type(&item));
            drop(subnet(&item));
            drop(assigned(&item));
        }
    }
}
