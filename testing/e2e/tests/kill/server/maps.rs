//! What the fabric's programs know, read from the maps that the run pins.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::Context as _;
use aya::maps::{HashMap, Map, MapData, lpm_trie::LpmTrie};
use underlay_fabric_abi as abi;
use zerocopy::FromBytes;

/// The entries of each map that user space sets, as text. Numbers of interfaces and instances are
/// replaced by their ids, those of devices are left out: they differ each time.
pub(super) fn read(store: &Path) -> anyhow::Result<BTreeMap<&'static str, Vec<String>>> {
    let ledger = fs::read_to_string(store.join("ledger"))?;
    let (enis, holders) = (ids(&ledger, "eni"), ids(&ledger, "holder"));
    let eni = |number: u32| name(&enis, number);
    let pins = store.join("pins");
    let mut all = BTreeMap::new();
    let of_devices = entries::<4, 4>(&pins, "enis")?;
    all.insert(
        "enis",
        of_devices.map(|(_, number)| eni(u32::from_ne_bytes(number))),
    );
    let ports = entries::<4, { size_of::<abi::Port>() }>(&pins, "ports")?;
    all.insert(
        "ports",
        ports.map(|(number, port)| {
            let port = abi::Port::read_from_bytes(&port).unwrap();
            let holder = name(&holders, port.holder);
            let port = abi::Port {
                ifindex: 0,
                holder: 0,
                mac: [0; 6],
                ..port
            };
            format!("{} {holder} {port:?}", eni(u32::from_ne_bytes(number)))
        }),
    );
    let addresses = entries::<{ size_of::<abi::AddressKey>() }, 4>(&pins, "addresses")?;
    all.insert(
        "addresses",
        addresses.map(|(key, number)| format!("{key:?} {}", eni(u32::from_ne_bytes(number)))),
    );
    let members = entries::<{ size_of::<abi::MemberKey>() }, 4>(&pins, "members")?;
    all.insert(
        "members",
        members.map(|(key, _)| {
            let key = abi::MemberKey::read_from_bytes(&key).unwrap();
            format!("{} {}", eni(key.eni), key.group)
        }),
    );
    for map in ["group_rules", "acl_rules"] {
        let lists =
            entries::<{ size_of::<abi::RulesKey>() }, { size_of::<abi::RuleChunk>() }>(&pins, map)?;
        all.insert(map, lists.map(|(key, chunk)| format!("{key:?} {chunk:?}")));
    }
    all.insert("routes", routes(&pins)?);
    Ok(all)
}

/// The entries of a hash map.
struct Entries<const KEY: usize, const VALUE: usize>(Vec<([u8; KEY], [u8; VALUE])>);

impl<const KEY: usize, const VALUE: usize> Entries<KEY, VALUE> {
    fn map(self, text: impl FnMut(([u8; KEY], [u8; VALUE])) -> String) -> Vec<String> {
        self.0.into_iter().map(text).collect()
    }
}

fn entries<const KEY: usize, const VALUE: usize>(
    pins: &Path,
    map: &str,
) -> anyhow::Result<Entries<KEY, VALUE>> {
    let data = MapData::from_pin(pins.join(map)).with_context(|| format!("opening {map}"))?;
    let map = HashMap::<_, [u8; KEY], [u8; VALUE]>::try_from(Map::HashMap(data))?;
    Ok(Entries(map.iter().collect::<Result<_, _>>()?))
}

/// Tables do not come and go here: their numbers are their names.
fn routes(pins: &Path) -> anyhow::Result<Vec<String>> {
    const KEY: usize = size_of::<abi::RouteKey>() - size_of::<u32>();
    let data = MapData::from_pin(pins.join("routes"))?;
    let map = LpmTrie::<_, [u8; KEY], [u8; size_of::<abi::Route>()]>::try_from(Map::LpmTrie(data))?;
    let text = |entry| {
        let (key, route): (aya::maps::lpm_trie::Key<[u8; KEY]>, _) = entry?;
        Ok(format!("{} {:?} {route:?}", key.prefix_len(), key.data()))
    };
    map.iter().map(text).collect()
}

/// The ids that the ledger says numbers of a kind stand for.
fn ids(ledger: &str, kind: &str) -> Vec<String> {
    let prefix = format!("number {kind} ");
    let lines = ledger.lines().filter_map(|line| line.strip_prefix(&prefix));
    lines
        .filter_map(|line| Some(line.split_once(' ')?.1.to_owned()))
        .collect()
}

fn name(ids: &[String], number: u32) -> String {
    let index = usize::try_from(number).unwrap().checked_sub(1);
    let id = index.and_then(|index| ids.get(index));
    id.cloned().unwrap_or_else(|| format!("unknown {number}"))
}
