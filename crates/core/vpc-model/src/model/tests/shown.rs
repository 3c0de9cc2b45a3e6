//! What is seen late, and what goes wrong with objects, by the name of each hazard.

use std::time::Duration;

use super::*;
use crate::{AttachmentStatus, Delay, Eni, FaultRequest, Hazard, InstanceView};

/// A VPC in which nothing is late but by the fault that is on, for ten seconds.
struct World {
    model: Model,
    subnet: SubnetId,
    instance: InstanceId,
    now: Timestamp,
}

impl World {
    fn new(preset: Preset) -> Self {
        let mut model = model(preset, AddressOrder::Sequential);
        model.switch_faults_off(|_| true);
        model.tick(NOW);
        let vpc = model.create_vpc(net("10.0.0.0/16"), Tags::new()).unwrap();
        let subnet = model
            .create_subnet(&vpc, net("10.0.1.0/24"), None, Tags::new())
            .unwrap();
        model.launch(&launch(&subnet, "m5.large", 1), NOW).unwrap();
        let instance = model.instances().next().unwrap().id.clone();
        let mut world = Self {
            model,
            subnet,
            instance,
            now: NOW,
        };
        world.pass(600);
        world
    }

    fn with(hazard: Hazard, target: Option<&str>) -> Self {
        let mut world = Self::new(Preset::Instant);
        world.on(hazard, target);
        world
    }

    fn on(&mut self, hazard: Hazard, target: Option<&str>) {
        let request = FaultRequest {
            delay: Some("10s".parse::<Delay>().unwrap()),
            target: target.map(str::to_owned),
            ..FaultRequest::new(hazard)
        };
        self.model.switch_fault_on(1, request, self.now).unwrap();
    }

    fn pass(&mut self, secs: u64) {
        self.now = self.now + Duration::from_secs(secs);
        self.model.tick(self.now);
    }

    /// A new interface with two secondary addresses.
    fn eni(&mut self) -> EniId {
        let request = EniRequest {
            v4: V4Request::Count(2),
            ..EniRequest::new(self.subnet.clone())
        };
        self.model.create_eni(&request).unwrap()
    }

    fn attached(&mut self) -> EniId {
        let eni = self.eni();
        self.attach(&eni);
        eni
    }

    fn attach(&mut self, eni: &EniId) {
        let instance = self.instance.clone();
        self.model.attach(eni, &instance, 1, 0, self.now).unwrap();
    }

    fn detach(&mut self, eni: &EniId) {
        let attachment = self.model.eni(eni).unwrap().attachment.clone().unwrap();
        self.model.detach(&attachment.id, self.now).unwrap();
    }

    /// The interfaces that metadata shows, with the number of their addresses.
    fn metadata(&self) -> Vec<(EniId, usize)> {
        let view = InstanceView::of(&self.model, &self.instance).unwrap();
        let shown = view.interfaces.into_iter().skip(1);
        shown.map(|each| (each.id, each.addresses.len())).collect()
    }

    /// How many addresses Describe shows of an interface; `None` when it shows none such.
    fn described(&self, eni: &EniId) -> Option<usize> {
        let shown = self.model.described_eni(eni)?;
        let listed = Eni::after(&self.model, None).any(|each| &each.id == eni);
        assert!(listed, "shown alone, but not in the list");
        Some(shown.addresses.slots())
    }
}

#[test]
fn metadata_keeps_an_interface_that_was_detached_and_deleted() {
    let mut world = World::new(Preset::Instant);
    let eni = world.attached();
    world.on(Hazard::MetadataKeepsEni, None);
    world.detach(&eni);
    world.model.delete_eni(&eni).unwrap();
    assert_eq!(world.model.eni(&eni), None);
    assert_eq!(world.metadata(), [(eni.clone(), 3)]);
    world.pass(9);
    assert_eq!(world.metadata(), [(eni, 3)]);
    world.pass(1);
    assert_eq!(world.metadata(), []);
}

#[test]
fn metadata_keeps_an_address_that_was_released_and_is_used_elsewhere() {
    let mut world = World::new(Preset::Instant);
    let eni = world.attached();
    world.on(Hazard::MetadataKeepsAddress, None);
    let released = world.model.eni(&eni).unwrap().addresses.secondary[0];
    world
        .model
        .unassign(&eni, &[released], &[], world.now)
        .unwrap();
    let other = world.eni();
    let taken = &world.model.eni(&other).unwrap().addresses;
    assert!(taken.contains(released), "{taken:?}");
    assert_eq!(world.metadata(), [(eni.clone(), 3)]);
    assert_eq!(world.described(&eni), Some(2));
    world.pass(10);
    assert_eq!(world.metadata(), [(eni, 2)]);
}

#[test]
fn metadata_misses_addresses_that_were_given() {
    let mut world = World::with(Hazard::MetadataMissesAddress, None);
    let eni = world.attached();
    assert_eq!(world.metadata(), [(eni.clone(), 3)]);
    let more = V4Request::Count(2);
    world.model.assign(&eni, &more, false, world.now).unwrap();
    assert_eq!(world.metadata(), [(eni.clone(), 3)]);
    assert_eq!(world.described(&eni), Some(5));
    world.pass(10);
    assert_eq!(world.metadata(), [(eni, 5)]);
}

#[test]
fn metadata_misses_an_interface_that_was_attached() {
    let mut world = World::with(Hazard::MetadataMissesEni, None);
    let eni = world.attached();
    assert!(world.model.eni(&eni).unwrap().is_attached());
    assert_eq!(world.metadata(), []);
    world.pass(10);
    assert_eq!(world.metadata(), [(eni, 3)]);
}

#[test]
fn an_attached_interface_gets_its_secondary_addresses_later() {
    let mut world = World::with(Hazard::LateAddresses, None);
    let eni = world.attached();
    assert_eq!(world.metadata(), [(eni.clone(), 1)]);
    assert_eq!(world.described(&eni), Some(1));
    world.pass(10);
    assert_eq!(world.metadata(), [(eni.clone(), 3)]);
    assert_eq!(world.described(&eni), Some(3));
}

#[test]
fn describe_shows_how_things_were_and_stacked_calls_overshoot() {
    let mut world = World::with(Hazard::DescribeLag, None);
    let eni = world.eni();
    assert_eq!(world.described(&eni), None);
    world.pass(10);
    assert_eq!(world.described(&eni), Some(3));
    let more = V4Request::Count(2);
    world.model.assign(&eni, &more, false, world.now).unwrap();
    world.pass(5);
    world.model.assign(&eni, &more, false, world.now).unwrap();
    assert_eq!(world.described(&eni), Some(3));
    world.pass(5);
    assert_eq!(world.described(&eni), Some(5));
    world.pass(5);
    assert_eq!(world.described(&eni), Some(7));
    let instance = world.instance.clone();
    world
        .model
        .terminate(std::slice::from_ref(&instance), world.now)
        .unwrap();
    let state = |world: &World| world.model.described_instance(&instance).unwrap().state;
    assert_eq!(state(&world), InstanceState::Running);
    world.pass(10);
    assert_eq!(state(&world), InstanceState::Terminated);
}

#[test]
fn a_new_id_is_known_to_its_own_call_and_to_others_later() {
    let mut world = World::with(Hazard::NotFound, None);
    let eni = world.eni();
    assert!(world.model.require_eni(&eni).is_ok(), "its own call");
    world.pass(0);
    for secs in [5, 4] {
        let refused = world.model.require_eni(&eni).map(drop);
        assert_eq!(code(refused), "InvalidNetworkInterfaceID.NotFound");
        let refused = world.model.require_described_eni(&eni).map(drop);
        assert_eq!(code(refused), "InvalidNetworkInterfaceID.NotFound");
        world.pass(secs);
    }
    world.pass(1);
    assert!(world.model.require_described_eni(&eni).is_ok());
    world.attach(&eni);
}

#[test]
fn transitions_of_one_interface_get_stuck_and_others_do_not() {
    let mut world = World::new(Preset::Instant);
    let (stuck, other) = (world.eni(), world.eni());
    world.on(Hazard::StuckAttach, Some(stuck.as_str()));
    let status = |world: &World, eni: &EniId| {
        let attachment = world.model.eni(eni).unwrap().attachment.as_ref();
        attachment.map(|each| each.status)
    };
    world.attach(&stuck);
    assert_eq!(status(&world, &stuck), Some(AttachmentStatus::Attaching));
    let instance = world.instance.clone();
    world
        .model
        .attach(&other, &instance, 2, 0, world.now)
        .unwrap();
    assert_eq!(status(&world, &other), Some(AttachmentStatus::Attached));
    world.pass(10);
    assert_eq!(status(&world, &stuck), Some(AttachmentStatus::Attached));
    world.model.switch_faults_off(|_| true);
    world.on(Hazard::StuckDetach, Some(instance.as_str()));
    world.detach(&other);
    world.pass(9);
    assert_eq!(status(&world, &other), Some(AttachmentStatus::Detaching));
    world.pass(1);
    assert_eq!(status(&world, &other), None);
}

#[test]
fn an_interface_is_pending_at_first() {
    let mut world = World::new(Preset::Realistic);
    let eni = world.eni();
    let status = |world: &World| world.model.eni(&eni).unwrap().status();
    assert_eq!(status(&world), EniStatus::Pending);
    world.pass(1);
    assert_eq!(status(&world), EniStatus::Available);
}

#[test]
fn in_the_end_everybody_sees_what_is_there() {
    let mut world = World::new(Preset::Hostile);
    for hazard in Hazard::ALL {
        if hazard.scope() == HazardScope::Objects {
            let id = world.model.faults().last_id() + 1;
            let request = FaultRequest::new(*hazard);
            world.model.switch_fault_on(id, request, world.now).unwrap();
        }
    }
    let eni = world.eni();
    world.pass(60);
    world.attach(&eni);
    for _ in 0..200 {
        world.pass(1);
        let count = V4Request::Count(1);
        world
            .model
            .assign(&eni, &count, false, world.now)
            .unwrap_or_default();
        let last = world
            .model
            .eni(&eni)
            .unwrap()
            .addresses
            .secondary
            .last()
            .copied();
        world
            .model
            .unassign(&eni, last.as_slice(), &[], world.now)
            .unwrap();
    }
    world.pass(2 * 3_600);
    assert_eq!(world.model.next_deadline(), None);
    assert_eq!(world.model.described_eni(&eni), world.model.eni(&eni));
    assert_eq!(world.metadata().len(), 1);
    assert!(world.model.past == Past::default());
}
