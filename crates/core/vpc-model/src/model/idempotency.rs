//! Client tokens: the second call with a token answers with what the first one made.

use serde::{Deserialize, Serialize};
use underlay_types::Timestamp;

use super::lifecycle::{TOKEN_LIFETIME, Timer};
use crate::{Ec2Error, ErrorCode, Model};

/// What a call with a client token asked for and made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Remembered {
    parameters: String,
    made: Vec<String>,
}

impl Model {
    /// What an earlier `action` with this token and the same parameters made, if there was one.
    ///
    /// # Errors
    /// `IdempotentParameterMismatch` when it had other parameters; `InvalidParameterValue` for a
    /// token of more than 64 characters.
    pub fn recall(
        &self,
        action: &str,
        token: &str,
        parameters: &str,
    ) -> Result<Option<&[String]>, Ec2Error> {
        if token.len() > 64 {
            let text = "Client token exceeds the maximum of 64 ASCII characters";
            return Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text));
        }
        match self.tokens.get(&key(action, token)) {
            None => Ok(None),
            Some(earlier) if earlier.parameters == parameters => Ok(Some(&earlier.made)),
            Some(_) => Err(Ec2Error::new(
                ErrorCode::IdempotentParameterMismatch,
                "The client token you have provided is associated with a resource that was \
                 created with other parameters",
            )),
        }
    }

    /// Remembers for 24 hours what `action` with this token made.
    pub fn remember(
        &mut self,
        action: &str,
        token: &str,
        parameters: &str,
        made: Vec<String>,
        now: Timestamp,
    ) {
        let key = key(action, token);
        self.tokens.insert(
            key.clone(),
            Remembered {
                parameters: parameters.to_owned(),
                made,
            },
        );
        self.schedule(now, TOKEN_LIFETIME, Timer::ForgetToken(key));
    }
}

fn key(action: &str, token: &str) -> String {
    format!("{action} {token}")
}
