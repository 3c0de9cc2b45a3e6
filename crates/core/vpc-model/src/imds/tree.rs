//! The tree of metadata categories of one instance.

use std::collections::BTreeMap;

use super::{InstanceView, InterfaceView, documents, path::VERSIONS};

/// What a path names.
#[derive(Debug)]
pub(super) enum Node {
    /// User data.
    Bytes(Vec<u8>),
    /// Credentials of a role, made when they are read.
    Credentials(String),
    /// A directory: reading it lists its entries.
    Directory(Directory),
    /// A directory that the one above lists with a name of its own, as `0=name`.
    Labelled(String, Directory),
    /// A value.
    Text(String),
}

/// The entries of a directory, sorted by name.
#[derive(Debug, Default)]
pub(super) struct Directory {
    entries: BTreeMap<String, Node>,
    /// Whether subdirectories are listed without their slash, as above `meta-data`.
    bare: bool,
}

impl Node {
    /// The node at a path below this one.
    fn into_node(self, parts: &[String]) -> Option<Self> {
        let Some((first, rest)) = parts.split_first() else {
            return Some(self);
        };
        match self {
            Self::Directory(mut directory) | Self::Labelled(_, mut directory) => {
                directory.entries.remove(first.as_str())?.into_node(rest)
            }
            Self::Bytes(_) | Self::Credentials(_) | Self::Text(_) => None,
        }
    }
}

impl Directory {
    /// The names of the entries, one a line; a directory's ends in a slash.
    pub(super) fn listing(&self) -> String {
        let names: Vec<_> = self
            .entries
            .iter()
            .map(|(name, node)| match node {
                Node::Directory(_) if !self.bare => format!("{name}/"),
                Node::Labelled(label, _) => format!("{name}={label}"),
                _ => name.clone(),
            })
            .collect();
        names.join("\n")
    }

    fn with(mut self, name: impl Into<String>, node: Node) -> Self {
        self.entries.insert(name.into(), node);
        self
    }

    fn text(self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.with(name, Node::Text(text.into()))
    }

    fn directory(self, name: impl Into<String>, directory: Self) -> Self {
        self.with(name, Node::Directory(directory))
    }

    fn optional(self, name: &str, text: Option<String>) -> Self {
        match text {
            Some(text) => self.text(name, text),
            None => self,
        }
    }

    fn bare(self) -> Self {
        Self { bare: true, ..self }
    }
}

/// The node at a path: below `/`, every version shows the same tree.
pub(super) fn find(view: &InstanceView, parts: &[String]) -> Option<Node> {
    match parts.split_first() {
        None => Some(Node::Text(VERSIONS.join("\n"))),
        Some((version, rest)) if VERSIONS.contains(&version.as_str()) => {
            Node::Directory(version_tree(view)).into_node(rest)
        }
        Some(_) => None,
    }
}

fn version_tree(view: &InstanceView) -> Directory {
    let identity = Directory::default().text("document", documents::identity(view));
    let monitoring = Directory::default().text("instance-monitoring", "disabled");
    let dynamic = Directory::default()
        .directory("fws", monitoring)
        .directory("instance-identity", identity);
    let tree = Directory::default()
        .directory("dynamic", dynamic)
        .directory("meta-data", meta_data(view));
    match &view.user_data {
        Some(bytes) => tree.with("user-data", Node::Bytes(bytes.clone())),
        None => tree,
    }
    .bare()
}

fn meta_data(view: &InstanceView) -> Directory {
    let primary = view.interfaces.first();
    let address = view.primary_address();
    let host_name = address.map(|address| view.host_name(address));
    let first_v6 = primary.and_then(|eni| eni.v6.first());
    let first_v6 = first_v6.map(ToString::to_string);
    let public = primary.and_then(|eni| Some(eni.public.first()?.0));
    let groups = primary.map(group_names);
    let mac = primary.map(|eni| eni.mac.to_string());
    let tree = Directory::default()
        .text("ami-id", view.image.as_str())
        .text("ami-launch-index", view.launch_index.to_string())
        .text("ami-manifest-path", "(unknown)")
        .directory("block-device-mapping", block_devices())
        .directory("events", events())
        .optional("hostname", host_name.clone())
        .directory("iam", iam(view))
        .text("instance-action", "none")
        .text("instance-id", view.id.as_str())
        .text("instance-life-cycle", "on-demand")
        .text("instance-type", &view.instance_type)
        .optional("ipv6", first_v6)
        .optional("local-hostname", host_name)
        .optional("local-ipv4", address.map(|address| address.to_string()))
        .optional("mac", mac)
        .directory("network", network(view))
        .directory("placement", placement(view))
        .text("profile", "default-hvm")
        .optional(
            "public-hostname",
            public.map(|each| view.public_host_name(each)),
        )
        .optional("public-ipv4", public.map(|each| each.to_string()))
        .text("reservation-id", view.reservation.as_str())
        .optional("security-groups", groups)
        .directory("services", services())
        .text("system", "nitro");
    let tree = match &view.key_name {
        Some(name) => tree.directory("public-keys", public_keys(name)),
        None => tree,
    };
    if view.options.tags {
        tree.directory("tags", tags(view))
    } else {
        tree
    }
}

fn iam(view: &InstanceView) -> Directory {
    let roles = Directory::default().with(view.role.clone(), Node::Credentials(view.role.clone()));
    Directory::default()
        .text("info", documents::profile(view))
        .directory("security-credentials", roles)
}

/// Every image here has one volume.
fn block_devices() -> Directory {
    Directory::default()
        .text("ami", "/dev/xvda")
        .text("root", "/dev/xvda")
}

/// Nothing is ever scheduled here.
fn events() -> Directory {
    let maintenance = Directory::default()
        .text("history", "[]")
        .text("scheduled", "[]");
    Directory::default().directory("maintenance", maintenance)
}

fn placement(view: &InstanceView) -> Directory {
    Directory::default()
        .text("availability-zone", &view.zone.name)
        .text("availability-zone-id", &view.zone.id)
        .text("region", &view.region)
}

fn services() -> Directory {
    Directory::default()
        .text("domain", "amazonaws.com")
        .text("partition", "aws")
}

/// The key of a key pair that was named at launch. There are no key pairs here, only names: the key
/// has the form of one, and nobody has its other half.
fn public_keys(name: &str) -> Directory {
    let key = Directory::default().text("openssh-key", documents::public_key(name));
    Directory::default().with("0", Node::Labelled(name.to_owned(), key))
}

fn tags(view: &InstanceView) -> Directory {
    let tags = view
        .tags
        .iter()
        .fold(Directory::default(), |tags, (key, value)| {
            tags.text(key, value)
        });
    Directory::default().directory("instance", tags)
}

fn network(view: &InstanceView) -> Directory {
    let macs = view
        .interfaces
        .iter()
        .fold(Directory::default(), |macs, eni| {
            macs.directory(eni.mac.to_string(), interface(view, eni))
        });
    let interfaces = Directory::default().directory("macs", macs);
    Directory::default().directory("interfaces", interfaces)
}

fn interface(view: &InstanceView, eni: &InterfaceView) -> Directory {
    let host_name = eni.addresses.first().map(|first| view.host_name(*first));
    let group_ids = lines(eni.groups.iter().map(|(id, _)| id));
    // The documentation's name of the card's key, and the one that EC2 and its clients use.
    let card = eni.network_card.to_string();
    let public = eni.public.iter().map(|(public, _)| public);
    let public_name = eni
        .public
        .first()
        .map(|(first, _)| view.public_host_name(*first));
    let tree = Directory::default()
        .text("device-number", eni.device_index.to_string())
        .text("interface-id", eni.id.as_str())
        .optional("ipv4-prefix", lines(&eni.prefixes))
        .optional("ipv6-prefix", lines(&eni.v6_prefixes))
        .optional("ipv6s", lines(&eni.v6))
        .optional("local-hostname", host_name)
        .optional("local-ipv4s", lines(&eni.addresses))
        .text("mac", eni.mac.to_string())
        .text("network-card", &card)
        .text("network-card-index", card)
        .text("owner-id", view.account.as_str())
        .optional("public-hostname", public_name)
        .optional("public-ipv4s", lines(public))
        .optional("security-group-ids", group_ids)
        .text("security-groups", group_names(eni))
        .text("subnet-id", eni.subnet.as_str())
        .text("subnet-ipv4-cidr-block", eni.subnet_cidr.to_string())
        .optional("subnet-ipv6-cidr-blocks", lines(eni.subnet_v6_cidr))
        .text("vpc-id", eni.vpc.as_str())
        .optional(
            "vpc-ipv4-cidr-block",
            eni.vpc_cidrs.first().map(ToString::to_string),
        )
        .optional("vpc-ipv4-cidr-blocks", lines(&eni.vpc_cidrs))
        .optional("vpc-ipv6-cidr-blocks", lines(&eni.vpc_v6_cidrs));
    if eni.public.is_empty() {
        tree
    } else {
        tree.directory("ipv4-associations", associations(eni))
    }
}

/// The private address behind each public one.
fn associations(eni: &InterfaceView) -> Directory {
    let pairs = eni.public.iter();
    pairs.fold(Directory::default(), |tree, (public, private)| {
        tree.text(public.to_string(), private.to_string())
    })
}

fn group_names(eni: &InterfaceView) -> String {
    lines(eni.groups.iter().map(|(_, name)| name)).unwrap_or_default()
}

/// One a line; `None` of nothing, for which there is no key.
fn lines<T: ToString>(values: impl IntoIterator<Item = T>) -> Option<String> {
    let texts: Vec<_> = values.into_iter().map(|value| value.to_string()).collect();
    (!texts.is_empty()).then(|| texts.join("\n"))
}
