//! Elements and rulesets against a real kernel, in namespaces of the test's own.
#![expect(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::os::fd::{AsFd, OwnedFd};

use underlay_netlink::{
    Errno, netns,
    nft::{self, Element, Nft, Value},
};
use underlay_types::Class;

const SCRIPT: &str = "
table inet t {
  chain one { accept; }
  chain two { drop; }
  map pod-mark { type iface_index . ipv4_addr : mark; }
  map pod-policy { type iface_index : verdict; }
  set known { type iface_index; }
}
";

fn table() -> (OwnedFd, Nft) {
    let netns = netns::create().unwrap();
    netns::run_in(netns.as_fd(), || nft::load(SCRIPT))
        .unwrap()
        .unwrap();
    let nft = Nft::open_in(netns.as_fd()).unwrap();
    (netns, nft)
}

fn element(set: &str, key: Vec<u8>, value: Value) -> Element {
    Element {
        table: "t".to_owned(),
        set: set.to_owned(),
        key,
        value,
    }
}

fn mark(index: u32, last: u8, mark: u32) -> Element {
    let mut key = index.to_ne_bytes().to_vec();
    key.extend([10, 0, 0, last]);
    element("pod-mark", key, Value::Number(mark))
}

fn by_index(set: &str, index: u32, value: Value) -> Element {
    element(set, index.to_ne_bytes().to_vec(), value)
}

#[test]
fn elements_of_every_kind_read_back_as_written_and_as_nft_shows_them() {
    let (netns, mut nft) = table();
    let elements = [
        mark(1, 7, 0x10_0000),
        by_index("pod-policy", 1, Value::Jump("one".to_owned())),
        by_index("known", 1, Value::None),
    ];
    nft.add(&elements).unwrap();
    nft.add(&elements).unwrap();
    for element in &elements {
        assert_eq!(
            nft.elements("t", &element.set).unwrap(),
            std::slice::from_ref(element)
        );
    }
    let text = netns::run_in(netns.as_fd(), || nft::list("t"))
        .unwrap()
        .unwrap();
    assert!(
        text.contains(r#"elements = { "lo" . 10.0.0.7 : 0x00100000 }"#),
        "{text}"
    );
    assert!(text.contains(r#"elements = { "lo" : jump one }"#), "{text}");
    nft.delete(&elements).unwrap();
    nft.delete(&elements).unwrap();
    for element in &elements {
        assert_eq!(nft.elements("t", &element.set).unwrap(), []);
    }
}

#[test]
fn an_element_with_another_value_is_replaced() {
    let (_netns, mut nft) = table();
    nft.add(&[
        mark(1, 7, 1),
        by_index("pod-policy", 1, Value::Jump("one".to_owned())),
    ])
    .unwrap();
    let new = [
        mark(1, 7, 2),
        mark(2, 8, 3),
        by_index("pod-policy", 1, Value::Jump("two".to_owned())),
    ];
    nft.add(&new).unwrap();
    let mut marks = nft.elements("t", "pod-mark").unwrap();
    marks.sort();
    assert_eq!(marks, new[..2]);
    assert_eq!(nft.elements("t", "pod-policy").unwrap(), new[2..]);
}

#[test]
fn deleting_spares_nothing_that_is_there_when_another_is_missing() {
    let (_netns, mut nft) = table();
    nft.add(&[mark(1, 7, 1), mark(3, 9, 1)]).unwrap();
    nft.delete(&[mark(1, 7, 1), mark(2, 8, 1), mark(3, 9, 1)])
        .unwrap();
    assert_eq!(nft.elements("t", "pod-mark").unwrap(), []);
}

#[test]
fn a_refused_batch_changes_nothing_and_names_its_element() {
    let (_netns, mut nft) = table();
    let wrong = by_index("pod-policy", 1, Value::Jump("none".to_owned()));
    let error = nft.add(&[mark(1, 7, 1), wrong.clone()]).unwrap_err();
    assert_eq!(
        (error.errno, error.object),
        (Errno::NOENT, wrong.to_string())
    );
    assert_eq!(nft.elements("t", "pod-mark").unwrap(), []);
    let many: Vec<_> = (0..200).map(|last| mark(9, last, 5)).collect();
    nft.add(&many).unwrap();
    assert_eq!(nft.elements("t", "pod-mark").unwrap().len(), 200);
}

#[test]
fn a_refused_script_gives_the_words_of_nft() {
    let netns = netns::create().unwrap();
    let error = netns::run_in(netns.as_fd(), || nft::load("table inet t { chain")).unwrap();
    let error = error.unwrap_err();
    assert_eq!(error.class(), Class::Invalid);
    assert!(error.message.contains("syntax error"), "{error}");
    let mut nft = Nft::open_in(netns.as_fd()).unwrap();
    assert_eq!(
        nft.elements("t", "pod-mark").unwrap_err().class(),
        Class::NotFound
    );
}
