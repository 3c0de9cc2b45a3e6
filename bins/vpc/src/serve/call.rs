//! The way of a call: admitted, carried out, answered; or not, when a fault strikes.

use std::time::Duration;

use underlay_vpc_model::{Ec2Error, ErrorCode, Fate, Speed, Treatment};

use super::{ApiServer, request_id};
use crate::{
    api::{self, ApiRequest, ApiResponse, Moment, Prepared},
    serve::clock::wall_clock,
};

/// A call that is to be dealt with as its fate has it.
pub(super) struct Admitted {
    prepared: Prepared,
    /// The same call once more, or half of it, when the fate wants that.
    also: Option<Prepared>,
    /// What becomes of it.
    pub(super) fate: Fate,
    request_id: String,
}

impl ApiServer {
    /// Answers a request at once, whatever its fate has it wait; `None` when its connection is to
    /// be cut.
    pub fn answer(&self, request: &ApiRequest) -> Option<ApiResponse> {
        match self.admit(request) {
            Ok(call) => self.perform(call),
            Err(refusal) => Some(refusal),
        }
    }

    /// Reads a request and decides what becomes of it.
    ///
    /// # Errors
    /// The answer to a request that makes no call.
    pub(super) fn admit(&self, request: &ApiRequest) -> Result<Admitted, ApiResponse> {
        let request_id = request_id();
        let prepared = self.prepare(request, self.require_auth).map_err(|error| {
            let action = api::action_of(request).unwrap_or_default();
            self.refuse(&action, &error, &request_id)
        })?;
        let now = self.now();
        let fate = {
            let mut admission = self.admission.lock();
            admission.decide(&prepared.facts(), now)
        };
        let also = match fate.treatment {
            Treatment::RunTwice => self.prepare(request, false).ok(),
            Treatment::RunHalf => {
                api::halved(request).and_then(|half| self.prepare(&half, false).ok())
            }
            _ => None,
        };
        Ok(Admitted {
            prepared,
            also,
            fate,
            request_id,
        })
    }

    /// Deals with a call as its fate has it; `None` when its connection is to be cut.
    pub(super) fn perform(&self, call: Admitted) -> Option<ApiResponse> {
        let Admitted {
            prepared,
            also,
            fate,
            request_id,
        } = call;
        let action = prepared.action().to_owned();
        tracing::debug!(action, "call");
        let answer = match fate.treatment {
            Treatment::Run => self.carry_through(prepared, &request_id),
            Treatment::Refuse(error) => Err(error),
            Treatment::Cut => {
                self.admission.lock().count(&action, "cut");
                return None;
            }
            Treatment::RunAndCut => {
                // Done or refused: the caller does not learn it.
                let unheard = self.carry_through(prepared, &request_id);
                tracing::debug!(action, done = unheard.is_ok(), "the answer is lost");
                self.admission.lock().count(&action, "cut");
                return None;
            }
            Treatment::RunTwice => {
                let first = self.carry_through(prepared, &request_id);
                also.map_or(first, |again| self.carry_through(again, &request_id))
            }
            Treatment::RunHalf => {
                let half = also.map(|half| self.carry_through(half, &request_id));
                tracing::debug!(action, done = half.is_some(), "half of it");
                let text = "An internal error has occurred";
                Err(Ec2Error::new(ErrorCode::InternalError, text))
            }
        };
        Some(match answer {
            Ok(response) => {
                self.admission.lock().count(&action, "OK");
                response
            }
            Err(error) => self.refuse(&action, &error, &request_id),
        })
    }

    fn prepare(&self, request: &ApiRequest, verify: bool) -> Result<Prepared, Ec2Error> {
        let account = self.read(|model| model.config().account.clone());
        let at = Moment {
            vpc: self.now(),
            wall: wall_clock(),
        };
        let mut prepared = api::prepare(request, &self.credentials, verify, account.as_str(), at)?;
        let one = self
            .admission
            .lock()
            .names_one_missing(prepared.action(), at.vpc);
        prepared.name_one_missing(one);
        Ok(prepared)
    }

    fn carry_through(&self, prepared: Prepared, request_id: &str) -> Result<ApiResponse, Ec2Error> {
        let outcome = self.run(prepared, request_id);
        outcome.map_err(|error| {
            tracing::error!(%error, "a change was not carried out");
            Ec2Error::new(ErrorCode::InternalError, error.to_string())
        })?
    }

    fn refuse(&self, action: &str, error: &Ec2Error, request_id: &str) -> ApiResponse {
        tracing::debug!(action, code = %error.code, message = error.message, "refused");
        self.admission.lock().count(action, error.code.as_str());
        api::refusal(error, request_id)
    }

    /// How long an answer takes. A refusal is made at once; and without a clock that goes,
    /// nobody is kept waiting.
    pub(super) fn latency(&self, fate: &Fate, answer: Option<&ApiResponse>) -> Duration {
        let done = answer.is_some_and(|answer| answer.status == 200);
        if done && self.clock.speed() != Speed::STOPPED {
            fate.latency + fate.late
        } else {
            fate.late
        }
    }
}
