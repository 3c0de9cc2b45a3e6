//! Interfaces as they are, as Describe shows them and as metadata does; and what the kernel knows of
//! them.

use hyper::Method;
use serde::{Deserialize, Serialize};
use underlay_vpc_model::{Eni, Model};

use super::Refusal;

/// What is known of interfaces.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspection {
    /// The interfaces.
    pub enis: Vec<EniReport>,
    /// In full mode: the flows that the fabric tracks for their instances.
    pub instances: Vec<InstanceFlows>,
    /// In full mode: everything that the kernel refused and that is not done yet.
    pub refused: Vec<Refused>,
}

/// The tracked flows of an instance, of all its interfaces together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceFlows {
    /// The instance.
    pub id: String,
    /// How many flows there are.
    pub flows: u64,
    /// Packets that were dropped since there was no room for their flow.
    pub dropped: u64,
}

/// Something that the kernel refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// What is not as the API says.
    pub of: String,
    /// The last answer.
    pub error: String,
    /// How often it was tried again.
    pub tries: u32,
    /// Whether it is left as it is until the server is started again.
    pub given_up: bool,
}

/// The flows that the fabric tracks for one interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EniFlows {
    /// How many there are.
    pub flows: usize,
    /// Those that were used last; none unless the interface or its instance was asked for.
    pub latest: Vec<FlowReport>,
}

/// A tracked flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowReport {
    /// IANA number.
    pub protocol: u8,
    /// The interface's side: address and port, or the id of an ICMP echo.
    pub local: String,
    /// The other side.
    pub remote: String,
    /// `egress` if the interface's owner began it, else `ingress`.
    pub begun: String,
    /// `opening`, `established`, `stream` or `closed`.
    pub phase: String,
    /// For how long no packet of it came.
    pub idle_seconds: u64,
}

/// An interface, three times: they differ while somebody sees it late.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EniReport {
    /// Its id.
    pub id: String,
    /// As it is; null when it is gone.
    pub now: Option<EniFacts>,
    /// As Describe shows it.
    pub described: Option<EniFacts>,
    /// As metadata shows it, to the instance that it is attached to there.
    pub metadata: Option<EniFacts>,
    /// In full mode, of an interface that has a device: the flows that are tracked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracked: Option<EniFlows>,
}

/// What is shown of an interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EniFacts {
    /// Where it is in its life.
    pub status: String,
    /// The instance it is attached to, or on its way to or from,
    pub instance: Option<String>,
    /// at which device index,
    pub device_index: Option<u32>,
    /// and how far that has come.
    pub attachment: Option<String>,
    /// Its addresses and prefixes, the primary one first.
    pub addresses: Vec<String>,
    /// Its groups.
    pub groups: Vec<String>,
}

impl EniFacts {
    fn of(eni: &Eni) -> Self {
        let attachment = eni.attachment.as_ref();
        Self {
            status: eni.status().as_str().to_owned(),
            instance: eni.instance().map(ToString::to_string),
            device_index: attachment.map(|each| each.device_index),
            attachment: attachment.map(|each| each.status.as_str().to_owned()),
            addresses: eni
                .addresses
                .blocks()
                .map(|each| each.to_string())
                .collect(),
            groups: eni.groups.iter().map(ToString::to_string).collect(),
        }
    }
}

/// The interfaces of an instance, or one of them; all without a name.
///
/// # Errors
/// When nobody sees anything of that name.
pub(crate) fn enis(model: &Model, wanted: Option<&str>) -> Result<Vec<EniReport>, Refusal> {
    let ids = model.known_enis().filter(|id| {
        let views = [
            model.eni(id),
            model.described_eni(id),
            model.metadata_eni(id),
        ];
        wanted.is_none_or(|wanted| {
            let of_instance =
                |eni: &&Eni| eni.instance().is_some_and(|each| each.as_str() == wanted);
            id.as_str() == wanted || views.iter().flatten().any(of_instance)
        })
    });
    let report = |id| EniReport {
        id: ToString::to_string(id),
        now: model.eni(id).map(EniFacts::of),
        described: model.described_eni(id).map(EniFacts::of),
        metadata: model
            .metadata_eni(id)
            .filter(|eni| eni.is_attached())
            .map(EniFacts::of),
        tracked: None,
    };
    let reports: Vec<_> = ids.map(report).collect();
    match wanted {
        Some(wanted) if reports.is_empty() => Err(Refusal::unknown(format!(
            "there is no interface of {wanted}"
        ))),
        _ => Ok(reports),
    }
}

/// The interface or instance that the path of a request asks for; `None` for another request.
pub(crate) fn asked(method: &Method, path: &str) -> Option<Option<String>> {
    if method != Method::GET {
        return None;
    }
    if path == "/inspect" {
        return Some(None);
    }
    let wanted = path.strip_prefix("/inspect/")?;
    Some(Some(wanted.to_owned()))
}
