//! Interfaces as they are, as Describe shows them and as metadata does.

use serde::{Deserialize, Serialize};
use underlay_vpc_model::{Eni, Model};

use super::Refusal;

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
pub(super) fn enis(model: &Model, wanted: Option<&str>) -> Result<Vec<EniReport>, Refusal> {
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
    };
    let reports: Vec<_> = ids.map(report).collect();
    match wanted {
        Some(wanted) if reports.is_empty() => Err(Refusal::unknown(format!(
            "there is no interface of {wanted}"
        ))),
        _ => Ok(reports),
    }
}
