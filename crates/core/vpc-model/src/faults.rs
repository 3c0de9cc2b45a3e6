//! Faults that are switched on by name: which calls and objects they hit, how often, how long.
//!
//! A [`FaultSet`] is a state machine without effects: whoever is about to do something asks it
//! with [`FaultSet::draw`] whether a hazard strikes now. The same seed, faults and questions give
//! the same answers.

mod hazard;
mod probability;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use underlay_types::Timestamp;

pub use self::{
    hazard::{Hazard, HazardError, HazardScope},
    probability::{Probability, ProbabilityError},
};
use crate::{Delay, ErrorCode, Preset, rng::Rng};

/// A fault to switch on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRequest {
    /// What goes wrong.
    pub hazard: Hazard,
    /// In which action, or in all that begin so if it ends in `*`; in any without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// For which instance or interface; for any without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// How likely, each time.
    #[serde(default)]
    pub probability: Probability,
    /// How often at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// For how long, by the VPC's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Delay>,
    /// How late things are; the hazard's own measure without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Delay>,
    /// The error's code, of a hazard that answers with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// A fault that is on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Its number.
    pub id: u64,
    /// What was asked for; its count goes down.
    pub request: FaultRequest,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
    /// How often it struck.
    pub struck: u64,
}

/// A request that makes no fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// The hazard strikes objects, not calls.
    #[error("{0} strikes objects when they change: it cannot be told an action, only a target")]
    Action(Hazard),
    /// No such error code.
    #[error("{0:?} is no error code that EC2 gives")]
    Code(String),
    /// The hazard answers with no code, or has to be told one.
    #[error("an error code goes with the hazard `refuse`, which needs one, and with no other")]
    CodeOf(Hazard),
    /// A count of nothing.
    #[error("a fault that strikes 0 times is none")]
    Count,
    /// Too many.
    #[error("there are {0} faults already")]
    Many(usize),
    /// The hazard strikes everybody.
    #[error("{0} strikes everybody: it can be told neither an action nor a target")]
    Scope(Hazard),
    /// Text that is neither an instance nor an interface.
    #[error("{0:?} is no id of an instance or an interface")]
    Target(String),
}

/// The faults that are on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultSet {
    faults: BTreeMap<u64, Fault>,
}

/// Faults at a time; more are a mistake.
const MOST: usize = 1_000;

impl FaultRequest {
    /// A hazard that strikes always, everywhere.
    #[must_use]
    pub const fn new(hazard: Hazard) -> Self {
        Self {
            hazard,
            action: None,
            target: None,
            probability: Probability::ALWAYS,
            count: None,
            lasts: None,
            delay: None,
            code: None,
        }
    }

    /// How late things are.
    #[must_use]
    pub fn delay(&self) -> Delay {
        self.delay.unwrap_or_else(|| self.hazard.usual_delay())
    }

    /// The code of the error it answers with.
    #[must_use]
    pub fn error_code(&self) -> Option<ErrorCode> {
        let code = self.code.as_deref()?;
        ErrorCode::ALL
            .iter()
            .copied()
            .find(|each| each.as_str() == code)
    }

    /// # Errors
    /// When its parts do not go together.
    pub fn check(&self) -> Result<(), FaultError> {
        let scope = self.hazard.scope();
        if scope == HazardScope::Everybody && (self.action.is_some() || self.target.is_some()) {
            return Err(FaultError::Scope(self.hazard));
        }
        if scope == HazardScope::Objects && self.action.is_some() {
            return Err(FaultError::Action(self.hazard));
        }
        if self.code.is_some() != (self.hazard == Hazard::Refuse) {
            return Err(FaultError::CodeOf(self.hazard));
        }
        if let Some(code) = self.code.as_ref().filter(|_| self.error_code().is_none()) {
            return Err(FaultError::Code(code.clone()));
        }
        if let Some(target) = &self.target
            && !["i-", "eni-"].iter().any(|kind| target.starts_with(kind))
        {
            return Err(FaultError::Target(target.clone()));
        }
        if self.count == Some(0) {
            return Err(FaultError::Count);
        }
        Ok(())
    }

    pub(crate) fn hits_action(&self, action: &str) -> bool {
        self.action
            .as_deref()
            .is_none_or(|wanted| match wanted.strip_suffix('*') {
                Some(start) => action.starts_with(start),
                None => action == wanted,
            })
    }
}

impl FaultSet {
    /// Those that a preset begins with, of hazards that `wanted` takes.
    #[must_use]
    pub fn of(preset: Preset, wanted: impl Fn(Hazard) -> bool) -> Self {
        let requests = match preset {
            Preset::Instant | Preset::Realistic => {
                vec![FaultRequest::new(Hazard::OneMissingNamed)]
            }
            Preset::Hostile => hazard::hostile(),
        };
        let mut set = Self::default();
        // Numbered before they are sorted out: no two sets share a number.
        for (id, request) in (1..).zip(requests) {
            if wanted(request.hazard) {
                set.put(id, request, Timestamp::ZERO);
            }
        }
        set
    }

    /// Switches a fault on.
    ///
    /// # Errors
    /// When the request makes no fault, or there are too many.
    pub fn switch_on(
        &mut self,
        id: u64,
        request: FaultRequest,
        now: Timestamp,
    ) -> Result<Fault, FaultError> {
        request.check()?;
        self.end(now);
        if self.faults.len() >= MOST {
            return Err(FaultError::Many(MOST));
        }
        Ok(self.put(id, request, now))
    }

    fn put(&mut self, id: u64, request: FaultRequest, now: Timestamp) -> Fault {
        let until = request.lasts.map(|lasts| now + lasts.longest());
        let fault = Fault {
            id,
            request,
            until,
            struck: 0,
        };
        self.faults.insert(id, fault.clone());
        fault
    }

    /// Switches off those that `which` names. Returns how many.
    pub fn switch_off(&mut self, which: impl Fn(&Fault) -> bool) -> usize {
        let before = self.faults.len();
        self.faults.retain(|_, fault| !which(fault));
        before - self.faults.len()
    }

    /// Those that are on at `now`.
    pub fn list(&self, now: Timestamp) -> impl Iterator<Item = &Fault> {
        self.faults
            .values()
            .filter(move |fault| fault.until.is_none_or(|until| until > now))
    }

    /// Whether none is on.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }

    /// The highest number in use.
    #[must_use]
    pub fn last_id(&self) -> u64 {
        self.faults.keys().next_back().copied().unwrap_or(0)
    }

    /// Whether `hazard` strikes a call of `action` that is about `names`: then the fault, as it
    /// was. Asked once for each time that it could.
    pub(crate) fn draw(
        &mut self,
        hazard: Hazard,
        action: &str,
        names: &dyn Fn(&str) -> bool,
        now: Timestamp,
        rng: &mut Rng,
    ) -> Option<Fault> {
        if self.faults.is_empty() {
            return None;
        }
        self.end(now);
        let wanted = |fault: &&mut Fault| {
            let request = &fault.request;
            request.hazard == hazard
                && request.hits_action(action)
                && request.target.as_deref().is_none_or(names)
        };
        let strikes = |fault: &&mut Fault| fault.request.probability.strikes(rng);
        let fault = self.faults.values_mut().filter(wanted).find(strikes)?;
        fault.struck += 1;
        let struck = fault.clone();
        if let Some(left) = &mut fault.request.count {
            *left -= 1;
            if *left == 0 {
                self.faults.remove(&struck.id);
            }
        }
        Some(struck)
    }

    /// Until when a hazard that strikes everybody is on: `Some(None)` without an end.
    #[must_use]
    pub fn strikes_until(&self, hazard: Hazard, now: Timestamp) -> Option<Option<Timestamp>> {
        let on: Vec<_> = self
            .list(now)
            .filter(|fault| fault.request.hazard == hazard)
            .collect();
        let end = on.iter().map(|fault| fault.until);
        // Of several the last counts, and one without an end is later than all.
        end.reduce(|one, other| Some(one?.max(other?)))
    }

    fn end(&mut self, now: Timestamp) {
        self.faults
            .retain(|_, fault| fault.until.is_none_or(|until| until > now));
    }
}

#[cfg(test)]
mod tests;
