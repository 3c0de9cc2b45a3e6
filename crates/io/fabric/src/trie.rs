//! Longest-prefix maps: routes, and the blocks of prefix lists.

use aya::{
    Ebpf,
    maps::{
        MapData,
        lpm_trie::{Key, LpmTrie},
    },
};
use ipnet::IpNet;
use underlay_fabric_abi as abi;

use crate::{
    FabricError,
    maps::{Marks, Plain, is_missing, shape},
    pod::Raw,
};

/// A longest-prefix map whose keys begin with the number of a table.
pub(crate) struct Trie<V> {
    name: &'static str,
    map: LpmTrie<MapData, Raw<[u8; 20]>, Raw<V>>,
    marks: Option<Marks>,
}

impl<V: Plain> Trie<V> {
    pub(crate) fn take(object: &mut Ebpf, name: &'static str) -> Result<Self, FabricError> {
        let map = object.take_map(name).ok_or(FabricError::Object(name))?;
        let map = LpmTrie::try_from(map).map_err(|source| shape(name, source))?;
        Ok(Self {
            name,
            map,
            marks: None,
        })
    }

    /// Sets the entry of a block in the table `number`, or removes it; one that is not there is no
    /// error.
    pub(crate) fn set(
        &mut self,
        number: u32,
        block: IpNet,
        value: Option<V>,
    ) -> Result<(), FabricError> {
        let key = trie_key(number, block);
        let mut data = [0; 20];
        data[..4].copy_from_slice(&key.table_be);
        data[4..].copy_from_slice(&key.destination_be);
        let trie_key = Key::new(key.prefix_length, Raw(data));
        if let (Some(marks), Some(_)) = (&mut self.marks, value) {
            marks.insert(mark(&trie_key));
        }
        let done = match value {
            Some(value) => self.map.insert(&trie_key, Raw(value), 0),
            None => self.map.remove(&trie_key),
        };
        match done {
            Err(error) if value.is_none() && is_missing(&error) => Ok(()),
            done => done,
        }
        .map_err(|source| FabricError::Map {
            op: if value.is_some() { "set" } else { "remove" },
            what: format!("{key:?}"),
            map: self.name,
            source: Box::new(source),
        })
    }

    /// Remembers from now on what is set, until [`Self::sweep`].
    pub(crate) fn mark(&mut self) {
        self.marks = Some(Marks::new());
    }

    /// Removes what was not set since marking began, and ends marking.
    pub(crate) fn sweep(&mut self) -> Result<(), FabricError> {
        let Some(marks) = self.marks.take() else {
            return Ok(());
        };
        let name = self.name;
        let failed = |source| FabricError::Map {
            op: "remove",
            what: "what nobody set again".to_owned(),
            map: name,
            source: Box::new(source),
        };
        let there: Result<Vec<_>, _> = self.map.keys().collect();
        for key in there.map_err(failed)? {
            if !marks.contains(&mark(&key)) {
                self.map.remove(&key).map_err(failed)?;
            }
        }
        Ok(())
    }
}

fn mark(key: &Key<Raw<[u8; 20]>>) -> Vec<u8> {
    let Raw(data) = key.data();
    let mut mark = key.prefix_len().to_ne_bytes().to_vec();
    mark.extend(data);
    mark
}

fn trie_key(table: u32, block: IpNet) -> abi::RouteKey {
    let first = block.network();
    let bits = abi::prefix_bits(first, block.prefix_len());
    abi::RouteKey {
        prefix_length: 32 + u32::from(bits),
        table_be: (2 * table + u32::from(first.is_ipv6())).to_be_bytes(),
        destination_be: abi::address_bytes(first),
    }
}
