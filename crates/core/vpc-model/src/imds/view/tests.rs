use super::*;
use crate::{
    EniRequest, LaunchInterface, LaunchInterfaceSource, LaunchRequest, ModelConfig, Preset,
    V4Request, V6Request,
};

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

fn launch(model: &mut Model, subnet: &SubnetId) -> InstanceId {
    let image = model.images().next().unwrap().id.clone();
    let request = LaunchRequest {
        image,
        instance_type: "m5.large".into(),
        min_count: 1,
        max_count: 1,
        zone: None,
        zone_id: None,
        interfaces: vec![LaunchInterface {
            device_index: 0,
            network_card: 0,
            source: LaunchInterfaceSource::New(EniRequest::new(subnet.clone())),
            delete_on_termination: None,
            public_address: None,
        }],
        metadata: MetadataOptions {
            hop_limit: 2,
            tags: true,
            ..MetadataOptions::default()
        },
        profile: Some("nodes".into()),
        key_name: None,
        user_data: Some("IyEvYmluL3NoCg==".into()),
        client_token: None,
        attributes: crate::InstanceAttributes::default(),
        tags: Tags::from([("Name".to_owned(), "node-1".to_owned())]),
    };
    model.launch(&request, NOW).unwrap();
    model.instances().last().unwrap().id.clone()
}

fn network(model: &mut Model) -> SubnetId {
    let block = "10.0.0.0/16".parse().unwrap();
    let vpc = model.create_vpc(block, Tags::new()).unwrap();
    let block = "10.0.1.0/24".parse().unwrap();
    model.create_subnet(&vpc, block, None, Tags::new()).unwrap()
}

fn attach_with_prefix(model: &mut Model, subnet: &SubnetId, instance: &InstanceId) -> EniId {
    let mut request = EniRequest::new(subnet.clone());
    request.v4 = V4Request::PrefixCount(1);
    let eni = model.create_eni(&request).unwrap();
    model.attach(&eni, instance, 1, 0, NOW).unwrap();
    eni
}

#[test]
fn a_view_shows_the_instance_and_its_attached_interfaces() {
    let mut model = Model::new(ModelConfig::default());
    let subnet = network(&mut model);
    let id = launch(&mut model, &subnet);
    let added = attach_with_prefix(&mut model, &subnet, &id);
    model
        .assign(&added, &V4Request::Count(2), false, NOW)
        .unwrap();

    let view = InstanceView::of(&model, &id).unwrap();
    let instance = model.instance(&id).unwrap();
    assert_eq!(view.options, instance.metadata);
    assert_eq!(
        (view.region.as_str(), &view.zone),
        ("us-east-1", &instance.zone)
    );
    assert_eq!(view.user_data.as_deref(), Some(&b"#!/bin/sh\n"[..]));
    assert_eq!(
        (view.role.as_str(), view.profile.as_str()),
        (instance.role.as_str(), "nodes")
    );
    assert_eq!(view.tags, instance.tags);
    let shown: Vec<_> = view
        .interfaces
        .iter()
        .map(|eni| {
            (
                &eni.id,
                eni.device_index,
                eni.addresses.len(),
                eni.prefixes.len(),
            )
        })
        .collect();
    let primary = model.primary_eni_of(&id).unwrap();
    assert_eq!(shown, [(&primary.id, 0, 1, 0), (&added, 1, 3, 1)]);
    let second = view.interfaces.last().unwrap();
    assert_eq!(
        second.addresses.first(),
        Some(&model.eni(&added).unwrap().addresses.primary)
    );
    assert_eq!(second.groups.len(), 1);
    assert_eq!(second.groups.first().unwrap().1, "default");
    assert_eq!(second.subnet_cidr, "10.0.1.0/24".parse().unwrap());
    assert_eq!(second.vpc_cidrs, ["10.0.0.0/16".parse().unwrap()]);
}

#[test]
fn an_instance_that_is_gone_has_no_view() {
    let mut model = Model::new(ModelConfig::default());
    let subnet = network(&mut model);
    let id = launch(&mut model, &subnet);
    model.terminate(std::slice::from_ref(&id), NOW).unwrap();
    assert_eq!(InstanceView::of(&model, &id), None);
    assert_eq!(InstanceView::of(&model, &InstanceId::from_serial(9)), None);
}

#[test]
fn an_interface_on_its_way_is_not_shown_yet() {
    let mut model = Model::new(ModelConfig {
        ..ModelConfig::of(Preset::Realistic)
    });
    let subnet = network(&mut model);
    let id = launch(&mut model, &subnet);
    model.tick(NOW + std::time::Duration::from_secs(600));
    attach_with_prefix(&mut model, &subnet, &id);
    let shown = |model: &Model| InstanceView::of(model, &id).unwrap().interfaces.len();
    assert_eq!(shown(&model), 1);
    model.tick(NOW + std::time::Duration::from_secs(1200));
    assert_eq!(shown(&model), 2);
}

#[test]
fn ipv6_is_shown_where_there_is_any() {
    let mut model = Model::new(ModelConfig::default());
    let subnet = network(&mut model);
    let id = launch(&mut model, &subnet);
    let eni = model.primary_eni_of(&id).unwrap().id.clone();
    let keys = |model: &Model| {
        let view = InstanceView::of(model, &id).unwrap();
        let shown = view.interfaces.into_iter().next().unwrap();
        (
            shown.v6,
            shown.v6_prefixes,
            shown.subnet_v6_cidr,
            shown.vpc_v6_cidrs,
        )
    };
    assert_eq!(keys(&model), (vec![], vec![], None, vec![]));
    let vpc = model.vpcs().next().unwrap().id.clone();
    model.associate_vpc_v6(&vpc, NOW).unwrap();
    let wide = model.vpc(&vpc).unwrap().v6_cidrs[0].cidr;
    let block = wide.subnets(64).unwrap().next().unwrap();
    model.associate_subnet_v6(&subnet, block, NOW).unwrap();
    let addresses = model.assign_v6(&eni, &V6Request::Count(2), NOW).unwrap();
    let prefixes = model.assign_v6(&eni, &V6Request::PrefixCount(1), NOW);
    assert_eq!(
        keys(&model),
        (
            addresses.addresses,
            prefixes.unwrap().prefixes,
            Some(block),
            vec![wide]
        )
    );
}
