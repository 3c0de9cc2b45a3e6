//! The agent's EC2 client against the local VPC's API: an ENI's life, and errors by their class.
#![expect(
    clippy::unwrap_used,
    reason = "a test panics where what it needs is not there"
)]

use std::{collections::BTreeMap, net::Ipv4Addr};

use underlay_cloud::{
    CredentialSource, Ec2, Ec2Config,
    ec2::{
        AttachmentStatus, GroupQuery, InterfaceQuery, InterfaceStatus, Ipv4Grant, NewInterface,
        Plug, RulePeer,
    },
};
use underlay_testkit::{ControlPlane, IngressRule, Source};
use underlay_types::{Class, EniId, InstanceId, SecurityGroupId, SubnetId};

/// A server with a subnet of 11 usable addresses, a group and an m5.large in it.
struct Place {
    _server: ControlPlane,
    client: Ec2,
    setup: underlay_testkit::Ec2,
    subnet: SubnetId,
    group: SecurityGroupId,
    instance: InstanceId,
}

async fn place() -> Place {
    let server = ControlPlane::start().unwrap();
    let setup = underlay_testkit::Ec2::new(server.endpoint()).unwrap();
    let vpc = setup
        .create_vpc("10.0.0.0/16".parse().unwrap())
        .await
        .unwrap();
    let block = "10.0.0.0/28".parse().unwrap();
    let subnet = setup
        .create_subnet(&vpc, block, "us-east-1a")
        .await
        .unwrap();
    let group = setup.create_group(&vpc, "pods", true).await.unwrap();
    let instance = setup
        .run_instance("m5.large", &subnet, &[&group], "node")
        .await
        .unwrap();
    let config = Ec2Config {
        endpoint: Some(server.endpoint().to_owned()),
        credentials: CredentialSource::Fixed {
            access_key_id: "AKIAUNDERLAYTEST0000".to_owned(),
            secret_access_key: "test".to_owned(),
        },
        ..Ec2Config::new("us-east-1")
    };
    let client = Ec2::new(config).unwrap();
    Place {
        _server: server,
        client,
        setup,
        subnet,
        group,
        instance,
    }
}

impl Place {
    fn new_interface(&self, token: &str, secondary_addresses: u32) -> NewInterface {
        NewInterface {
            subnet: self.subnet.clone(),
            groups: vec![self.group.clone()],
            description: "a test's ENI".to_owned(),
            tags: BTreeMap::from([("owner".to_owned(), "test".to_owned())]),
            client_token: token.to_owned(),
            ipv4: Ipv4Grant::Addresses(secondary_addresses),
            ipv6_prefixes: 0,
        }
    }

    async fn attached(&self) -> Vec<(u32, usize)> {
        let query = InterfaceQuery::attached_to(&self.instance);
        let found = self
            .client
            .describe_network_interfaces(&query)
            .await
            .unwrap();
        let mut slots: Vec<_> = found
            .iter()
            .map(|eni| {
                (
                    eni.attachment.as_ref().unwrap().device_index,
                    eni.secondary.len(),
                )
            })
            .collect();
        slots.sort_unstable();
        slots
    }
}

#[tokio::test]
async fn an_eni_is_created_filled_attached_emptied_and_deleted() {
    let place = place().await;
    let client = &place.client;
    let new = place.new_interface("token-1", 2);
    let created = client.create_network_interface(&new).await.unwrap();
    assert_eq!(created.groups, std::slice::from_ref(&place.group));
    assert_eq!(
        (created.secondary.len(), created.tags.clone()),
        (2, new.tags.clone())
    );
    let plug = Plug {
        instance: place.instance.clone(),
        device_index: 1,
        network_card: 0,
    };
    let attachment = client
        .attach_network_interface(&created.id, &plug)
        .await
        .unwrap();
    client
        .set_delete_on_termination(&created.id, &attachment, true)
        .await
        .unwrap();
    let assigned = client
        .assign_private_ip_addresses(&created.id, Ipv4Grant::Addresses(3))
        .await
        .unwrap()
        .addresses;
    assert_eq!(assigned.len(), 3);
    assert_eq!(place.attached().await, [(0, 0), (1, 5)]);

    let query = InterfaceQuery::tagged("owner", "test");
    let found = client
        .describe_network_interfaces(&query)
        .await
        .unwrap()
        .remove(0);
    let held = found.attachment.unwrap();
    assert_eq!(
        (found.status, held.status),
        (InterfaceStatus::InUse, AttachmentStatus::Attached)
    );
    assert!(held.delete_on_termination);
    assert!(
        assigned
            .iter()
            .all(|address| found.secondary.contains(address))
    );

    client
        .unassign_private_ip_addresses(&created.id, &assigned)
        .await
        .unwrap();
    assert_eq!(place.attached().await, [(0, 0), (1, 2)]);
    client
        .detach_network_interface(&attachment, false)
        .await
        .unwrap();
    client.delete_network_interface(&created.id).await.unwrap();
    assert_eq!(
        client.describe_network_interfaces(&query).await.unwrap(),
        []
    );
}

#[tokio::test]
async fn a_repeated_token_answers_the_same_eni() {
    let place = place().await;
    let new = place.new_interface("token-1", 2);
    let first = place.client.create_network_interface(&new).await.unwrap();
    let second = place.client.create_network_interface(&new).await.unwrap();
    assert_eq!(first, second);
    let results = &place.client.counters()["CreateNetworkInterface"].results;
    assert_eq!(*results, BTreeMap::from([("ok".to_owned(), 2)]));
}

#[tokio::test]
async fn refusals_have_their_class_and_change_nothing() {
    let place = place().await;
    let client = &place.client;
    let unknown = EniId::from_serial(0xdead);
    let error = client.delete_network_interface(&unknown).await.unwrap_err();
    assert_eq!(error.class(), Class::NotFound, "{error}");
    let query = InterfaceQuery::ids([unknown]);
    let error = client
        .describe_network_interfaces(&query)
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some("InvalidNetworkInterfaceID.NotFound"));

    let eni = client
        .create_network_interface(&place.new_interface("t", 0))
        .await
        .unwrap()
        .id;
    let error = client
        .assign_private_ip_addresses(&eni, Ipv4Grant::Addresses(30))
        .await
        .unwrap_err();
    assert_eq!(error.class(), Class::Conflict, "{error}");
    let error = client
        .assign_private_ip_addresses(&eni, Ipv4Grant::Addresses(10))
        .await
        .unwrap_err();
    assert!(error.refusal().unwrap().is_subnet_exhausted(), "{error}");
    let primary = Plug {
        instance: place.instance.clone(),
        device_index: 0,
        network_card: 0,
    };
    let error = client
        .attach_network_interface(&eni, &primary)
        .await
        .unwrap_err();
    assert_eq!(error.class(), Class::Conflict, "{error}");
    let foreign = Ipv4Addr::new(10, 0, 0, 14);
    let error = client
        .unassign_private_ip_addresses(&eni, &[foreign])
        .await
        .unwrap_err();
    assert_eq!(error.class(), Class::Invalid, "{error}");
    let error = client.describe_instance_type("m5.tiny").await.unwrap_err();
    assert_eq!(error.class(), Class::Invalid, "{error}");
    assert_eq!(place.attached().await, [(0, 0)]);
}

#[tokio::test]
async fn types_subnets_groups_and_rules_are_read() {
    let place = place().await;
    let client = &place.client;
    let limits = client.describe_instance_type("m5.large").await.unwrap();
    assert_eq!((limits.interfaces, limits.ipv4_per_interface), (3, 10));
    let large = client.describe_instance_type("p5.48xlarge").await.unwrap();
    assert_eq!((large.cards.len(), large.cards[0].interfaces), (32, 2));
    let subnet = client
        .describe_subnets(std::slice::from_ref(&place.subnet))
        .await
        .unwrap()
        .remove(0);
    assert_eq!(subnet.cidr, "10.0.0.0/28".parse().unwrap());
    assert_eq!(subnet.available_addresses, 10);
    let allowed = GroupQuery::tagged("underlay.dev/allow-pods", "true");
    let groups = client.describe_security_groups(&allowed).await.unwrap();
    assert_eq!(
        groups.iter().map(|group| &group.id).collect::<Vec<_>>(),
        [&place.group]
    );
    let ids = GroupQuery::ids([place.group.clone()]);
    assert_eq!(client.describe_security_groups(&ids).await.unwrap(), groups);
    let rule = IngressRule {
        tcp_port: Some(443),
        source: Source::Group(&place.group),
    };
    place.setup.allow(&place.group, rule).await.unwrap();
    let rules = client
        .describe_security_group_rules(std::slice::from_ref(&place.group))
        .await
        .unwrap();
    let ingress: Vec<_> = rules.iter().filter(|rule| !rule.egress).collect();
    assert_eq!(ingress.len(), 1);
    assert_eq!(
        (
            ingress[0].protocol,
            ingress[0].from_port,
            ingress[0].to_port
        ),
        (Some(6), 443, 443)
    );
    assert_eq!(ingress[0].peer, RulePeer::Group(place.group.clone()));
}
