//! Who makes a request: AWS's signatures, version 4, and the access keys that they are made with.
//!
//! | module | holds |
//! |---|---|
//! | `claim` | what a request says about its signature, in a header or in its query |
//! | `timestamp` | points in time as signatures have them |
//! | `signature` | the signature that the request must have |
//! | `access_key`, `access_key_file` | who may sign, and with what |
//! | `browser` | what is refused where nobody signs: requests of pages in browsers |
//! | `refusal` | why a request is not let in, and what its client is told |
//!
//! What can be refused by the head of a request is refused by it, so that who has no access key costs little: the body
//! is read, and hashed, only after that. Nothing of a body is parsed before its signature is known to be right.
//!
//! As with AWS, a request that is sent again is let in again for as long as its time is.

mod access_key;
mod access_key_file;
mod browser;
mod claim;
mod refusal;
mod signature;
mod timestamp;

#[cfg(test)]
pub(super) mod tests;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::request::Parts;
use subtle::ConstantTimeEq;
use tokio::sync::watch;

pub use self::access_key::AccessKeys;
pub use self::access_key_file::AccessKeysError;
pub use self::refusal::AuthenticationError;

use self::access_key::AccessKey;
use self::claim::Claim;
use self::timestamp::Timestamp;
use super::caller::Caller;

/// The service in the scope of a credential.
const SERVICE: &str = "appmesh";

/// By how much the clock of a client may differ from that here, as AWS has it.
const SKEW_MAX: Duration = Duration::from_secs(5 * 60);

/// Tells who makes a request. Cheap to clone.
#[derive(Clone)]
pub struct Authenticator(Asked);

/// What is asked for.
#[derive(Clone)]
enum Asked {
    /// Nothing but not to be a page in a browser.
    Nothing {
        /// Whether the API has a loopback address.
        is_local: bool,
    },
    /// A signature.
    Signature(Signed),
}

/// What is asked for where requests must be signed.
#[derive(Clone)]
struct Signed {
    keys: watch::Receiver<Arc<AccessKeys>>,
    region: Arc<str>,
}

impl Authenticator {
    /// Lets everybody in but pages in browsers, whatever the signature, as nobody in particular.
    pub fn anonymous() -> Self {
        Self(Asked::Nothing { is_local: false })
    }

    /// The same where the API has a loopback address, so that no name but that of this machine is its own.
    pub fn anonymous_and_local() -> Self {
        Self(Asked::Nothing { is_local: true })
    }

    /// Lets in who has signed with one of the current `keys`, for `region`.
    pub fn new(keys: watch::Receiver<Arc<AccessKeys>>, region: &str) -> Self {
        Self(Asked::Signature(Signed { keys, region: region.into() }))
    }

    /// What is known by the head of a request; its signature is yet to be verified.
    pub fn examine(&self, head: &Parts) -> Result<Examined, AuthenticationError> {
        self.examine_at(head, SystemTime::now())
    }

    /// The same, with another clock.
    pub fn examine_at(&self, head: &Parts, now: SystemTime) -> Result<Examined, AuthenticationError> {
        let signed = match &self.0 {
            Asked::Nothing { is_local } => {
                browser::check(head, *is_local)?;
                return Ok(Examined(None));
            }
            Asked::Signature(signed) => signed,
        };
        let claim = Claim::parse(head)?;
        signed.check_scope(&claim)?;
        check_time(&claim, Timestamp::of(now))?;
        let keys = signed.keys.borrow().clone();
        let key = keys.get(&claim.access_key_id).ok_or(AuthenticationError::UnknownKey)?.clone();
        Ok(Examined(Some((claim, key, now))))
    }
}

impl Signed {
    fn check_scope(&self, claim: &Claim) -> Result<(), AuthenticationError> {
        let problem = if claim.scope_date != claim.made.date() {
            "the day in the credential is not that of the signature".to_owned()
        } else if claim.scope_region != *self.region {
            format!("the region here is {}, and the credential is for another", self.region)
        } else if claim.scope_service != SERVICE {
            format!("the service here is {SERVICE}, and the credential is for another")
        } else {
            return Ok(());
        };
        Err(AuthenticationError::Invalid(problem))
    }
}

fn check_time(claim: &Claim, now: Timestamp) -> Result<(), AuthenticationError> {
    let made = claim.made;
    let skewed = AuthenticationError::Skewed { made, now, seconds: SKEW_MAX.as_secs() };
    match claim.expires {
        _ if made.since(now) > SKEW_MAX => Err(skewed),
        None if now.since(made) > SKEW_MAX => Err(skewed),
        Some(expires) if now.since(made) > expires => {
            Err(AuthenticationError::Expired { made, seconds: expires.as_secs(), now })
        }
        _ => Ok(()),
    }
}

/// A request whose head makes sense; nothing, where no signature is asked for.
pub struct Examined(Option<(Claim, AccessKey, SystemTime)>);

impl Examined {
    /// Who has made the request of `head` and `body`, if the signature is right.
    pub fn verify(&self, head: &Parts, body: &[u8]) -> Result<Caller, AuthenticationError> {
        let Some((claim, key, now)) = &self.0 else {
            return Ok(Caller::anonymous());
        };
        let expected = signature::expected(head, body, claim, key.credentials.clone())?;
        if !bool::from(expected.as_bytes().ct_eq(claim.signature.as_bytes())) {
            let problem = "it is not the one that the secret of this access key gives for this request; check the \
                           secret, and that nothing on the way changes the host, the path or what else is signed";
            return Err(AuthenticationError::Invalid(problem.to_owned()));
        }
        // who has the secret may know
        key.check_usable(*now)?;
        Ok(key.caller.clone())
    }
}
