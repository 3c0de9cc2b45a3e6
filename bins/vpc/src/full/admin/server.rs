//! The server's half.

use std::{path::PathBuf, sync::Arc};

use hyper::Method;
use underlay_types::chain;
use underlay_vpc_model::{InstanceState, Model};

use super::{Flushed, InstanceStatus, Refusal, Status, inspect};
use crate::{
    admin::{self, Admin, read, write},
    full::{namespaces::Namespaces, serve::Ending, vpc::FullVpc},
};

/// What the status says beside the model's part.
#[derive(Debug, Clone)]
pub(in crate::full) struct Facts {
    pub(in crate::full) api: String,
    pub(in crate::full) flow_log_dir: PathBuf,
}

/// The admin API of a VPC with packets.
#[derive(Debug)]
pub(in crate::full) struct FullAdmin {
    pub(in crate::full) vpc: Arc<FullVpc>,
    pub(in crate::full) facts: Facts,
}

impl Admin for FullAdmin {
    fn act(&self, method: &Method, path: &str, body: &[u8]) -> Result<String, Refusal> {
        act(&self.vpc, &self.facts, method, path, body)
    }
}

fn act(
    vpc: &Arc<FullVpc>,
    facts: &Facts,
    method: &Method,
    path: &str,
    body: &[u8],
) -> Result<String, Refusal> {
    match (method, path) {
        (&Method::GET, "/status") => write(&status(vpc, facts)?),
        (&Method::POST, "/endpoints") => write(&vpc.endpoint(&read(body)?)?),
        (&Method::POST, "/hosts") => write(&vpc.host(&read(body)?)?),
        (&Method::POST, "/flow-logs/flush") => {
            let delivery = vpc.flush_flow_logs();
            let errors = delivery.failed.iter().map(|error| chain(error)).collect();
            write(&Flushed {
                files: delivery.written,
                errors,
            })
        }
        (&Method::POST, "/restart") => {
            vpc.end(Ending::Restart);
            write(&serde_json::json!({}))
        }
        (&Method::POST, "/stop") => {
            vpc.end(Ending::Remove);
            write(&serde_json::json!({}))
        }
        _ => match admin::inspect::asked(method, path) {
            Some(wanted) => write(&inspect::inspect(vpc, wanted.as_deref())?),
            None => admin::act(&vpc.api, method, path, body),
        },
    }
}

fn status(vpc: &FullVpc, facts: &Facts) -> Result<Status, Refusal> {
    let counters = vpc.driver.lock().fabric().counters();
    let counters = counters.map_err(|error| Refusal::failed(&error))?;
    let packets = counters.into_iter().filter(|(_, count)| *count > 0);
    let packets = packets
        .map(|(name, count)| (name.to_owned(), count))
        .collect();
    Ok(vpc.api.read(|model| Status {
        run: vpc.run.id().to_string(),
        pid: std::process::id(),
        api: facts.api.clone(),
        flow_log_dir: facts.flow_log_dir.clone(),
        vpcs: model.vpcs().count(),
        subnets: model.subnets().count(),
        instances: instances(model),
        free_enis: model.enis().filter(|eni| eni.attachment.is_none()).count(),
        external_enis: model
            .enis()
            .filter(|eni| eni.attachment.is_some() && eni.instance().is_none())
            .count(),
        packets,
    }))
}

fn instances(model: &Model) -> Vec<InstanceStatus> {
    let there = model
        .instances()
        .filter(|instance| instance.state != InstanceState::Terminated);
    let status = |instance: &underlay_vpc_model::Instance| InstanceStatus {
        id: instance.id.to_string(),
        instance_type: instance.instance_type.clone(),
        zone: instance.zone.name.clone(),
        netns: Namespaces::path(instance.id.as_str()),
        enis: model
            .enis_of(&instance.id)
            .into_iter()
            .map(|eni| (eni.id.to_string(), eni.addresses.primary.to_string()))
            .collect(),
    };
    there.map(status).collect()
}
