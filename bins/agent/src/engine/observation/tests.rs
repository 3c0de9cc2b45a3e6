use underlay_cloud::ec2::{Attachment as CloudAttachment, InterfaceStatus};
use underlay_types::{EniId, SecurityGroupId, VpcId};

use super::*;

const PRIMARY: Mac = Mac([2, 0, 0, 0, 0, 1]);

fn instance() -> InstanceId {
    InstanceId::from_serial(1)
}

fn eni(pool: Option<&PoolKey>, index: Option<u32>) -> NetworkInterface {
    NetworkInterface {
        id: EniId::from_serial(7),
        subnet: SubnetId::from_serial(1),
        vpc: VpcId::from_serial(1),
        zone: "eu-west-1a".to_owned(),
        mac: Mac([2, 0, 0, 0, 0, 7]),
        status: InterfaceStatus::InUse,
        description: String::new(),
        groups: vec![
            SecurityGroupId::from_serial(2),
            SecurityGroupId::from_serial(1),
        ],
        primary: Some([10, 0, 0, 4].into()),
        secondary: vec![[10, 0, 0, 5].into()],
        prefixes: Vec::new(),
        ipv6: vec!["2600::5".parse().unwrap()],
        ipv6_prefixes: vec!["2600:0:0:0:7::/80".parse().unwrap()],
        source_dest_check: true,
        interface_type: "interface".to_owned(),
        requester_managed: false,
        tags: pool.map(|pool| tags(&instance(), pool)).unwrap_or_default(),
        attachment: index.map(|index| CloudAttachment {
            id: AttachmentId::from_serial(7),
            instance: Some(instance()),
            device_index: index,
            network_card: 0,
            status: AttachmentStatus::Attached,
            delete_on_termination: true,
        }),
    }
}

fn owner(eni: &NetworkInterface) -> Option<EniOwner> {
    read(eni, &instance(), PRIMARY).map(|(observed, _)| observed.owner)
}

#[test]
fn pools_are_known_by_their_tag() {
    let set = |count| {
        let groups = (0..count).map(SecurityGroupId::from_serial);
        PoolKey::exactly(SecurityGroupSet::new(groups, 16).unwrap())
    };
    let (whole, long) = (PoolKey::default_pool().whole(), set(12).whole());
    let shared = [PoolKey::default_pool(), set(1), set(5), set(12)];
    for pool in shared.into_iter().chain([whole]) {
        assert_eq!(
            owner(&eni(Some(&pool), Some(1))),
            Some(EniOwner::Ours(pool))
        );
    }
    // A set of 16 does not fit a tag: the ENI's own groups tell.
    let own = [1, 2].map(SecurityGroupId::from_serial);
    let own = PoolKey::exactly(SecurityGroupSet::new(own, 16).unwrap());
    assert_eq!(
        owner(&eni(Some(&set(16)), Some(1))),
        Some(EniOwner::Ours(own.clone()))
    );
    // Nor does one of 12 for whole ENIs, which stays one of whole ENIs.
    assert_eq!(
        owner(&eni(Some(&long), Some(1))),
        Some(EniOwner::Ours(own.whole()))
    );
}

#[test]
fn the_pod_that_owns_an_eni_gets_its_primary_address_and_nobody_the_others() {
    let whole = PoolKey::default_pool().whole();
    let (observed, facts) = read(&eni(Some(&whole), Some(1)), &instance(), PRIMARY).unwrap();
    let holding = Holding {
        addresses: vec![[10, 0, 0, 4].into()],
        prefixes: Vec::new(),
        ipv6_prefixes: vec!["2600:0:0:0:7::/80".parse().unwrap()],
    };
    assert_eq!((observed.holding, facts.pool), (holding, whole));
}

#[test]
fn what_is_not_ours_is_foreign_or_none_of_our_business() {
    assert_eq!(owner(&eni(None, Some(1))), Some(EniOwner::Foreign));
    let mut other_type = eni(Some(&PoolKey::default_pool()), Some(1));
    other_type.interface_type = "trunk".to_owned();
    assert_eq!(owner(&other_type), Some(EniOwner::Foreign));
    let mut elsewhere = eni(Some(&PoolKey::default_pool()), Some(1));
    elsewhere.attachment.as_mut().unwrap().instance = Some(InstanceId::from_serial(9));
    assert_eq!(owner(&elsewhere), None);
}

#[test]
fn the_primary_eni_is_known_by_its_address() {
    let mut primary = eni(None, Some(0));
    primary.mac = PRIMARY;
    let (observed, facts) = read(&primary, &instance(), PRIMARY).unwrap();
    let groups = SecurityGroupSet::try_from(primary.groups).unwrap();
    assert_eq!(
        (observed, facts),
        (
            ObservedEni {
                id: EniId::from_serial(7),
                owner: EniOwner::Primary,
                standing: Standing::Serving,
                attachment: Attachment::Attached {
                    place: Place::PRIMARY
                },
                delete_on_termination: true,
                groups,
                holding: Holding {
                    addresses: vec![[10, 0, 0, 5].into()],
                    prefixes: Vec::new(),
                    ipv6_prefixes: vec!["2600:0:0:0:7::/80".parse().unwrap()],
                },
            },
            EniFacts {
                trunk: false,
                mac: PRIMARY,
                address: None,
                address_v6: None,
                pool: PoolKey::default_pool(),
                subnet: SubnetId::from_serial(1),
                place: Some(Place::PRIMARY),
                attachment: Some(AttachmentId::from_serial(7)),
                foreign: false,
            }
        )
    );
}

#[test]
fn a_detached_eni_has_no_place_and_a_detaching_one_still_has() {
    let pool = PoolKey::default_pool();
    let mut detaching = eni(Some(&pool), Some(2));
    detaching.attachment.as_mut().unwrap().status = AttachmentStatus::Detaching;
    let place = Place { card: 0, index: 2 };
    let seen = |eni: &NetworkInterface| read(eni, &instance(), PRIMARY).unwrap().0.attachment;
    assert_eq!(seen(&detaching), Attachment::Detaching { place });
    assert_eq!(seen(&eni(Some(&pool), None)), Attachment::None);
}

#[test]
fn only_an_eni_of_ours_needs_its_own_address_on_the_device() {
    let facts = |eni: &NetworkInterface| read(eni, &instance(), PRIMARY).unwrap().1.address;
    let ours = eni(Some(&PoolKey::default_pool()), Some(1));
    assert!(ours.primary.is_some());
    assert_eq!(facts(&ours), ours.primary);
    assert_eq!(facts(&eni(None, Some(1))), None);
    let facts = |eni: &NetworkInterface| read(eni, &instance(), PRIMARY).unwrap().1.address_v6;
    assert_eq!(facts(&ours), Some("2600:0:0:0:7::".parse().unwrap()));
    assert_eq!(facts(&eni(None, Some(1))), None);
}
