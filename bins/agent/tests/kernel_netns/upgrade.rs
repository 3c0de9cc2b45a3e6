//! An agent takes over a node from one of before, whose rules of ENIs stood in one row.

use std::{
    net::SocketAddrV4,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use crate::{
    lab::{Lab, REMOTE, command, kernel_of},
    traffic::{DatagramClient, answer_datagrams},
};

/// Rules that are not ours: of another table, of other bits of the mark, without a mark.
const NOT_OURS: [&str; 3] = [
    "priority 6990 fwmark 0x80/0x80 lookup 70002",
    "priority 7000 fwmark 0x300000/0x7ffc0000 lookup 100",
    "priority 7000 from 10.9.9.9 lookup 70002",
];

struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn rules(lab: &Lab) -> Vec<String> {
    let rules = command(&lab.node, "ip rule show");
    let spaced = rules.lines().map(|line| line.replace('\t', " "));
    spaced.map(|line| line.trim().to_owned()).collect()
}

/// Replaces the rules of ENIs by those of before.
fn go_back(lab: &Lab) {
    let of_enis: Vec<_> = rules(lab)
        .iter()
        .filter(|rule| rule.contains("lookup"))
        .filter_map(|rule| rule.split_once(": ").map(|(_, rule)| rule.to_owned()))
        .filter(|rule| rule.contains("fwmark"))
        .collect();
    assert_eq!(of_enis.len(), 8, "{of_enis:?}");
    for rule in of_enis {
        let is_enis = rule.contains("lookup 7000");
        let priority = if is_enis { 7000 } else { 6990 };
        let rule = rule.replace("from all ", "");
        command(
            &lab.node,
            &format!("ip rule add priority {priority} {rule}"),
        );
    }
    // An agent older still had fewer bits.
    command(
        &lab.node,
        "ip rule add priority 7000 fwmark 0x200000/0x3ff00000 lookup 70001",
    );
    for rule in rules(lab) {
        let priority: u32 = rule.split(':').next().unwrap().parse().unwrap();
        let is_of_now = (100_000..101_600).contains(&priority);
        let is_step = (7000..7003).contains(&priority) && !rule.contains("lookup");
        if is_of_now || is_step {
            let (_, rest) = rule.split_once(": ").unwrap();
            let rest = rest.replace(" [unresolved]", "");
            let rest = rest.replace("from all", "");
            command(
                &lab.node,
                &format!("ip rule delete priority {priority} {rest}"),
            );
        }
    }
}

#[test]
fn rules_of_an_agent_of_before_go_and_no_packet_is_lost() {
    let mut lab = Lab::new(3);
    let pods: Vec<_> = (0..4).map(|device| lab.pod(20 + device, device)).collect();
    let wired: Vec<_> = pods.iter().map(|pod| pod.wiring.clone()).collect();
    let now = rules(&lab);
    go_back(&lab);
    for rule in NOT_OURS {
        command(&lab.node, &format!("ip rule add {rule}"));
    }
    let before = rules(&lab);
    assert_eq!(
        before.iter().filter(|rule| rule.starts_with("100")).count(),
        0
    );
    answer_datagrams(&lab.remote, REMOTE, 53);
    let clients: Vec<_> = pods
        .iter()
        .map(|pod| DatagramClient::new(&pod.netns, pod.address()))
        .collect();
    let (done, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    let to = SocketAddrV4::new(REMOTE, 53);
    thread::scope(|scope| {
        let asks = |client: &DatagramClient| {
            while !done.load(Ordering::SeqCst) {
                let seen = client.source_seen(to);
                sent.fetch_add(1, Ordering::SeqCst);
                if seen != Some(client.own) {
                    return false;
                }
            }
            true
        };
        let asking: Vec<_> = clients
            .iter()
            .map(|client| scope.spawn(move || asks(client)))
            .collect();
        // They end also when something here fails.
        let ended = Ended(&done);
        lab.kernel = kernel_of(&lab.node);
        lab.start();
        let restored = lab.kernel.restore(&wired).unwrap();
        let gone = restored.repaired.iter();
        let gone =
            gone.filter(|line| line.starts_with("unexpected: IPv4 rule of an earlier agent"));
        assert_eq!(gone.count(), 9, "{restored:?}");
        assert_eq!(restored.refused, []);
        let again = lab.kernel.restore(&wired).unwrap();
        assert_eq!(again, Default::default(), "twice changes nothing");
        drop(ended);
        let whole = asking.into_iter().all(|asking| asking.join().unwrap());
        assert!(whole, "a packet was lost");
    });
    assert!(sent.load(Ordering::SeqCst) > pods.len(), "{sent:?}");
    assert_eq!(lab.strays(), 0);
    let mut found = rules(&lab);
    assert!(lab.kernel.look().unwrap().clean);
    // What is not ours stays.
    let others = found.len() - now.len();
    assert_eq!(others, NOT_OURS.len(), "{found:#?}");
    found.retain(|rule| now.contains(rule));
    assert_eq!(found, now);
    lab.kernel.uninstall().unwrap();
}
