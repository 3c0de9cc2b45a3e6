//! What becomes of a call before the model sees it: budgets, faults, time, and what it came to.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use underlay_types::Timestamp;

use crate::{
    BucketState, Budgets, Ec2Error, ErrorCode, Fault, FaultError, FaultRequest, FaultSet, Hazard,
    HazardScope, ModelConfig, Throttle, Timings, rng::Rng,
};

/// A call, as far as its admission goes.
#[derive(Debug, Clone, Copy)]
pub struct CallFacts<'a> {
    /// The action, one of the API.
    pub action: &'a str,
    /// Whether it describes everything: no id, no filter, no page.
    pub broad: bool,
    /// How many things it asks to make or end.
    pub resources: u64,
    /// The ids that it names.
    pub names: &'a [String],
    /// Whether it lists or counts things, so that half of it can be done.
    pub divisible: bool,
}

/// What becomes of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fate {
    /// How long it waits before it is carried out,
    pub hold: Duration,
    /// what is done with it,
    pub treatment: Treatment,
    /// how long its answer takes then, as answers do,
    pub latency: Duration,
    /// and how much longer.
    pub late: Duration,
}

/// What is done with a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Treatment {
    /// Cut its connection.
    Cut,
    /// Refuse it.
    Refuse(Ec2Error),
    /// Carry it out.
    Run,
    /// Carry it out and cut the connection.
    RunAndCut,
    /// Carry out half of it, and answer that it failed.
    RunHalf,
    /// Carry it out twice.
    RunTwice,
}

/// How often calls of an action came to a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallCount {
    /// The action.
    pub action: String,
    /// The result: `OK`, an error's code, or `cut`.
    pub result: String,
    /// How often.
    pub calls: u64,
}

/// Decides what becomes of calls. It draws from a generator of its own.
#[derive(Debug, Clone)]
pub struct Admission {
    budgets: Budgets,
    throttle: Throttle,
    throttles: bool,
    latency: bool,
    faults: FaultSet,
    rng: Rng,
    calls: BTreeMap<(String, &'static str), u64>,
}

/// Of the seed, so that the model's own draws stay what they are.
const SEED: u64 = 0x6361_6c6c_7300;

impl Admission {
    /// With full buckets, and the faults that the configuration's preset begins with.
    #[must_use]
    pub fn new(config: &ModelConfig, budgets: Budgets) -> Self {
        Self {
            budgets,
            throttle: Throttle::default(),
            throttles: config.timings.throttle,
            latency: config.timings.latency,
            faults: FaultSet::of(config.preset, |hazard| {
                hazard.scope() != HazardScope::Objects
            }),
            rng: Rng::new(config.seed ^ SEED),
            calls: BTreeMap::new(),
        }
    }

    /// What becomes of a call at `now`.
    pub fn decide(&mut self, call: &CallFacts<'_>, now: Timestamp) -> Fate {
        let mut fate = Fate {
            hold: Duration::ZERO,
            treatment: Treatment::Run,
            latency: Duration::ZERO,
            late: Duration::ZERO,
        };
        if self.latency {
            fate.latency = Timings::of_call(call.action).draw(&mut self.rng);
        }
        if let Some(fault) = self.draw(Hazard::Reorder, call, now) {
            fate.hold = fault.request.delay().draw(&mut self.rng);
        }
        if let Some(fault) = self.draw(Hazard::Slow, call, now) {
            fate.late = fault.request.delay().draw(&mut self.rng);
        }
        if let Some(fault) = self.draw(Hazard::Hang, call, now) {
            fate.late = fault.request.delay().draw(&mut self.rng);
            fate.treatment = Treatment::Cut;
            return fate;
        }
        fate.treatment = match self.refusal(call, now) {
            Some(treatment) => treatment,
            None => self.accident(call, now),
        };
        fate
    }

    /// Why a call is not carried out.
    fn refusal(&mut self, call: &CallFacts<'_>, now: Timestamp) -> Option<Treatment> {
        let refuse = |code, text: &str| Some(Treatment::Refuse(Ec2Error::new(code, text)));
        if self.draw(Hazard::CutOff, call, now).is_some() {
            return Some(Treatment::Cut);
        }
        if self.draw(Hazard::Throttle, call, now).is_some() {
            return refuse(ErrorCode::RequestLimitExceeded, "Request limit exceeded.");
        }
        if self.draw(Hazard::ServerError, call, now).is_some() {
            return refuse(ErrorCode::InternalError, "An internal error has occurred");
        }
        if self.draw(Hazard::Unavailable, call, now).is_some() {
            let text = "The service is unavailable. Please try again shortly.";
            return refuse(ErrorCode::Unavailable, text);
        }
        if let Some(code) = self
            .draw(Hazard::Refuse, call, now)
            .and_then(|fault| fault.request.error_code())
        {
            return refuse(code, "The call was refused by a fault that is switched on");
        }
        if !self.throttles {
            return None;
        }
        let CallFacts {
            action,
            broad,
            resources,
            ..
        } = *call;
        let admitted = self
            .throttle
            .admit(&self.budgets, action, broad, resources, now);
        admitted.err().map(Treatment::Refuse)
    }

    /// How a call is carried out.
    fn accident(&mut self, call: &CallFacts<'_>, now: Timestamp) -> Treatment {
        if call.divisible && self.draw(Hazard::Partial, call, now).is_some() {
            Treatment::RunHalf
        } else if self.draw(Hazard::Duplicate, call, now).is_some() {
            Treatment::RunTwice
        } else if self.draw(Hazard::LostReply, call, now).is_some() {
            Treatment::RunAndCut
        } else {
            Treatment::Run
        }
    }

    fn draw(&mut self, hazard: Hazard, call: &CallFacts<'_>, now: Timestamp) -> Option<Fault> {
        let names = |target: &str| call.names.iter().any(|name| name == target);
        self.faults
            .draw(hazard, call.action, &names, now, &mut self.rng)
    }

    /// Whether a refusal of `action` names only the first of several unknown ids.
    #[must_use]
    pub fn names_one_missing(&self, action: &str, now: Timestamp) -> bool {
        self.faults.list(now).any(|fault| {
            fault.request.hazard == Hazard::OneMissingNamed && fault.request.hits_action(action)
        })
    }

    /// Counts what a call came to. `action` is one of the API's, or empty for what is none.
    pub fn count(&mut self, action: &str, result: &'static str) {
        *self.calls.entry((action.to_owned(), result)).or_default() += 1;
    }

    /// What calls came to so far.
    #[must_use]
    pub fn calls(&self) -> Vec<CallCount> {
        let count = |((action, result), calls): (&(String, &str), &u64)| CallCount {
            action: action.clone(),
            result: (*result).to_owned(),
            calls: *calls,
        };
        self.calls.iter().map(count).collect()
    }

    /// The buckets that were used.
    #[must_use]
    pub fn buckets(&self, now: Timestamp) -> Vec<BucketState> {
        self.throttle.state(&self.budgets, now)
    }

    /// The budgets.
    #[must_use]
    pub const fn budgets(&self) -> &Budgets {
        &self.budgets
    }

    /// Sets the budgets. What is in the buckets stays, as far as they hold it.
    pub fn set_budgets(&mut self, budgets: Budgets) {
        self.budgets = budgets;
    }

    /// Whether buckets throttle.
    #[must_use]
    pub const fn throttles(&self) -> bool {
        self.throttles
    }

    /// Has buckets throttle, beginning with full ones, or not.
    pub fn set_throttles(&mut self, throttles: bool) {
        if throttles != self.throttles {
            self.throttle.refill();
        }
        self.throttles = throttles;
    }

    /// The faults of calls and connections.
    #[must_use]
    pub const fn faults(&self) -> &FaultSet {
        &self.faults
    }

    /// Switches a fault of calls or connections on.
    ///
    /// # Errors
    /// When the request makes no fault.
    pub fn switch_on(
        &mut self,
        id: u64,
        request: FaultRequest,
        now: Timestamp,
    ) -> Result<Fault, FaultError> {
        self.faults.switch_on(id, request, now)
    }

    /// Switches off those that `which` names. Returns how many.
    pub fn switch_off(&mut self, which: impl Fn(&Fault) -> bool) -> usize {
        self.faults.switch_off(which)
    }
}

#[cfg(test)]
mod tests;
