//! How the metadata service of an instance answers, changed while it runs.

use underlay_types::InstanceId;

use crate::{Ec2Error, ErrorCode, InstanceState, MetadataOptions, Model};

/// What ModifyInstanceMetadataOptions changes; what it does not name stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MetadataOptionsChange {
    /// Whether a token is required.
    pub tokens_required: Option<bool>,
    /// The TTL of answers to PUT, 1 to 64.
    pub hop_limit: Option<u8>,
    /// Whether it answers at all.
    pub enabled: Option<bool>,
    /// Whether it shows the instance's tags.
    pub tags: Option<bool>,
}

impl Model {
    /// ModifyInstanceMetadataOptions: the options as they are now.
    ///
    /// # Errors
    /// `InvalidInstanceID.NotFound`; `IncorrectInstanceState` for an instance that is going or
    /// gone; `InvalidParameterValue` for a hop limit out of range.
    pub fn modify_metadata_options(
        &mut self,
        id: &InstanceId,
        change: MetadataOptionsChange,
    ) -> Result<MetadataOptions, Ec2Error> {
        let state = self.require_instance(id)?.state;
        if matches!(
            state,
            InstanceState::ShuttingDown | InstanceState::Terminated
        ) {
            let text = format!(
                "The instance '{id}' is not in a state from which its metadata options can be \
                 modified."
            );
            return Err(Ec2Error::new(ErrorCode::IncorrectInstanceState, text));
        }
        if let Some(limit) = change.hop_limit.filter(|limit| !(1..=64).contains(limit)) {
            let text = format!("Value ({limit}) for parameter HttpPutResponseHopLimit is invalid.");
            return Err(Ec2Error::new(ErrorCode::InvalidParameterValue, text));
        }
        let mut now = self.require_instance(id)?.metadata;
        now.tokens_required = change.tokens_required.unwrap_or(now.tokens_required);
        now.hop_limit = change.hop_limit.unwrap_or(now.hop_limit);
        now.enabled = change.enabled.unwrap_or(now.enabled);
        now.tags = change.tags.unwrap_or(now.tags);
        if let Some(mut instance) = self.instances.get_mut(id) {
            instance.metadata = now;
        }
        Ok(now)
    }
}
