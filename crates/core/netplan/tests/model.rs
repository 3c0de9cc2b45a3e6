//! Plans against a model of the kernel: whatever happens in whatever order, what must exist does.
#![expect(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, Ipv6Addr},
};

use proptest::prelude::*;
use underlay_netplan::{
    EniSlot, EniWiring, NodeState, Object, Op, Plan, PodWiring, Route, Target, diff, eni,
    eni::EniInUse, pod,
};
use underlay_types::{EniId, Families, Family, Interface, LeaseKey, Mac, PodAddresses, PoolGroups};

/// The objects that exist and the devices of pods.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Model {
    objects: BTreeSet<Object>,
    devices: BTreeSet<String>,
}

impl Model {
    fn apply(&mut self, op: &Op) {
        match op {
            Op::Add(object) => {
                // What the kernel has one of is not there twice: it would refuse.
                let mut others = self.objects.iter().filter(|other| *other != object);
                let other = others.find(|other| is_same_place(other, object));
                assert_eq!(other, None, "in the way of {object}");
                self.objects.insert(object.clone());
            }
            Op::Remove(object) => {
                self.objects.remove(object);
            }
            Op::AddPodDevice(pod) => assert!(self.devices.insert(pod.host_device())),
            Op::DeleteDevice(device) | Op::RetireDevice(device) => {
                self.devices.remove(device);
                self.objects
                    .retain(|object| object.device() != Some(device));
            }
            Op::ConfigureOwner { .. }
            | Op::ConfigurePod(_)
            | Op::LendEni(..)
            | Op::RaiseDevice { .. }
            | Op::ReturnEni(..)
            | Op::Script(_)
            | Op::Sysctl { .. } => {}
        }
    }

    fn run(&mut self, plan: &Plan) {
        plan.0.iter().for_each(|op| self.apply(op));
    }
}

/// Whether the kernel takes one of the two at a time.
fn is_same_place(one: &Object, other: &Object) -> bool {
    match (one, other) {
        (Object::Route(one), Object::Route(other)) => {
            // The route to nowhere comes after all others of its destination.
            let is_last = |route: &Route| route.target == Target::Unreachable;
            (one.table, one.destination, is_last(one))
                == (other.table, other.destination, is_last(other))
        }
        (
            Object::PodMark {
                device, address, ..
            },
            Object::PodMark {
                device: at,
                address: of,
                ..
            },
        )
        | (
            Object::Neighbour {
                device, address, ..
            },
            Object::Neighbour {
                device: at,
                address: of,
                ..
            },
        ) => (device, address) == (at, of),
        (Object::PodPolicy { device, .. }, Object::PodPolicy { device: at, .. }) => device == at,
        _ => false,
    }
}

/// What somebody else makes of an object, where there is something to make.
fn spoiled(object: &Object) -> Object {
    let mut spoiled = object.clone();
    match &mut spoiled {
        Object::PodMark { mark, .. } => *mark ^= 1 << 20,
        Object::Neighbour { mac, .. } => *mac = Mac::local(0xbad),
        Object::PodPolicy { chain, .. } => "set-of-another".clone_into(chain),
        Object::Route(route) if route.target != Target::Unreachable => {
            route.target = Target::Device("dummy0".to_owned());
        }
        _ => {}
    }
    spoiled
}

#[derive(Debug, Clone)]
enum Event {
    Raise(u8),
    Lower(u8),
    Wire(u8, u8),
    WireFails(u8, u8, usize),
    Unwire(u8),
    Lose(Vec<prop::sample::Index>),
    Spoil(Vec<prop::sample::Index>),
}

/// Slots 0 and 1 carry the default set, 2 and 3 one explicit set, 4 another.
fn groups(slot: u8) -> PoolGroups {
    match slot {
        0 | 1 => PoolGroups::Default,
        2 | 3 => PoolGroups::Exactly("sg-0000000a".parse().unwrap()),
        _ => PoolGroups::Exactly("sg-0000000b".parse().unwrap()),
    }
}

fn eni_at(slot: u8, families: Families) -> EniInUse {
    EniInUse {
        wiring: EniWiring {
            slot: EniSlot::new(0, slot).unwrap(),
            eni: EniId::from_serial(u64::from(slot)),
            mac: Mac::local(u64::from(slot)),
            address: None,
            address_v6: None,
            subnet: "10.0.0.0/24".parse().unwrap(),
            families,
            groups: groups(slot),
            mtu: 9001,
        },
        device: format!("ens{slot}"),
    }
}

fn pod_at(number: u8, slot: u8, families: Families) -> PodWiring {
    let v4 = Ipv4Addr::new(10, 0, 0, 100 + number);
    let v6 = Ipv6Addr::new(0x2600, 0, 0, 0, 0, 0, 0, 0x100 + u16::from(number));
    let has = |family| families.has(family);
    let addresses = PodAddresses::new(has(Family::V4).then_some(v4), has(Family::V6).then_some(v6));
    PodWiring {
        key: LeaseKey {
            network: "underlay".parse().unwrap(),
            container: format!("c{number}").parse().unwrap(),
            ifname: "eth0".parse().unwrap(),
        },
        addresses: addresses.unwrap(),
        egress: None,
        eni: EniSlot::new(0, slot).unwrap(),
        groups: groups(slot),
        mtu: 9001,
        interface: Interface::Shared,
        second_in: None,
        trunk: None,
    }
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => (0..5_u8).prop_map(Event::Raise),
        1 => (0..5_u8).prop_map(Event::Lower),
        4 => (0..8_u8, 0..5_u8).prop_map(|(number, slot)| Event::Wire(number, slot)),
        2 => (0..8_u8, 0..5_u8, 0..9_usize).prop_map(|(n, s, step)| Event::WireFails(n, s, step)),
        2 => (0..8_u8).prop_map(Event::Unwire),
        1 => proptest::collection::vec(any::<prop::sample::Index>(), 0..4).prop_map(Event::Lose),
        1 => proptest::collection::vec(any::<prop::sample::Index>(), 0..4).prop_map(Event::Spoil),
    ]
}

fn families() -> impl Strategy<Value = Families> {
    prop::sample::select(vec![Families::V4, Families::V6, Families::Dual])
}

fn wire(model: &mut Model, state: &mut NodeState, pod: &PodWiring, steps: Option<usize>) {
    if state.pods().contains_key(&pod.key) {
        return;
    }
    let Ok(plan) = pod::wire(state, pod) else {
        assert!(!state.enis().contains_key(&pod.eni));
        return;
    };
    let before = model.clone();
    let done: Vec<_> = plan.0.iter().take(steps.unwrap_or(usize::MAX)).collect();
    done.iter().for_each(|op| model.apply(op));
    if steps.is_some() {
        let undo = done.iter().rev().filter_map(|op| op.inverse());
        undo.for_each(|op| model.apply(&op));
        assert_eq!(*model, before, "undo leaves nothing");
    } else {
        state.insert_pod(pod.clone());
    }
}

fn happen(model: &mut Model, state: &mut NodeState, families: Families, event: &Event) {
    match event {
        Event::Raise(slot) => {
            let eni = eni_at(*slot, families);
            model.run(&eni::raise(state, &eni).unwrap());
            state.insert_eni(eni);
        }
        Event::Lower(slot) => {
            let slot = EniSlot::new(0, *slot).unwrap();
            let is_free = state.pods().values().all(|pod| pod.eni != slot);
            if let Some(eni) = state.enis().get(&slot).filter(|_| is_free).cloned() {
                state.remove_eni(slot);
                model.run(&eni::lower(state, &eni));
            }
        }
        Event::Wire(number, slot) => wire(model, state, &pod_at(*number, *slot, families), None),
        Event::WireFails(number, slot, steps) => {
            let pod = pod_at(*number, *slot, families);
            wire(model, state, &pod, Some(*steps));
        }
        Event::Unwire(number) => {
            let key = pod_at(*number, 0, families).key;
            if let Some(pod) = state.remove_pod(&key) {
                model.run(&pod::unwire(&pod));
                model.run(&pod::unwire(&pod));
            }
        }
        Event::Lose(indices) => {
            // Somebody else removes objects; the repair finds them.
            for index in indices {
                if !model.objects.is_empty() {
                    let lost = index.get(&Vec::from_iter(model.objects.clone())).clone();
                    model.objects.remove(&lost);
                }
            }
            model.run(&diff::plan(&state.objects(), &model.objects));
        }
        Event::Spoil(indices) => {
            // Somebody else changes objects, or puts others in their place.
            for index in indices {
                if !model.objects.is_empty() {
                    let before = index.get(&Vec::from_iter(model.objects.clone())).clone();
                    model.objects.remove(&before);
                    model.objects.insert(spoiled(&before));
                }
            }
            model.run(&diff::plan(&state.objects(), &model.objects));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_must_exist_exists_after_any_events(
        families in families(),
        events in proptest::collection::vec(event(), 0..60),
    ) {
        let (mut model, mut state) = (Model::default(), NodeState::default());
        for event in &events {
            happen(&mut model, &mut state, families, event);
            prop_assert_eq!(&model.objects, &state.objects(), "after {:?}", event);
            let devices: BTreeSet<_> = state.pods().values().map(PodWiring::host_device).collect();
            prop_assert_eq!(&model.devices, &devices);
            prop_assert_eq!(diff::plan(&state.objects(), &model.objects), Plan::default());
        }
        for number in 0..8 {
            happen(&mut model, &mut state, families, &Event::Unwire(number));
        }
        for slot in 0..5 {
            happen(&mut model, &mut state, families, &Event::Lower(slot));
        }
        prop_assert_eq!(model, Model::default());
    }

    #[test]
    fn the_difference_reaches_what_is_wanted_and_is_described(
        wanted in proptest::collection::vec((0..8_u8, 0..5_u8), 0..8),
        found in proptest::collection::vec((0..8_u8, 0..5_u8), 0..8),
        families in (families(), families()),
        cut in any::<prop::sample::Index>(),
    ) {
        let state = |pods: Vec<(u8, u8)>, families| {
            let mut state = NodeState::default();
            for (number, slot) in pods {
                state.insert_eni(eni_at(slot, families));
                state.insert_pod(pod_at(number, slot, families));
            }
            state.objects()
        };
        let (wanted, found) = (state(wanted, families.0), state(found, families.1));
        let mut model = Model { objects: found.clone(), ..Model::default() };
        let plan = diff::plan(&wanted, &found);
        prop_assert_eq!(plan.0.len(), diff::describe(&wanted, &found).len());
        // Who is killed on the way arrives by what is still different then.
        let mut killed = model.clone();
        plan.0.iter().take(cut.index(plan.0.len() + 1)).for_each(|op| killed.apply(op));
        killed.run(&diff::plan(&wanted, &killed.objects));
        prop_assert_eq!(&killed.objects, &wanted);
        model.run(&plan);
        prop_assert_eq!(&model.objects, &wanted);
        prop_assert_eq!(diff::plan(&wanted, &model.objects), Plan::default());
        model.run(&plan);
        prop_assert_eq!(&model.objects, &wanted, "a second time changes nothing");
    }
}
