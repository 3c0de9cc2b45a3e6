//! The programs' maps, with the types of their keys and values.

use std::{collections::BTreeSet, fmt::Debug};

use aya::{
    Ebpf,
    maps::{Array, HashMap, MapData, MapError, PerCpuArray},
};
use underlay_fabric_abi as abi;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::{FabricError, pod::Raw, trie::Trie};

/// Plain data.
pub(crate) trait Plain: FromBytes + IntoBytes + Immutable + Copy + Debug + 'static {}
impl<T: FromBytes + IntoBytes + Immutable + Copy + Debug + 'static> Plain for T {}

/// A hash map.
pub(crate) struct Table<K, V> {
    name: &'static str,
    map: HashMap<MapData, Raw<K>, Raw<V>>,
    marks: Option<Marks>,
}

/// Keys that were set since marking began.
pub(crate) type Marks = BTreeSet<Vec<u8>>;

impl<K: Plain, V: Plain> Table<K, V> {
    fn take(object: &mut Ebpf, name: &'static str) -> Result<Self, FabricError> {
        let map = object.take_map(name).ok_or(FabricError::Object(name))?;
        let map = HashMap::try_from(map).map_err(|source| shape(name, source))?;
        Ok(Self {
            name,
            map,
            marks: None,
        })
    }

    pub(crate) fn set(&mut self, key: K, value: V) -> Result<(), FabricError> {
        if let Some(marks) = &mut self.marks {
            marks.insert(key.as_bytes().to_vec());
        }
        self.map
            .insert(Raw(key), Raw(value), 0)
            .map_err(self.error("set", &key))
    }

    /// Removes what was not set since marking began, and ends marking.
    fn sweep(&mut self) -> Result<(), FabricError> {
        let Some(marks) = self.marks.take() else {
            return Ok(());
        };
        let stale = self.keys_where(|key| !marks.contains(key.as_bytes()))?;
        stale.into_iter().try_for_each(|key| self.remove(key))
    }

    /// Removes an entry; one that is not there is no error.
    pub(crate) fn remove(&mut self, key: K) -> Result<(), FabricError> {
        match self.map.remove(&Raw(key)) {
            Err(error) if is_missing(&error) => Ok(()),
            other => other.map_err(self.error("remove", &key)),
        }
    }

    pub(crate) fn find(&self, key: K) -> Result<Option<V>, FabricError> {
        match self.map.get(&Raw(key), 0) {
            Ok(Raw(value)) => Ok(Some(value)),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(self.error("read", &key)(error)),
        }
    }

    /// The keys that `wanted` says yes to. Entries that come or go meanwhile may be missed.
    pub(crate) fn keys_where(&self, wanted: impl Fn(&K) -> bool) -> Result<Vec<K>, FabricError> {
        let mut keys = Vec::new();
        for key in self.map.keys() {
            let Raw(key) = key.map_err(self.error("list", &"keys"))?;
            if wanted(&key) {
                keys.push(key);
            }
        }
        Ok(keys)
    }

    fn error(&self, op: &'static str, what: &impl Debug) -> impl FnOnce(MapError) -> FabricError {
        let (map, what) = (self.name, format!("{what:?}"));
        move |source| FabricError::Map {
            op,
            what,
            map,
            source: Box::new(source),
        }
    }
}

/// Whether there is no entry of that key.
pub(crate) fn is_missing(error: &MapError) -> bool {
    match error {
        MapError::KeyNotFound => true,
        MapError::SyscallError(error) => error.io_error.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}

pub(crate) fn shape(name: &'static str, source: MapError) -> FabricError {
    FabricError::Map {
        op: "open",
        what: "the map".to_owned(),
        map: name,
        source: Box::new(source),
    }
}

/// All maps.
pub(crate) struct Maps {
    pub(crate) enis: Table<u32, u32>,
    pub(crate) ports: Table<u32, abi::Port>,
    pub(crate) addresses: Table<abi::AddressKey, u32>,
    pub(crate) group_rules: Table<abi::RulesKey, abi::RuleChunk>,
    pub(crate) acl_rules: Table<abi::RulesKey, abi::RuleChunk>,
    pub(crate) members: Table<abi::MemberKey, u32>,
    pub(crate) trackings: Table<u32, abi::Tracking>,
    pub(crate) tracks: Table<abi::TrackKey, abi::Track>,
    pub(crate) flows: Table<abi::FlowKey, abi::Flow>,
    pub(crate) flow_losses: Table<abi::LossKey, u64>,
    pub(crate) callers: Table<[u8; 16], abi::Caller>,
    pub(crate) routes: Trie<abi::Route>,
    pub(crate) list_blocks: Trie<u32>,
    pub(crate) allowances: Table<u32, abi::Allowance>,
    pub(crate) branches: Table<abi::BranchKey, u32>,
    pub(crate) nat_gateways: Table<u32, abi::NatGateway>,
    pub(crate) owners: Trie<abi::Owner>,
    pub(crate) publics: Table<abi::AddressKey, [u8; 16]>,
    rules_age: Array<MapData, u64>,
    settings: Array<MapData, Raw<abi::Settings>>,
    window: Array<MapData, u32>,
    counters: PerCpuArray<MapData, u64>,
}

impl Maps {
    pub(crate) fn take(object: &mut Ebpf) -> Result<Self, FabricError> {
        let mut map = |name| object.take_map(name).ok_or(FabricError::Object(name));
        let age = Array::try_from(map("rules_age")?).map_err(|e| shape("rules_age", e))?;
        let settings = Array::try_from(map("settings_table")?).map_err(|e| shape("settings", e))?;
        let window = Array::try_from(map("window")?).map_err(|e| shape("window", e))?;
        let counters = PerCpuArray::try_from(map("counters")?).map_err(|e| shape("counters", e))?;
        Ok(Self {
            enis: Table::take(object, "enis")?,
            ports: Table::take(object, "ports")?,
            addresses: Table::take(object, "addresses")?,
            group_rules: Table::take(object, "group_rules")?,
            acl_rules: Table::take(object, "acl_rules")?,
            members: Table::take(object, "members")?,
            trackings: Table::take(object, "trackings")?,
            tracks: Table::take(object, "tracks")?,
            flows: Table::take(object, "flows")?,
            flow_losses: Table::take(object, "flow_losses")?,
            callers: Table::take(object, "callers")?,
            routes: Trie::take(object, "routes")?,
            list_blocks: Trie::take(object, "list_blocks")?,
            allowances: Table::take(object, "allowances")?,
            branches: Table::take(object, "branches")?,
            nat_gateways: Table::take(object, "nat_gateways")?,
            owners: Trie::take(object, "owners")?,
            publics: Table::take(object, "publics")?,
            rules_age: age,
            settings,
            window,
            counters,
        })
    }

    pub(crate) fn set_settings(&mut self, settings: abi::Settings) -> Result<(), FabricError> {
        self.settings
            .set(0, Raw(settings), 0)
            .map_err(|source| FabricError::Map {
                op: "set",
                what: format!("{settings:?}"),
                map: "settings",
                source: Box::new(source),
            })
    }

    /// What the programs go by; all zeros before it is set.
    pub(crate) fn settings(&self) -> Result<abi::Settings, FabricError> {
        let read = self.settings.get(&0, 0).map(|Raw(settings)| settings);
        read.map_err(|source| FabricError::Map {
            op: "read",
            what: "the settings".to_owned(),
            map: "settings",
            source: Box::new(source),
        })
    }

    /// The number of the open window.
    pub(crate) fn window(&self) -> Result<u32, FabricError> {
        self.window.get(&0, 0).map_err(|source| FabricError::Map {
            op: "read",
            what: "its number".to_owned(),
            map: "window",
            source: Box::new(source),
        })
    }

    /// Remembers from now on what user space sets, until [`Self::sweep`].
    pub(crate) fn mark(&mut self) {
        self.enis.marks = Some(Marks::new());
        self.ports.marks = Some(Marks::new());
        self.addresses.marks = Some(Marks::new());
        self.group_rules.marks = Some(Marks::new());
        self.members.marks = Some(Marks::new());
        self.acl_rules.marks = Some(Marks::new());
        self.routes.mark();
        self.list_blocks.mark();
        self.branches.marks = Some(Marks::new());
        self.nat_gateways.marks = Some(Marks::new());
        self.owners.mark();
        self.publics.marks = Some(Marks::new());
    }

    /// Removes what user space has not set since [`Self::mark`].
    pub(crate) fn sweep(&mut self) -> Result<(), FabricError> {
        self.enis.sweep()?;
        self.ports.sweep()?;
        self.addresses.sweep()?;
        self.group_rules.sweep()?;
        self.members.sweep()?;
        self.acl_rules.sweep()?;
        self.routes.sweep()?;
        self.list_blocks.sweep()?;
        self.branches.sweep()?;
        self.nat_gateways.sweep()?;
        self.owners.sweep()?;
        self.publics.sweep()
    }

    pub(crate) fn set_window(&mut self, number: u32) -> Result<(), FabricError> {
        self.window
            .set(0, number, 0)
            .map_err(|source| FabricError::Map {
                op: "set",
                what: number.to_string(),
                map: "window",
                source: Box::new(source),
            })
    }

    /// Has the programs ask the rules again where they know that a flow needs no tracking.
    pub(crate) fn age_rules(&mut self) -> Result<(), FabricError> {
        let failed = |op| {
            move |source| FabricError::Map {
                op,
                what: "the age of the rules".to_owned(),
                map: "rules_age",
                source: Box::new(source),
            }
        };
        let age = self.rules_age.get(&0, 0).map_err(failed("read"))?;
        let next = age.wrapping_add(1);
        self.rules_age.set(0, next, 0).map_err(failed("set"))
    }

    /// The counters, each the sum of all processors.
    pub(crate) fn counters(&self) -> Result<Vec<(&'static str, u64)>, FabricError> {
        (0..)
            .zip(abi::COUNTERS)
            .map(|(index, name)| {
                let values = self
                    .counters
                    .get(&index, 0)
                    .map_err(|source| FabricError::Map {
                        op: "read",
                        what: name.to_owned(),
                        map: "counters",
                        source: Box::new(source),
                    })?;
                Ok((name, values.iter().sum()))
            })
            .collect()
    }
}
