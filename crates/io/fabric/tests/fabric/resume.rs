//! A fabric that outlives its process.

use std::{
    net::UdpSocket,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use aya::maps::{HashMap, Map, MapData};
use rustix::mount::{UnmountFlags, unmount};
use underlay_fabric::{FabricError, FabricStore, LoadedPrograms};
use underlay_netlink::link;

use crate::{
    gateways::{SOMEBODY, behind_nat},
    traffic::{Outcome, connect, say, serve, udp},
    world::{OPEN, World, allow, anywhere, ip},
};

const SERVER: &str = "sg-00000001";

/// A store that is unmounted and removed in the end.
struct Store {
    store: FabricStore,
    folder: tempfile::TempDir,
}

impl Store {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = FabricStore::at(folder.path().join("fabric"));
        Self { store, folder }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        unmount(self.folder.path().join("fabric/pins"), UnmountFlags::DETACH).unwrap();
    }
}

/// A server that allows its clients only what is tracked, and a client with a connection.
fn world(store: &FabricStore) -> World {
    let mut world = World::kept(store);
    world.rules(SERVER, vec![], vec![]);
    world.instance("server", "10.0.1.10", &[SERVER]);
    world.instance("client", "10.0.2.10", &[OPEN]);
    world.instance("gone", "10.0.2.11", &[OPEN]);
    serve(world.at("server"), 7);
    world
}

#[test]
fn tracked_flows_and_devices_survive_and_what_is_not_wanted_goes() {
    let store = Store::new();
    let mut world = world(&store.store);
    let any = vec![allow(underlay_fabric::Protocol::Any, anywhere())];
    world.rules(SERVER, any, vec![]);
    let to = (ip("10.0.1.10"), 7);
    let mut stream = connect(world.at("client"), to).unwrap();
    assert_eq!(say(&mut stream), Outcome::Answered);
    let device = |world: &World, name: &str| {
        let mac = world.at(name).port.mac;
        link::by_mac(&mut world.at(name).socket(), mac)
    };
    let before = device(&world, "client").unwrap();

    // The group's rules are not said again: another process does not know them any more.
    world.resume(&store.store, &["gone"]);

    assert_eq!(say(&mut stream), Outcome::Answered, "it is tracked");
    let fresh = udp(world.at("client"), to);
    assert_eq!(fresh, Outcome::Silence, "no rule allows it any more");
    assert_eq!(device(&world, "client").unwrap(), before);
    assert!(device(&world, "gone").unwrap_err().is_missing());
    assert_eq!(world.fabric.lost_ports().unwrap(), []);
    // What comes later gets numbers that nobody had.
    world.instance("later", "10.0.2.12", &[OPEN]);
    assert_eq!(say(&mut stream), Outcome::Answered);
    serve(world.at("later"), 7);
    let to_later = udp(world.at("client"), (ip("10.0.2.12"), 7));
    assert_eq!(to_later, Outcome::Answered);
}

/// Moves the last packet of every flow in `table` a second into the future, as if another processor had just seen one.
fn overtake<const KEY: usize, const VALUE: usize>(
    store: &Store,
    table: &str,
    kind: fn(MapData) -> Map,
) -> usize {
    let pin = store.folder.path().join("fabric/pins").join(table);
    let map = kind(MapData::from_pin(pin).unwrap());
    let mut flows = HashMap::<_, [u8; KEY], [u8; VALUE]>::try_from(map).unwrap();
    let seen: Vec<_> = flows.iter().map(Result::unwrap).collect();
    for (key, mut flow) in seen.iter().copied() {
        let (last, _) = flow.split_first_chunk_mut::<8>().unwrap();
        *last = (u64::from_ne_bytes(*last) + 1_000_000_000).to_ne_bytes();
        flows.insert(key, flow, 0).unwrap();
    }
    seen.len()
}

#[test]
fn a_packet_that_another_processor_has_overtaken_belongs_to_its_flow() {
    let store = Store::new();
    let mut world = world(&store.store);
    let any = vec![allow(underlay_fabric::Protocol::Any, anywhere())];
    world.rules(SERVER, any, vec![]);
    let mut stream = connect(world.at("client"), (ip("10.0.1.10"), 7)).unwrap();
    assert_eq!(say(&mut stream), Outcome::Answered);
    assert!(overtake::<44, 32>(&store, "tracks", Map::HashMap) > 0);
    assert_eq!(say(&mut stream), Outcome::Answered);
}

#[test]
fn a_packet_that_another_processor_has_overtaken_belongs_to_its_translated_flow() {
    let store = Store::new();
    let (world, _) = behind_nat(World::kept(&store.store));
    let mut stream = connect(world.at("one"), (ip(SOMEBODY), 7)).unwrap();
    assert_eq!(say(&mut stream), Outcome::Answered);
    let seen = overtake::<48, 16>(&store, "sessions", Map::LruHashMap);
    assert_eq!(seen, 2, "from inside and from outside");
    assert_eq!(say(&mut stream), Outcome::Answered);
    assert_eq!(world.counter("nat-resets"), 0);
}

#[test]
fn packets_go_on_while_a_fabric_is_taken_over() {
    let store = Store::new();
    let mut world = World::kept(&store.store);
    world.instance("server", "10.0.1.10", &[OPEN]);
    world.instance("client", "10.0.2.10", &[OPEN]);
    let receiver = world
        .at("server")
        .run(|| UdpSocket::bind(("0.0.0.0", 9)).unwrap());
    receiver
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let sender = world
        .at("client")
        .run(|| UdpSocket::bind(("0.0.0.0", 0)).unwrap());
    sender.connect(("10.0.1.10", 9)).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let ends = Arc::clone(&stop);
    let sending = thread::spawn(move || {
        let mut sent = 0_u64;
        while !ends.load(Ordering::Relaxed) || sent < 1_000 {
            sender.send(&sent.to_be_bytes()).unwrap();
            sent += 1;
            // Slow enough for the receiver's buffer; nothing waits for this.
            thread::sleep(Duration::from_micros(200));
        }
        sender.send(&u64::MAX.to_be_bytes()).unwrap();
        sent
    });
    let receiving = thread::spawn(move || {
        let (mut got, mut data) = (0_u64, [0; 8]);
        loop {
            receiver.recv(&mut data).unwrap();
            let number = u64::from_be_bytes(data);
            if number == u64::MAX {
                return got;
            }
            assert_eq!(number, got, "datagrams arrive in order and without a gap");
            got += 1;
        }
    });
    for _ in 0..3 {
        world.resume(&store.store, &[]);
    }
    stop.store(true, Ordering::Relaxed);
    assert_eq!(receiving.join().unwrap(), sending.join().unwrap());
}

#[test]
fn another_builds_fabric_and_a_lost_one_are_refused() {
    let store = Store::new();
    let world = World::kept(&store.store);
    std::fs::write(store.folder.path().join("fabric/fabric.o"), "other").unwrap();
    let error = store.store.load().unwrap_err();
    assert!(matches!(error, FabricError::OtherBuild), "{error:?}");
    drop(world);
    let nowhere = FabricStore::at(Path::new("/run/there-is-no-such-folder"));
    let error = nowhere.load().map(|_: LoadedPrograms| ()).unwrap_err();
    assert!(matches!(error, FabricError::Store { .. }), "{error:?}");
}
