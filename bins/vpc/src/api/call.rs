//! A call that has been read and can be run.

use underlay_types::Timestamp;
use underlay_vpc_model::{Ec2Error, Model};

use super::xml::Xml;

type Run = dyn FnOnce(&mut Model, &Context) -> Result<Xml, Ec2Error> + Send;

/// A call that has been read: every parameter is known and has its syntax.
pub(super) struct Call(Box<Run>);

/// What a call may know of its circumstances.
#[derive(Debug, Clone)]
pub(super) struct Context {
    /// When the call runs.
    pub(super) now: Timestamp,
    /// The action.
    pub(super) action: String,
    /// The caller's token for calling once, and a hash of all parameters.
    pub(super) token: Option<(String, String)>,
    /// Who calls, as STS names him.
    pub(super) caller: String,
    /// Whether a refusal names only the first of several unknown ids.
    pub(super) one_missing: bool,
}

impl Call {
    /// A call that does `run`.
    pub(super) fn new(
        run: impl FnOnce(&mut Model, &Context) -> Result<Xml, Ec2Error> + Send + 'static,
    ) -> Self {
        Self(Box::new(run))
    }

    /// Does it.
    ///
    /// # Errors
    /// The model's refusal.
    pub(super) fn run(self, model: &mut Model, context: &Context) -> Result<Xml, Ec2Error> {
        (self.0)(model, context)
    }
}

impl Context {
    /// Does `make` once per client token; the ids of what it made, then or earlier.
    ///
    /// # Errors
    /// Those of `make`; `IdempotentParameterMismatch`.
    pub(super) fn once(
        &self,
        model: &mut Model,
        make: impl FnOnce(&mut Model) -> Result<Vec<String>, Ec2Error>,
    ) -> Result<Vec<String>, Ec2Error> {
        let Some((token, parameters)) = &self.token else {
            return make(model);
        };
        if let Some(made) = model.recall(&self.action, token, parameters)? {
            return Ok(made.to_vec());
        }
        let made = make(model)?;
        model.remember(&self.action, token, parameters, made.clone(), self.now);
        Ok(made)
    }
}

/// The answer of actions that only say that they did it.
pub(super) fn done() -> Xml {
    let mut xml = Xml::default();
    xml.leaf("return", true);
    xml
}
