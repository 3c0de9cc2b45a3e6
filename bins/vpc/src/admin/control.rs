//! What the admin API does with any VPC: clock, faults, budgets.

use std::sync::Arc;

use hyper::Method;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use underlay_vpc_model::{FaultRequest, Model};

use super::{
    Admin, ClockRequest, ClockState, FaultsOff, Limits, LimitsRequest, Refusal, SwitchedOff, read,
    write,
};
use crate::{
    admin::inspect::{self, Inspection},
    serve::{ApiServer, ControlError},
};

/// The admin API of a VPC without packets.
#[derive(Debug)]
pub struct ControlAdmin(pub Arc<ApiServer>);

impl Admin for ControlAdmin {
    fn act(&self, method: &Method, path: &str, body: &[u8]) -> Result<String, Refusal> {
        act(&self.0, method, path, body)
    }
}

/// Carries out a request about any VPC.
pub(crate) fn act(
    api: &ApiServer,
    method: &Method,
    path: &str,
    body: &[u8],
) -> Result<String, Refusal> {
    match (method, path) {
        (&Method::GET, "/clock") => write(&clock(api)?),
        (&Method::POST, "/clock") => write(&set_clock(api, &read(body)?)?),
        (&Method::GET, "/faults") => write(&api.faults()),
        (&Method::POST, "/faults") => {
            let request: FaultRequest = read(body)?;
            let fault = api.switch_fault_on(request);
            write(&fault.map_err(refused)?)
        }
        (&Method::POST, "/faults/off") => write(&switch_off(api, &read(body)?)?),
        (&Method::GET, "/buckets") => write(&api.buckets()),
        (&Method::GET, "/calls") => write(&api.calls()),
        (&Method::GET, "/limits") => write(&limits(api)),
        (&Method::POST, "/limits") => write(&set_limits(api, &read(body)?)?),
        _ => {
            let Some(wanted) = inspect::asked(method, path) else {
                return Err(Refusal::unknown(format!("there is no {method} {path}")));
            };
            write(&Inspection {
                enis: api.read(|model| inspect::enis(model, wanted.as_deref()))?,
                ..Inspection::default()
            })
        }
    }
}

fn clock(api: &ApiServer) -> Result<ClockState, Refusal> {
    let now = api.now();
    let shown = OffsetDateTime::from_unix_timestamp_nanos(now.as_nanos().into())
        .map_err(|error| Refusal::failed(&error))?;
    let next = api.read(Model::next_deadline);
    Ok(ClockState {
        now: shown
            .format(&Rfc3339)
            .map_err(|error| Refusal::failed(&error))?,
        unix_nanos: now.as_nanos(),
        speed: api.clock().speed(),
        next_in_seconds: next.map(|next| next.saturating_since(now).as_secs_f64()),
    })
}

fn set_clock(api: &ApiServer, request: &ClockRequest) -> Result<ClockState, Refusal> {
    if *request == ClockRequest::default() {
        return Err(Refusal::invalid(
            "name a speed, how far to advance, or step",
        ));
    }
    if let Some(speed) = request.speed {
        api.set_clock_speed(speed);
    }
    if let Some(by) = request.advance {
        api.advance_clock(by.longest());
    }
    if request.step {
        let next = api.read(Model::next_deadline);
        let Some(next) = next else {
            return Err(Refusal::conflict(
                "nothing is under way: there is no next step",
            ));
        };
        api.advance_clock(next.saturating_since(api.now()));
    }
    clock(api)
}

fn switch_off(api: &ApiServer, request: &FaultsOff) -> Result<SwitchedOff, Refusal> {
    if *request == FaultsOff::default() {
        return Err(Refusal::invalid("name a fault's number, a hazard, or all"));
    }
    let faults = api.switch_faults_off(|fault| {
        request.id.is_none_or(|id| id == fault.id)
            && request
                .hazard
                .is_none_or(|hazard| hazard == fault.request.hazard)
    });
    let faults = faults.map_err(refused)?;
    match (request.id, faults) {
        (Some(id), 0) => Err(Refusal::unknown(format!("there is no fault {id}"))),
        _ => Ok(SwitchedOff { faults }),
    }
}

fn refused(error: ControlError) -> Refusal {
    match error {
        ControlError::Fault(_) | ControlError::Model(_) => Refusal::invalid(error.to_string()),
        ControlError::Over => Refusal::conflict(error.to_string()),
        ControlError::Note(error) => Refusal::failed(&error),
    }
}

fn limits(api: &ApiServer) -> Limits {
    let (throttles, budgets) = api.budgets();
    api.read(|model| Limits {
        throttles,
        budgets,
        quotas: model.config().limits.clone(),
        timings: model.config().timings.clone(),
    })
}

fn set_limits(api: &ApiServer, request: &LimitsRequest) -> Result<Limits, Refusal> {
    for setting in &request.budgets {
        if !crate::api::has_action(&setting.of) && !is_class(&setting.of) {
            return Err(Refusal::invalid(format!(
                "{:?} is neither reading, broad, changing, nor an action of this API",
                setting.of
            )));
        }
    }
    api.set_budgets(|budgets| {
        for setting in &request.budgets {
            setting.apply(budgets);
        }
    });
    if let Some(throttles) = request.throttles {
        api.set_throttles(throttles);
    }
    Ok(limits(api))
}

fn is_class(text: &str) -> bool {
    ["reading", "broad", "changing"].contains(&text)
}
