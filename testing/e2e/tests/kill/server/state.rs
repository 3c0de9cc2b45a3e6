//! Everything that a call changes: what the API shows, namespaces and devices, what the fabric's
//! programs know, and who reaches whom.
//!
//! Ids, Ethernet addresses and numbers of objects that are made anew differ each time. They are
//! replaced by their order, so that two states are equal when they are alike.

use std::{collections::BTreeMap, fs, net::Ipv4Addr, path::Path, process::Command, time::Duration};

use anyhow::Context as _;
use serde_json::Value;
use underlay_testkit::{Ec2, Element, LocalVpc, Netns, probe};

use super::{
    calls::{ASSIGNED, LAUNCHED, OPENED, Site},
    maps,
};
use crate::state::strip;

/// How long silence counts as a refusal. Whoever compares states looks again, so that a slow
/// machine costs time only.
const SILENCE: Duration = Duration::from_millis(300);

/// What is compared as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    /// What the API shows.
    pub(super) api: String,
    kernel: String,
    fabric: String,
    pub(super) answers: [bool; 3],
}

impl State {
    pub(super) async fn read(vpc: &LocalVpc, site: &Site) -> anyhow::Result<Self> {
        let mut names = Names::default();
        let objects = objects(vpc.ec2()).await?;
        let api = names.replace(&objects);
        let instances = instances_in(&objects);
        let kernel = names.replace(&kernel(vpc, &instances)?);
        let fabric = maps::read(&vpc.run_dir().path().join("fabric"))?;
        let fabric = fabric
            .into_iter()
            .map(|(map, entries)| {
                let mut entries: Vec<_> = entries.iter().map(|each| names.replace(each)).collect();
                entries.sort_unstable();
                format!("{map}: {entries:#?}")
            })
            .collect::<Vec<_>>()
            .join("\n");
        let (launched, assigned, opened) = tokio::try_join!(
            answers(&site.one, LAUNCHED, 9),
            answers(&site.one, ASSIGNED, 9),
            answers(&site.other, "10.0.1.11", OPENED),
        )?;
        Ok(Self {
            api,
            kernel,
            fabric,
            answers: [launched, assigned, opened],
        })
    }

    /// The lines that differ, for people.
    pub(super) fn difference(&self, wanted: &Self) -> String {
        let lines = |is: &str, should: &str| {
            let only = |sign: &str, these: &str, others: &str| {
                let others: Vec<_> = others.lines().collect();
                let lines = these.lines().filter(|line| !others.contains(line));
                lines.fold(String::new(), |text, line| format!("{text}{sign} {line}\n"))
            };
            only("is    ", is, should) + &only("should", should, is)
        };
        [
            lines(&self.api, &wanted.api),
            lines(&self.kernel, &wanted.kernel),
            lines(&self.fabric, &wanted.fabric),
            lines(
                &format!("answers {:?}", self.answers),
                &format!("answers {:?}", wanted.answers),
            ),
        ]
        .concat()
    }
}

/// Whether the kernel of somebody at an address answers at all; nobody listens there.
async fn answers(from: &str, to: &str, port: u16) -> anyhow::Result<bool> {
    let netns = Netns::open(&Path::new("/run/netns").join(from))?;
    let to: Ipv4Addr = to.parse()?;
    let verdict = probe::tcp_probe(&netns, (to, port).into(), SILENCE).await;
    Ok(verdict != probe::Verdict::Refused)
}

/// What the API shows of everything that lives.
async fn objects(ec2: &Ec2) -> anyhow::Result<String> {
    let kinds = [
        "Vpcs",
        "Subnets",
        "RouteTables",
        "NetworkAcls",
        "SecurityGroups",
        "SecurityGroupRules",
        "NetworkInterfaces",
    ];
    let alive = [
        ("Filter.1.Name", "instance-state-name"),
        ("Filter.1.Value.1", "pending"),
        ("Filter.1.Value.2", "running"),
        ("Filter.1.Value.3", "shutting-down"),
        ("Filter.1.Value.4", "stopped"),
    ];
    let mut text = String::new();
    let all = kinds.map(|kind| (kind, &[][..])).into_iter();
    for (kind, filter) in all.chain([("Instances", &alive[..])]) {
        let mut answer = ec2.call(&format!("Describe{kind}"), filter).await?;
        for list in &mut answer.children {
            // Not by id, which differs each time.
            list.children.sort_by_cached_key(|item| {
                let address = item.text_at("privateIpAddress").unwrap_or_default();
                (address, without_ids(&shown(item, 0)))
            });
        }
        text += &shown(&answer, 0);
    }
    Ok(text)
}

/// An answer as lines, without what only says when.
fn shown(element: &Element, depth: usize) -> String {
    if element.name == "requestId" || element.name.ends_with("Time") {
        return String::new();
    }
    let own = format!("{:depth$}{} {}\n", "", element.name, element.text);
    let children = element.children.iter();
    own + &children
        .map(|child| shown(child, depth + 1))
        .collect::<String>()
}

fn without_ids(text: &str) -> String {
    let word = |word| kind_of(word).unwrap_or(word);
    text.split(' ')
        .flat_map(|line| line.split('\n'))
        .map(word)
        .collect()
}

/// The ids of instances in the order in which they are shown.
fn instances_in(objects: &str) -> Vec<String> {
    let (_, instances) = objects.rsplit_once("reservationSet").unwrap_or_default();
    let ids = instances.lines();
    let mut ids: Vec<_> = ids
        .filter_map(|line| line.trim().strip_prefix("instanceId "))
        .map(str::to_owned)
        .collect();
    ids.dedup();
    ids
}

/// Namespaces of the run, with what is in those of the fabric and of instances.
fn kernel(vpc: &LocalVpc, instances: &[String]) -> anyhow::Result<String> {
    let fabric = format!("underlay-{}-fabric", vpc.run_dir().id());
    let recorded = fs::read_to_string(vpc.run_dir().path().join("namespaces"))?;
    let there = recorded.lines().filter(|name| netns(name).exists()).count();
    let mut text = format!(
        "{} namespaces are recorded and {there} are there\n",
        recorded.lines().count()
    );
    let mut near: Vec<_> = ip(&fabric, &["link", "show"])?
        .iter()
        .map(|link| format!("{} {}", link["mtu"], link["group"]))
        .collect();
    near.sort_unstable();
    text += &format!("{near:?}\n");
    for instance in instances {
        for what in [["address", "show"], ["route", "show"]] {
            for mut line in ip(instance, &what)? {
                strip(&mut line);
                text += &format!("{instance} {} {line}\n", what[0]);
            }
        }
    }
    Ok(text)
}

fn netns(name: &str) -> std::path::PathBuf {
    Path::new("/run/netns").join(name)
}

/// What `ip` shows in a namespace. Link-layer states are left out, and addresses of IPv6: they
/// follow on their own.
fn ip(name: &str, what: &[&str]) -> anyhow::Result<Vec<Value>> {
    let output = Command::new("nsenter")
        .arg(format!("--net={}", netns(name).display()))
        .args(["ip", "-json"])
        .args(what)
        .output()?;
    let shown: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("looking into {name}: {output:?}"))?;
    let mut shown = shown.as_array().cloned().unwrap_or_default();
    for fields in shown.iter_mut().filter_map(Value::as_object_mut) {
        fields.retain(|name, _| !["operstate", "flags", "link_netnsid"].contains(&name.as_str()));
        if let Some(Value::Array(addresses)) = fields.get_mut("addr_info") {
            addresses.retain(|address| address["family"] == "inet");
        }
    }
    Ok(shown)
}

/// Ids and Ethernet addresses by the order in which they appear.
#[derive(Default)]
struct Names(BTreeMap<String, usize>);

impl Names {
    fn replace(&mut self, text: &str) -> String {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == ':';
        let mut replaced = String::new();
        let mut rest = text;
        while !rest.is_empty() {
            let word = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(word.max(usize::from(!rest.starts_with(is_part))));
            rest = after;
            match kind_of(word) {
                None => replaced += word,
                Some(kind) => {
                    let next = self.0.len();
                    let number = *self.0.entry(word.to_owned()).or_insert(next);
                    replaced += &format!("{kind}#{number}");
                }
            }
        }
        replaced
    }
}

/// The kind of an id, or of an Ethernet address.
fn kind_of(word: &str) -> Option<&str> {
    let is_hex = |text: &str| text.chars().all(|c| c.is_ascii_hexdigit());
    if word.len() == 17 && word.split(':').all(|part| part.len() == 2 && is_hex(part)) {
        return Some("mac");
    }
    let (kind, number) = word.rsplit_once('-')?;
    (number.len() == 17 && is_hex(number)).then_some(kind)
}
