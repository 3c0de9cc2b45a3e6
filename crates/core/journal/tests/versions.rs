//! Journals of the version before are read, and what they are called is a promise.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use underlay_ipam::Place;
use underlay_journal::{
    Change, Cooling, Creation, DecodeError, LeaseRecord, LeaseState, Parting, State, StateChange,
    VERSION, decode, encode, encode_header,
};
use underlay_types::{
    BranchEni, BranchIpv4, Enforcement, EniId, Interface, KubernetesPod, LeaseKey, Mac, PoolKey,
    Timestamp, WholeEni,
};

fn key(container: &str) -> LeaseKey {
    LeaseKey {
        network: "underlay".parse().unwrap(),
        container: container.parse().unwrap(),
        ifname: "eth0".parse().unwrap(),
    }
}

/// An active lease of a pod that shares its ENI.
fn shared(container: &str, last: u8) -> LeaseRecord {
    LeaseRecord {
        key: key(container),
        ipv4: Some([10, 0, 1, last].into()),
        ipv6: None,
        egress: None,
        eni: EniId::from_serial(2),
        place: Place { card: 0, index: 1 },
        pool: PoolKey::default_pool(),
        interface: Interface::Shared,
        second_in: None,
        pod: Some(KubernetesPod {
            namespace: "shop".to_owned(),
            name: format!("web-{last}"),
            uid: Some("5f0e".to_owned()),
        }),
        netns_path: format!("/run/netns/{container}"),
        netns_cookie: 4096 + u64::from(last),
        state: LeaseState::Active,
        since_wall_ms: 1_700_000_000_000,
    }
}

fn leases() -> Vec<LeaseRecord> {
    vec![
        shared("active", 10),
        LeaseRecord {
            pool: PoolKey::exactly("sg-0000000a,sg-0000000b".parse().unwrap()),
            state: LeaseState::Reserved,
            pod: None,
            ..shared("reserved", 11)
        },
        LeaseRecord {
            ipv4: None,
            ipv6: Some("fd00::a".parse().unwrap()),
            egress: Some([169, 254, 172, 2].into()),
            state: LeaseState::Deleting,
            ..shared("six", 12)
        },
        LeaseRecord {
            pool: PoolKey::default_pool().whole(),
            interface: Interface::Whole(WholeEni {
                mac: Mac::local(7),
                subnet: "10.0.1.0/24".parse().unwrap(),
            }),
            ..shared("owner", 13)
        },
        LeaseRecord {
            interface: Interface::Branch(BranchEni {
                mac: Mac::local(8),
                ipv4: Some(BranchIpv4 {
                    address: [10, 0, 1, 14].into(),
                    router: [10, 0, 1, 1].into(),
                }),
                ipv6: None,
                vlan: 7_u16.try_into().unwrap(),
                enforcement: Enforcement::Strict,
            }),
            ..shared("branch", 14)
        },
    ]
}

fn cooling() -> Cooling {
    Cooling {
        key: key("gone"),
        ipv4: Some([10, 0, 1, 20].into()),
        ipv6: None,
        eni: EniId::from_serial(2),
        until_wall_ms: 1_700_000_030_000,
        until_boot: Timestamp::from_secs(130),
    }
}

fn creation(token: &str) -> Creation {
    Creation {
        token: token.to_owned(),
        pool: PoolKey::default_pool(),
        addresses: 3,
    }
}

fn parting() -> Parting {
    Parting {
        eni: EniId::from_serial(2),
        addresses: vec![[10, 0, 1, 30].into()],
        prefixes: vec!["10.0.1.32/28".parse().unwrap()],
        until_wall_ms: 1_700_000_180_000,
        until_boot: Timestamp::from_secs(280),
    }
}

/// What the kept journals say.
fn state() -> State {
    let leases = leases().into_iter().map(|lease| (lease.key.clone(), lease));
    let cooling = cooling();
    State {
        leases: leases.collect(),
        cooling: BTreeMap::from([((cooling.ipv4, cooling.ipv6), cooling)]),
        creations: BTreeMap::from([("token-1".to_owned(), creation("token-1"))]),
        partings: vec![parting()],
    }
}

/// Written by an agent of version 1, with a history: leases from reserved on, some that have ended.
const V1: &[u8] = include_bytes!("../testdata/v1.journal");

fn frame(json: &str) -> Vec<u8> {
    let length = u32::try_from(json.len()).unwrap();
    let sum = crc32fast::hash(json.as_bytes());
    [&length.to_be_bytes(), &sum.to_be_bytes(), json.as_bytes()].concat()
}

#[test]
fn a_journal_of_version_1_says_what_it_said() {
    let decoded = decode(V1).unwrap();
    assert_eq!(
        (decoded.state, decoded.dropped, decoded.version),
        (state(), 0, 1)
    );
}

#[test]
fn it_is_read_as_far_as_it_is_whole() {
    let mut torn = V1.to_vec();
    torn.extend(&frame(r#"{"created":"token-1"}"#)[..9]);
    let decoded = decode(&torn).unwrap();
    assert_eq!((decoded.state, decoded.dropped), (state(), 9));
    // Its last record is the parting.
    let decoded = decode(&V1[..V1.len() - 1]).unwrap();
    assert!(decoded.dropped > 1);
    assert_eq!(
        decoded.state,
        State {
            partings: Vec::new(),
            ..state()
        }
    );
    for cut in 0..V1.len() {
        assert!(decode(&V1[..cut]).is_ok(), "cut at {cut}");
    }
}

#[test]
fn written_anew_it_is_of_this_version_and_says_the_same() {
    let mut bytes = encode_header();
    for change in decode(V1).unwrap().state.changes() {
        bytes.extend(encode(&change));
    }
    let decoded = decode(&bytes).unwrap();
    assert_eq!(
        (decoded.state, decoded.dropped, decoded.version),
        (state(), 0, VERSION)
    );
}

/// Where there is no room for a new file the old one is appended to, and an agent of version 1 that
/// comes back must read all of it.
#[test]
fn what_is_appended_to_it_is_of_version_1() {
    let mut wanted = state();
    let active = Change::LeaseState(StateChange {
        key: key("reserved"),
        state: LeaseState::Active,
        netns_cookie: Some(99),
        second_in: None,
    });
    let bytes = [V1, &encode(&wanted.worded(active.clone(), 1))].concat();
    assert!(!String::from_utf8_lossy(&bytes).contains("lease_state"));
    wanted.apply(active);
    assert_eq!(wanted.leases[&key("reserved")].state, LeaseState::Active);
    assert_eq!(decode(&bytes).unwrap().state, wanted);
}

#[test]
fn a_newer_version_is_not_read() {
    let header = |version| {
        frame(&format!(
            r#"{{"format":"underlay-journal","version":{version}}}"#
        ))
    };
    assert_eq!(header(VERSION), encode_header());
    let newer = VERSION + 1;
    assert_eq!(decode(&header(newer)), Err(DecodeError::Newer(newer)));
}
