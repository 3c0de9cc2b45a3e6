use underlay_journal::{Cooling, Creation, LeaseRecord, LeaseState, StateChange};
use underlay_types::{EniId, Interface, KubernetesPod, PoolKey, Timestamp};

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

fn creation(token: u8) -> Creation {
    Creation {
        token: format!("token-{token}"),
        pool: PoolKey::default_pool(),
        addresses: 3,
    }
}

#[test]
fn a_journal_survives_being_reopened() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let (mut journal, dropped) = Journal::open(&path).unwrap();
    assert_eq!(dropped, 0);
    journal
        .record(Change::Lease(lease(1, LeaseState::Reserved)))
        .unwrap();
    journal
        .record(Change::Lease(lease(1, LeaseState::Active)))
        .unwrap();
    journal.record(Change::Cooling(cooling(2))).unwrap();
    let state = journal.state().clone();
    drop(journal);
    let (journal, dropped) = Journal::open(&path).unwrap();
    assert_eq!((journal.state(), dropped), (&state, 0));
    assert!(!path.with_extension("new").exists());
}

#[test]
fn history_is_dropped_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let (mut journal, _) = Journal::open(&path).unwrap();
    for _ in 0..=HISTORY_MAX {
        journal
            .record(Change::Lease(lease(1, LeaseState::Active)))
            .unwrap();
    }
    assert!(path.metadata().unwrap().len() < 2_000);
    journal
        .record(Change::Lease(lease(2, LeaseState::Active)))
        .unwrap();
    let (reopened, _) = Journal::open(&path).unwrap();
    assert_eq!(reopened.state(), journal.state());
}

#[test]
fn a_newer_version_and_a_foreign_file_are_refused_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let json = br#"{"format":"underlay-journal","version":3}"#;
    let mut newer = u32::try_from(json.len()).unwrap().to_be_bytes().to_vec();
    newer.extend(crc32fast::hash(json).to_be_bytes());
    newer.extend(json);
    for bytes in [newer.as_slice(), b"something else entirely"] {
        std::fs::write(&path, bytes).unwrap();
        let error = Journal::open(&path).unwrap_err();
        assert!(matches!(error, JournalError::Unreadable { .. }), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
}

#[test]
fn a_failed_append_leaves_the_journal_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let (mut journal, _) = Journal::open(&path).unwrap();
    journal.record(Change::Creating(creation(1))).unwrap();
    let before = journal.state().clone();
    journal.file = File::open(&path).unwrap();
    assert!(journal.record(Change::Creating(creation(2))).is_err());
    assert_eq!(*journal.state(), before);
}

#[test]
fn a_lease_of_ipv6_alone_is_kept_until_it_ends_and_one_of_nothing_cannot_be_wired() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let (mut journal, _) = Journal::open(&path).unwrap();
    let lease = only_ipv6(1);
    journal.record(Change::Lease(lease.clone())).unwrap();
    let (mut journal, dropped) = Journal::open(&path).unwrap();
    assert_eq!((journal.state().leases.len(), dropped), (1, 0));
    let wiring = crate::engine::actor::wiring(&lease, 1500).unwrap();
    assert_eq!(wiring.addresses.v6(), lease.ipv6);
    let nothing = LeaseRecord {
        ipv6: None,
        ..lease.clone()
    };
    let error = crate::engine::actor::wiring(&nothing, 1500).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the lease of underlay/c1/eth0 has no address"
    );
    let ended = Cooling {
        ipv4: None,
        ipv6: lease.ipv6,
        ..cooling(1)
    };
    journal.record(Change::Cooling(ended)).unwrap();
    assert_eq!(journal.state().leases.len(), 0);
    assert_eq!(journal.state().cooling.len(), 1);
}

/// A full disk, to whoever writes.
const FULL: &str = "/dev/full";

#[test]
fn on_a_full_disk_the_journal_is_as_before_and_works_again_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let (mut journal, _) = Journal::open(&path).unwrap();
    let active = Change::Lease(lease(1, LeaseState::Active));
    journal.record(active).unwrap();
    let before = journal.state().clone();
    let own = std::mem::replace(
        &mut journal.file,
        File::options().write(true).open(FULL).unwrap(),
    );
    let error = journal.record(Change::Cooling(cooling(1))).unwrap_err();
    let text = underlay_types::chain(&error);
    assert!(text.contains("No space left on device"), "{text}");
    assert!(text.contains(&path.display().to_string()), "{text}");
    assert_eq!(*journal.state(), before);
    journal.file = own;
    journal.record(Change::Cooling(cooling(1))).unwrap();
    let (reopened, dropped) = Journal::open(&path).unwrap();
    assert_eq!((reopened.state(), dropped), (journal.state(), 0));
}

#[test]
fn a_journal_that_cannot_be_rewritten_is_read_and_appended_to() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let (mut journal, _) = Journal::open(&path).unwrap();
    journal
        .record(Change::Lease(lease(1, LeaseState::Active)))
        .unwrap();
    let state = journal.state().clone();
    drop(journal);
    // Torn, too: what is appended must not follow half a record.
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.extend([0, 0, 0, 99, 1]);
    std::fs::write(&path, &bytes).unwrap();
    let beside = path.with_extension("new");
    std::os::unix::fs::symlink(FULL, &beside).unwrap();
    let (mut journal, dropped) = Journal::open(&path).unwrap();
    assert_eq!((journal.state(), dropped), (&state, 5));
    assert!(!beside.is_symlink(), "nothing half is left");
    journal.record(Change::Cooling(cooling(2))).unwrap();
    let (reopened, dropped) = Journal::open(&path).unwrap();
    assert_eq!((reopened.state(), dropped), (journal.state(), 0));
}

/// A journal of version 1 with one lease, as that version's agent would have written it.
fn of_version_1() -> Vec<u8> {
    let json = br#"{"format":"underlay-journal","version":1}"#;
    let mut bytes = u32::try_from(json.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend(crc32fast::hash(json).to_be_bytes());
    bytes.extend(json);
    bytes.extend(encode(&Change::Lease(lease(1, LeaseState::Reserved))));
    bytes
}

fn active() -> Change {
    Change::LeaseState(StateChange {
        key: lease(1, LeaseState::Active).key,
        state: LeaseState::Active,
        netns_cookie: None,
        second_in: None,
    })
}

#[test]
fn a_journal_of_the_version_before_is_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    std::fs::write(&path, of_version_1()).unwrap();
    let (mut journal, dropped) = Journal::open(&path).unwrap();
    assert_eq!(dropped, 0);
    journal.record(active()).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    assert!(bytes.starts_with(&encode_header()));
    assert!(bytes.ends_with(&encode(&active())));
    let leases = decode(&bytes).unwrap().state.leases;
    assert_eq!(
        leases.into_values().collect::<Vec<_>>(),
        [lease(1, LeaseState::Active)]
    );
}

#[test]
fn without_room_it_goes_on_in_the_words_of_its_version() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    std::fs::write(&path, of_version_1()).unwrap();
    std::os::unix::fs::symlink(FULL, path.with_extension("new")).unwrap();
    let (mut journal, _) = Journal::open(&path).unwrap();
    journal.record(active()).unwrap();
    let whole = encode(&Change::Lease(lease(1, LeaseState::Active)));
    assert_eq!(
        std::fs::read(&path).unwrap(),
        [of_version_1(), whole].concat()
    );
    // With room again it is this version's.
    journal.compact().unwrap();
    journal.record(active()).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    assert!(bytes.ends_with(&encode(&active())));
}
