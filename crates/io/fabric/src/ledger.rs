//! What the fabric must know again in another process: numbers given to ids, and where ports are.
//!
//! A text file, one line each: `number <kind> <number> <id>`, `port <eni> <device index> <netns>`,
//! `gone <eni>`. A line is written before what it speaks of is used. One without its end was never
//! relied on.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use underlay_types::EniId;

use crate::device::Place;

/// The open file.
#[derive(Debug)]
pub(crate) struct Ledger {
    path: PathBuf,
    file: File,
}

/// What a ledger says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Remembered {
    /// By kind, the ids in the order of their numbers, which begin at 1.
    pub(crate) ids: HashMap<String, Vec<String>>,
    /// Where the devices of ports are.
    pub(crate) places: BTreeMap<EniId, Place>,
}

impl Ledger {
    /// Begins a ledger.
    pub(crate) fn begin(path: &Path) -> io::Result<Self> {
        let file = File::options()
            .create_new(true)
            .append(true)
            .mode(0o600)
            .open(path)?;
        let path = path.to_owned();
        Ok(Self { path, file })
    }

    /// Opens a ledger and reads it.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, Remembered)> {
        let text = fs::read_to_string(path)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let remembered = Remembered::read(text.get(..whole).unwrap_or_default())
            .ok_or_else(|| io::Error::other("the file is no ledger of the fabric"))?;
        let file = File::options().append(true).open(path)?;
        file.set_len(u64::try_from(whole).unwrap_or(u64::MAX))?;
        let path = path.to_owned();
        Ok((Self { path, file }, remembered))
    }

    pub(crate) fn note_number(&self, kind: &str, number: u32, id: &str) {
        self.note(&format!("number {kind} {number} {id}\n"));
    }

    pub(crate) fn note_port(&self, eni: &EniId, place: &Place) {
        let netns = place.netns.display();
        self.note(&format!("port {eni} {} {netns}\n", place.device_index));
    }

    pub(crate) fn note_gone(&self, eni: &EniId) {
        self.note(&format!("gone {eni}\n"));
    }

    fn note(&self, line: &str) {
        if (&self.file).write_all(line.as_bytes()).is_err() {
            // A ledger with a gap would have another process mix up ENIs. Without one, it says
            // that it cannot go on; if not even that works, the torn line ends the reading.
            fs::remove_file(&self.path).unwrap_or_default();
        }
    }
}

impl Remembered {
    fn read(text: &str) -> Option<Self> {
        let mut remembered = Self::default();
        for line in text.lines() {
            let (word, rest) = line.split_once(' ')?;
            match word {
                "gone" => drop(remembered.places.remove(&rest.parse::<EniId>().ok()?)),
                "number" => {
                    let mut words = rest.splitn(3, ' ');
                    let (kind, number, id) = (words.next()?, words.next()?, words.next()?);
                    let ids = remembered.ids.entry(kind.to_owned()).or_default();
                    ids.push(id.to_owned());
                    (number.parse() == Ok(ids.len())).then_some(())?;
                }
                "port" => {
                    let mut words = rest.splitn(3, ' ');
                    let eni = words.next()?.parse().ok()?;
                    let device_index = words.next()?.parse().ok()?;
                    let netns = PathBuf::from(words.next()?);
                    let place = Place {
                        netns,
                        device_index,
                    };
                    remembered.places.insert(eni, place);
                }
                _ => return None,
            }
        }
        Some(remembered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_says_again_what_it_was_told_up_to_a_torn_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger");
        let ledger = Ledger::begin(&path).unwrap();
        let eni = EniId::from_serial;
        let place = |netns: &str| Place {
            netns: netns.into(),
            device_index: 3,
        };
        ledger.note_number("eni", 1, "eni-a");
        ledger.note_number("vpc", 1, "vpc-a");
        ledger.note_number("eni", 2, "eni-b");
        ledger.note_port(&eni(1), &place("/run/netns/i-1"));
        ledger.note_port(&eni(2), &place("/run/netns/with a space"));
        ledger.note_gone(&eni(1));
        ledger.note("number eni 3 eni-to");
        let ids = |list: &[&str]| list.iter().map(|id| (*id).to_owned()).collect();
        let expected = Remembered {
            ids: [
                ("eni".to_owned(), ids(&["eni-a", "eni-b"])),
                ("vpc".to_owned(), ids(&["vpc-a"])),
            ]
            .into(),
            places: [(eni(2), place("/run/netns/with a space"))].into(),
        };
        let (ledger, remembered) = Ledger::open(&path).unwrap();
        assert_eq!(remembered, expected);
        ledger.note_number("eni", 3, "eni-c");
        let (_, remembered) = Ledger::open(&path).unwrap();
        assert_eq!(remembered.ids["eni"], ["eni-a", "eni-b", "eni-c"]);
    }

    #[test]
    fn a_gap_in_the_numbers_is_no_ledger() {
        assert_eq!(Remembered::read("number eni 2 eni-b\n"), None);
        assert_eq!(Remembered::read("nonsense\n"), None);
    }
}
