//! Access keys: who may sign, and with what.

use std::collections::HashMap;
use std::fmt;
use std::time::SystemTime;

use aws_credential_types::Credentials;

use super::refusal::AuthenticationError;
use crate::frontend::caller::Caller;

/// An access key. Its secret is not shown, and is overwritten in memory when nobody has the key any more.
#[derive(Clone)]
pub(super) struct AccessKey {
    /// The identifier and the secret.
    pub(super) credentials: Credentials,
    /// Who has it.
    pub(super) caller: Caller,
    /// Whether it may not be used.
    pub(super) is_disabled: bool,
    /// Until when it may be used.
    pub(super) expires: Option<SystemTime>,
}

impl AccessKey {
    /// Whether the key may be used at `now`.
    pub(super) fn check_usable(&self, now: SystemTime) -> Result<(), AuthenticationError> {
        if self.is_disabled {
            return Err(AuthenticationError::DisabledKey);
        }
        match self.expires {
            Some(expires) if expires <= now => Err(AuthenticationError::ExpiredKey(expires)),
            _ => Ok(()),
        }
    }
}

/// Every access key there is, by its identifier.
pub struct AccessKeys(pub(super) HashMap<String, AccessKey>);

impl AccessKeys {
    /// The key with the identifier `id`.
    pub(super) fn get(&self, id: &str) -> Option<&AccessKey> {
        self.0.get(id)
    }
}

impl fmt::Debug for AccessKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} access keys", self.0.len())
    }
}
