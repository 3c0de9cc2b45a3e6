//! Keys that the API accepts: the account's own, and those given to instances' roles.

use std::{collections::BTreeMap, time::Duration};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use underlay_types::{InstanceId, Timestamp};

/// How long a role's key is good for.
const LIFETIME: Duration = Duration::from_secs(6 * 3_600);
/// A role's key is not handed out again for less than this: the next one is made.
const REMAINDER: Duration = Duration::from_secs(3_600);

/// A key pair, with a session token if it is a role's.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPair {
    /// The access key id.
    pub access_key: String,
    /// The secret access key.
    pub secret: String,
    /// The session token.
    pub token: Option<String>,
}

/// A role's key and when it was given and ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleKey {
    /// The key.
    pub key: KeyPair,
    /// Who it speaks for, as STS names him.
    pub arn: String,
    /// When it was given.
    pub issued: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
}

/// A role's key and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldKey {
    /// The instance.
    pub instance: InstanceId,
    /// The role's name.
    pub role: String,
    /// The key.
    pub key: RoleKey,
}

/// The keys that the API accepts.
#[derive(Debug, Default)]
pub struct Credentials {
    own: Option<KeyPair>,
    /// By instance and role, the latest and those before that have not ended.
    roles: Mutex<BTreeMap<(InstanceId, String), Vec<RoleKey>>>,
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyPair")
            .field("access_key", &self.access_key)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    /// The account's own key pair, and no role's yet.
    pub fn new(own: Option<KeyPair>) -> Self {
        Self {
            own,
            roles: Mutex::default(),
        }
    }

    /// The key of an instance's role: the same one for some hours, then another.
    ///
    /// `random` gives 32 bytes nobody can guess.
    pub fn for_role(
        &self,
        instance: &InstanceId,
        role: &str,
        arn: impl FnOnce() -> String,
        random: impl FnOnce() -> [u8; 32],
        now: Timestamp,
    ) -> RoleKey {
        let mut roles = self.roles.lock();
        let keys = roles
            .entry((instance.clone(), role.to_owned()))
            .or_default();
        keys.retain(|key| key.expires > now);
        if let Some(last) = keys.last().filter(|key| key.expires > now + REMAINDER) {
            return last.clone();
        }
        let hex = random()
            .iter()
            .fold(String::new(), |text, byte| format!("{text}{byte:02X}"));
        let (id, rest) = hex.split_at(16);
        let (secret, token) = rest.split_at(32);
        let key = RoleKey {
            key: KeyPair {
                access_key: format!("ASIA{id}"),
                secret: secret.to_owned(),
                token: Some(format!("{token}{instance}")),
            },
            arn: arn(),
            issued: now,
            expires: now + LIFETIME,
        };
        keys.push(key.clone());
        key
    }

    /// The roles' keys that were given and not taken.
    pub fn held(&self) -> Vec<HeldKey> {
        let roles = self.roles.lock();
        let held = |((instance, role), keys): (&(InstanceId, String), &Vec<RoleKey>)| {
            let held = |key: &RoleKey| HeldKey {
                instance: instance.clone(),
                role: role.clone(),
                key: key.clone(),
            };
            keys.iter().map(held).collect::<Vec<_>>()
        };
        roles.iter().flat_map(held).collect()
    }

    /// Accepts a role's key that was given before.
    pub fn restore(&self, held: HeldKey) {
        let mut roles = self.roles.lock();
        roles
            .entry((held.instance, held.role))
            .or_default()
            .push(held.key);
    }

    /// Takes the keys of an instance that is gone.
    pub fn forget(&self, instance: &InstanceId) {
        self.roles
            .lock()
            .retain(|(holder, _), _| holder != instance);
    }

    /// The key of this access key id, while it is good.
    pub fn find(&self, access_key: &str, now: Timestamp) -> Option<KeyPair> {
        if let Some(own) = self.own.as_ref().filter(|own| own.access_key == access_key) {
            return Some(own.clone());
        }
        let role = self.role_key(access_key)?;
        (role.expires > now).then_some(role.key)
    }

    /// Who an access key id speaks for, if that is a role.
    pub fn role_arn(&self, access_key: &str) -> Option<String> {
        self.role_key(access_key).map(|role| role.arn)
    }

    fn role_key(&self, access_key: &str) -> Option<RoleKey> {
        let roles = self.roles.lock();
        roles
            .values()
            .flatten()
            .find(|role| role.key.access_key == access_key)
            .cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn give(credentials: &Credentials, secs: u64) -> RoleKey {
        let instance = InstanceId::from_serial(1);
        let at = Timestamp::from_secs(secs);
        let byte = u8::try_from(secs / 3_600).unwrap();
        credentials.for_role(&instance, "node", || "arn".to_owned(), || [byte; 32], at)
    }

    #[test]
    fn a_role_keeps_its_key_for_hours_and_then_gets_another() {
        let credentials = Credentials::new(None);
        let first = give(&credentials, 3_600);
        assert_eq!(give(&credentials, 5 * 3_600), first);
        let second = give(&credentials, 6 * 3_600 + 1);
        assert_ne!(second.key, first.key);
        let found = |key: &RoleKey, secs| {
            credentials
                .find(&key.key.access_key, Timestamp::from_secs(secs))
                .is_some()
        };
        // Both are good until the first one ends.
        assert!(found(&first, 7 * 3_600 - 1) && found(&second, 7 * 3_600 - 1));
        assert!(!found(&first, 7 * 3_600) && found(&second, 7 * 3_600));
        credentials.forget(&InstanceId::from_serial(1));
        assert!(!found(&second, 7 * 3_600));
    }
}
