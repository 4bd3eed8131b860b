//! Whom the API asks, and who notes what was denied.

use std::sync::Arc;

use thiserror::Error;
use tokio::sync::watch;

use super::action::Action;
use super::denials::{Denials, Denied};
use super::policies::Policies;
use super::question::Question;
use crate::frontend::{FrontendSettings, now_ms};

/// The target of the log's lines about denials.
const AUDIT: &str = "audit";

/// Tells who may do what. Cheap to clone.
#[derive(Clone, Default)]
pub struct Authoriser {
    policies: Option<watch::Receiver<Arc<Policies>>>,
    denials: Arc<Denials>,
}

/// The policies do not allow it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("User: {user} is not authorized to perform: {action} on resource: {resource}")]
pub struct Forbidden {
    /// Who asked.
    pub user: String,
    /// To do what.
    pub action: Action,
    /// To what: the ARN of a resource, or the account.
    pub resource: String,
}

impl Authoriser {
    /// Allows everybody everything.
    pub fn permissive() -> Self {
        Self::default()
    }

    /// Allows what the current `policies` do, and notes in `denials` what they do not.
    pub fn new(policies: watch::Receiver<Arc<Policies>>, denials: Arc<Denials>) -> Self {
        Self { policies: Some(policies), denials }
    }

    /// The current policies; nothing where everything is allowed. What belongs together is to be asked of the same ones.
    pub fn policies(&self) -> Option<Arc<Policies>> {
        self.policies.as_ref().map(|policies| Arc::clone(&policies.borrow()))
    }

    /// Who was denied what.
    pub fn denials(&self) -> &Denials {
        &self.denials
    }

    /// Refuses what `policies` do not allow, and notes that.
    pub fn check(
        &self,
        policies: &Policies,
        question: &Question<'_>,
        settings: &FrontendSettings,
    ) -> Result<(), Forbidden> {
        if policies.allow(question, settings) {
            return Ok(());
        }
        let user = question.caller.name().to_owned();
        let (action, resource) = (question.action, question.resource(settings));
        let denied = Denied {
            user: user.clone(),
            action: action.to_string(),
            resource: resource.clone(),
            mesh: question.subject.first().map(|subject| subject.id.mesh_name().to_owned()),
        };
        let count = self.denials.add(denied, now_ms());
        // who asks again and again does not fill the log
        if count.is_power_of_two() {
            let action = action.to_string();
            tracing::warn!(target: AUDIT, user, action, resource, count, "denied");
        }
        Err(Forbidden { user, action, resource })
    }
}
