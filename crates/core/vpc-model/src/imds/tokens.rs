//! Session tokens: bound to an instance, valid for a time.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use underlay_types::{InstanceId, Timestamp};

use super::TOKEN_ENTROPY_BYTES;

/// Tokens kept per instance; the one that ends first makes room.
const PER_INSTANCE: usize = 4_096;

#[derive(Debug, Default)]
pub(super) struct Tokens {
    instances: BTreeMap<InstanceId, HashMap<String, Timestamp>>,
}

impl Tokens {
    /// Makes a token that is valid for `secs` from now on.
    pub(super) fn issue(
        &mut self,
        now: Timestamp,
        instance: &InstanceId,
        secs: u64,
        entropy: &[u8; TOKEN_ENTROPY_BYTES],
    ) -> String {
        let tokens = self.instances.entry(instance.clone()).or_default();
        if tokens.len() >= PER_INSTANCE {
            tokens.retain(|_, end| *end > now);
        }
        if tokens.len() >= PER_INSTANCE
            && let Some((first, _)) = tokens.iter().min_by_key(|(_, end)| **end)
        {
            let first = first.clone();
            tokens.remove(&first);
        }
        let token = URL_SAFE_NO_PAD.encode(entropy);
        tokens.insert(token.clone(), now + Duration::from_secs(secs));
        token
    }

    pub(super) fn is_valid(&self, now: Timestamp, instance: &InstanceId, token: &str) -> bool {
        self.instances
            .get(instance)
            .and_then(|tokens| tokens.get(token))
            .is_some_and(|end| *end > now)
    }

    pub(super) fn forget(&mut self, instance: &InstanceId) {
        self.instances.remove(instance);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_tokens_pushes_out_those_that_end_first() {
        let instance: InstanceId = "i-0000000a".parse().unwrap();
        let mut tokens = Tokens::default();
        let mut entropy = [0; TOKEN_ENTROPY_BYTES];
        let long = tokens.issue(Timestamp::ZERO, &instance, 21_600, &entropy);
        for serial in 1_u32..5_000 {
            entropy[..4].copy_from_slice(&serial.to_be_bytes());
            tokens.issue(Timestamp::ZERO, &instance, 10, &entropy);
        }
        assert_eq!(tokens.instances[&instance].len(), PER_INSTANCE);
        assert!(tokens.is_valid(Timestamp::from_secs(5), &instance, &long));
    }
}
