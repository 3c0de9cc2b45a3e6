use std::time::Duration;

use proptest::prelude::*;
use underlay_types::{EniId, Families, Interface, KubernetesPod, PoolKey, Timestamp};

use super::*;

fn lease(container: u8, state: LeaseState) -> LeaseRecord {
    LeaseRecord {
        key: underlay_types::LeaseKey {
            network: "underlay".parse().unwrap(),
            container: format!("c{container}").parse().unwrap(),
            ifname: "eth0".parse().unwrap(),
        },
        ipv4: Some([10, 0, 0, container].into()),
        ipv6: None,
        egress: None,
        eni: EniId::from_serial(1),
        place: underlay_ipam::Place::PRIMARY,
        pool: PoolKey::default_pool(),
        interface: Interface::Shared,
        second_in: None,
        pod: Some(KubernetesPod {
            namespace: "default".to_owned(),
            name: format!("pod-{container}"),
            uid: None,
        }),
        netns_path: "/run/netns/x".to_owned(),
        netns_cookie: 42,
        state,
        since_wall_ms: 1_000,
    }
}

fn cooling(container: u8) -> Cooling {
    let lease = lease(container, LeaseState::Active);
    Cooling {
        key: lease.key,
        ipv4: lease.ipv4,
        ipv6: lease.ipv6,
        eni: lease.eni,
        until_wall_ms: 31_000,
        until_boot: Timestamp::from_secs(31),
    }
}

fn only_ipv6(container: u8) -> LeaseRecord {
    LeaseRecord {
        ipv4: None,
        ipv6: Some([0xfd00, 0, 0, 0, 0, 0, 0, container.into()].into()),
        egress: Some([169, 254, 172, container].into()),
        ..lease(container, LeaseState::Active)
    }
}

fn step(container: u8, state: LeaseState, netns_cookie: Option<u64>) -> Change {
    let key = lease(container, state).key;
    Change::LeaseState(StateChange {
        key,
        state,
        netns_cookie,
        second_in: netns_cookie.map(|_| Families::Dual),
    })
}

fn creation(token: u8) -> Creation {
    Creation {
        token: format!("token-{token}"),
        pool: PoolKey::default_pool(),
        addresses: 3,
    }
}

fn change() -> impl Strategy<Value = Change> {
    let states = [
        LeaseState::Reserved,
        LeaseState::Active,
        LeaseState::Deleting,
    ];
    prop_oneof![
        (0u8..5, prop::sample::select(states.to_vec()))
            .prop_map(|(container, state)| Change::Lease(lease(container, state))),
        (0u8..5).prop_map(|container| Change::Lease(only_ipv6(container))),
        (
            0u8..5,
            prop::sample::select(states.to_vec()),
            prop::option::of(any::<u64>()),
        )
            .prop_map(|(container, state, cookie)| step(container, state, cookie)),
        (0u8..5).prop_map(|container| Change::Cooling(cooling(container))),
        (0u8..3).prop_map(|token| Change::Creating(creation(token))),
        (0u8..3).prop_map(|token| Change::Created(creation(token).token)),
    ]
}

fn state_after(changes: &[Change]) -> State {
    let mut state = State::default();
    changes
        .iter()
        .cloned()
        .for_each(|change| state.apply(change));
    state
}

/// The format is a promise to later versions: this text changes only with the version.
#[test]
fn records_name_both_families() {
    let text = |change: &Change| serde_json::to_value(change).unwrap();
    let record = text(&Change::Lease(lease(1, LeaseState::Active)));
    assert_eq!(
        record,
        serde_json::json!({"lease": {
            "key": {"network": "underlay", "container": "c1", "ifname": "eth0"},
            "ipv4": "10.0.0.1",
            "eni": "eni-00000000000000001",
            "place": {"card": 0, "index": 0},
            "pool": {"groups": "default", "subnets": "node", "card": 0},
            "pod": {"namespace": "default", "name": "pod-1", "uid": null},
            "netns_path": "/run/netns/x",
            "netns_cookie": 42,
            "state": "active",
            "since_wall_ms": 1_000,
        }})
    );
    let record = text(&Change::Lease(only_ipv6(1)));
    assert_eq!(record["lease"]["ipv6"], "fd00::1");
    assert_eq!(record["lease"].get("ipv4"), None);
    let record = text(&step(1, LeaseState::Active, None));
    assert_eq!(
        record,
        serde_json::json!({"lease_state": {
            "key": {"network": "underlay", "container": "c1", "ifname": "eth0"},
            "state": "active",
        }})
    );
    let record = text(&step(1, LeaseState::Active, Some(7)));
    assert_eq!(record["lease_state"]["netns_cookie"], 7);
    assert_eq!(record["lease_state"]["second_in"], "dual");
    let record = text(&Change::Cooling(cooling(1)));
    assert_eq!(record["cooling"]["ipv4"], "10.0.0.1");
}

#[test]
fn a_cooldown_ends_when_both_clocks_have_passed() {
    let cooldown = Duration::from_secs(30);
    // Ends at wall 31,000 ms and boot 31 s.
    let left = |wall_ms, boot| cooling(1).left(wall_ms, Timestamp::from_secs(boot), cooldown);
    let secs = Duration::from_secs;
    assert_eq!(left(1_000, 1), secs(30));
    assert_eq!(left(31_000, 31), secs(0));
    // The wall clock was set forward; back; and far back.
    assert_eq!(left(3_600_000, 11), secs(20));
    assert_eq!(left(21_000, 31), secs(10));
    assert_eq!(left(0, 31), secs(30));
    // Another boot: its clock says nothing.
    let earlier = Cooling {
        until_boot: Timestamp::from_secs(86_400),
        ..cooling(1)
    };
    let left = |wall_ms| earlier.left(wall_ms, Timestamp::from_secs(5), cooldown);
    assert_eq!(left(21_000), secs(10));
    assert_eq!(left(31_000), secs(0));
}

#[test]
fn a_forward_jump_of_the_wall_clock_forgets_no_cooldown() {
    let cooldown = Duration::from_secs(30);
    let mut state = state_after(&[Change::Cooling(cooling(1))]);
    state.forget_cooled(3_600_000, Timestamp::from_secs(11), cooldown);
    assert_eq!(state.cooling.len(), 1);
    state.forget_cooled(3_600_000, Timestamp::from_secs(31), cooldown);
    assert_eq!(state, State::default());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_byte_it_is_cut_at_whole_records_survive(
        changes in prop::collection::vec(change(), 0..12),
    ) {
        let mut bytes = encode_header();
        let mut ends = vec![(bytes.len(), 0)];
        for (index, change) in changes.iter().enumerate() {
            bytes.extend(encode(change));
            ends.push((bytes.len(), index + 1));
        }
        for cut in 0..=bytes.len() {
            let whole = ends.iter().rev().find(|(end, _)| *end <= cut);
            let (end, count) = whole.copied().unwrap_or((0, 0));
            let decoded = decode(&bytes[..cut]).unwrap();
            prop_assert_eq!(decoded.state, state_after(&changes[..count]));
            prop_assert_eq!(decoded.dropped, cut - end);
        }
    }

}

#[test]
fn a_state_of_nobodys_lease_says_nothing() {
    let state = state_after(&[step(1, LeaseState::Active, Some(7))]);
    assert_eq!(state, State::default());
}

proptest! {
    #[test]
    fn words_of_the_version_before_say_the_same(
        changes in prop::collection::vec(change(), 0..20),
    ) {
        let mut state = State::default();
        for change in changes {
            let worded = state.worded(change.clone(), 1);
            let mut before = state.clone();
            before.apply(worded.clone());
            let known = !matches!(&change, Change::LeaseState(step) if !state.leases.contains_key(&step.key));
            prop_assert!(!known || !matches!(worded, Change::LeaseState(_)));
            prop_assert_eq!(&state.worded(change.clone(), VERSION), &change);
            state.apply(change);
            // A lease that is written again ends a cooldown of its address, which has ended before.
            before.cooling.clone_from(&state.cooling);
            prop_assert_eq!(&before, &state);
        }
    }

    #[test]
    fn a_flipped_bit_never_changes_what_a_record_says(
        changes in prop::collection::vec(change(), 1..6),
        at in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let mut bytes = encode_header();
        let header = bytes.len();
        changes.iter().for_each(|change| bytes.extend(encode(change)));
        let at = header + at.index(bytes.len() - header);
        bytes[at] ^= 1 << bit;
        let decoded = decode(&bytes).unwrap();
        let prefixes: Vec<State> =
            (0..=changes.len()).map(|count| state_after(&changes[..count])).collect();
        prop_assert!(prefixes.contains(&decoded.state));
    }

    #[test]
    fn a_compacted_journal_says_the_same(changes in prop::collection::vec(change(), 0..20)) {
        let state = state_after(&changes);
        let again: Vec<Change> = state.changes().collect();
        prop_assert_eq!(state_after(&again), state);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(decode(&bytes));
    }
}
