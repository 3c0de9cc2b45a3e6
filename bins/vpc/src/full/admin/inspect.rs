//! Interfaces with what the fabric knows of them, and what the kernel refused.

use std::collections::{BTreeMap, BTreeSet};

use underlay_fabric::{Direction, FabricError, FlowPhase, TrackedFlow};
use underlay_types::EniId;

use crate::{
    admin::{
        EniFlows, EniReport, FlowReport, Inspection, InstanceFlows, Refusal, Refused, inspect::enis,
    },
    full::{debts::Debt, driver::Driver, vpc::FullVpc},
};

/// Flows that are shown of an interface.
const FLOWS_SHOWN: usize = 50;

/// The interfaces of an instance, or one of them; all without a name, and then without their flows.
///
/// # Errors
/// When nobody sees anything of that name, or the kernel refuses to read a map.
pub(super) fn inspect(vpc: &FullVpc, wanted: Option<&str>) -> Result<Inspection, Refusal> {
    let mut enis = vpc.api.read(|model| enis(model, wanted))?;
    let mut driver = vpc.driver.lock();
    let shown = if wanted.is_some() { FLOWS_SHOWN } else { 0 };
    let failed = |error: FabricError| Refusal::failed(&error);
    add_flows(&mut driver, &mut enis, shown).map_err(failed)?;
    Ok(Inspection {
        instances: instances(&mut driver, &enis).map_err(failed)?,
        refused: driver.debts().map(refused).collect(),
        enis,
    })
}

fn add_flows(driver: &mut Driver, enis: &mut [EniReport], shown: usize) -> Result<(), FabricError> {
    let ids = enis.iter().filter_map(|eni| eni.id.parse().ok());
    let ports: BTreeSet<EniId> = ids.filter(|eni| driver.fabric().is_port(eni)).collect();
    let mut tracked = driver.fabric().tracked_flows(&ports, shown)?;
    for eni in enis {
        let id = eni.id.parse().ok().filter(|id| ports.contains(id));
        eni.tracked = id.map(|id: EniId| {
            let flows = tracked.remove(&id).unwrap_or_default();
            EniFlows {
                flows: flows.count,
                latest: flows.latest.iter().map(flow).collect(),
            }
        });
    }
    Ok(())
}

fn instances(driver: &mut Driver, enis: &[EniReport]) -> Result<Vec<InstanceFlows>, FabricError> {
    let of_instance = |eni: &EniReport| {
        let instance = eni.now.as_ref()?.instance.clone()?;
        Some((instance, eni.id.parse().ok()?))
    };
    let mut by_instance: BTreeMap<String, EniId> = BTreeMap::new();
    for (instance, eni) in enis.iter().filter_map(of_instance) {
        if driver.fabric().is_port(&eni) {
            by_instance.entry(instance).or_insert(eni);
        }
    }
    let mut all = Vec::new();
    for (id, eni) in by_instance {
        let tracking = driver.fabric().tracking(&eni)?;
        all.push(InstanceFlows {
            id,
            flows: tracking.used,
            dropped: tracking.exceeded,
        });
    }
    Ok(all)
}

fn flow(flow: &TrackedFlow) -> FlowReport {
    let side = |(address, port)| std::net::SocketAddr::new(address, port).to_string();
    FlowReport {
        protocol: flow.protocol,
        local: side(flow.local),
        remote: side(flow.remote),
        begun: match flow.begun {
            Direction::Egress => "egress",
            Direction::Ingress => "ingress",
        }
        .to_owned(),
        phase: match flow.phase {
            FlowPhase::Opening => "opening",
            FlowPhase::Established => "established",
            FlowPhase::Stream => "stream",
            FlowPhase::Closed => "closed",
        }
        .to_owned(),
        idle_seconds: flow.idle.as_secs(),
    }
}

fn refused(debt: &Debt) -> Refused {
    Refused {
        of: debt.owed.to_string(),
        error: debt.error.clone(),
        tries: debt.tries,
        given_up: debt.is_given_up(),
    }
}
