//! Which questions a request is.

use std::collections::HashMap;
use std::iter::successors;

use tokio::task::yield_now;

use super::{Action, Forbidden, Policies, Question, Subject};
use crate::frontend::caller::Caller;
use crate::frontend::change_set::{Current, Effect, Tagged};
use crate::frontend::command::{Command, Subject as CommandSubject};
use crate::frontend::error::ApiError;
use crate::frontend::tagging::tags_among;
use crate::frontend::{Frontend, Operation};
use crate::model::{ResourceId, Tags};
use crate::store::Precondition;

/// After how many questions of a set others may use the thread.
const QUESTIONS_AT_ONCE: usize = 64;

/// Somebody who may do what they ask for.
#[derive(Debug)]
pub(in crate::frontend) struct Permitted<'a> {
    /// Who.
    pub(in crate::frontend) caller: &'a Caller,
    /// That the tags which policies were shown are still those: a commit requires it, or a resource that has just got another
    /// owner would be changed by the one before.
    pub(in crate::frontend) relies_on: Vec<Precondition>,
}

/// What is known of resources while questions are asked.
#[derive(Debug, Default)]
struct Known {
    tags: HashMap<ResourceId, Tags>,
    /// That the tags which were read are still those.
    relies_on: Vec<Precondition>,
}

/// What something that App Mesh does not have is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::frontend) enum Scope {
    /// Everything.
    Account,
    /// These meshes.
    Meshes(Vec<String>),
}

impl Scope {
    /// One mesh, or everything.
    pub(in crate::frontend) fn of(mesh: Option<&str>) -> Self {
        mesh.map_or(Self::Account, |mesh| Self::Meshes(vec![mesh.to_owned()]))
    }

    /// The meshes of these resources.
    pub(in crate::frontend) fn of_resources<'a>(ids: impl Iterator<Item = &'a ResourceId>) -> Self {
        let mut meshes: Vec<String> = ids.map(|id| id.mesh_name().to_owned()).collect();
        meshes.sort_unstable();
        meshes.dedup();
        Self::Meshes(meshes)
    }
}

impl Frontend {
    /// Refuses a `command` that the policies do not allow the caller.
    pub(in crate::frontend) async fn authorise<'a>(
        &self,
        caller: &'a Caller,
        command: &Command,
    ) -> Result<Permitted<'a>, ApiError> {
        let Some(policies) = self.authoriser.policies() else {
            return Ok(Permitted { caller, relies_on: Vec::new() });
        };
        let none = Tags::default();
        let mut known = Known::default();
        let subject = match (command, command.subject()) {
            (Command::Create { tags, .. }, CommandSubject::Resource(id)) => {
                known.tags.insert(id.clone(), tags.clone());
                self.subject(id, &mut known).await?
            }
            (_, CommandSubject::Resource(id)) => self.subject(id, &mut known).await?,
            (_, CommandSubject::Collection(collection)) => match &collection.container {
                Some(container) => self.subject(container, &mut known).await?,
                None => Vec::new(),
            },
        };
        let (tags, untagged) = match command {
            Command::Create { tags, .. } | Command::Tag { tags, .. } => (tags, &[][..]),
            Command::Untag { keys, .. } => (&none, keys.as_slice()),
            _ => (&none, &[][..]),
        };
        let action = Action::AppMesh(command.operation());
        let question = Question { caller, action, subject: &subject, tags, untagged };
        self.check(&policies, &question)?;
        Ok(Permitted { caller, relies_on: known.relies_on })
    }

    /// Refuses an `action` of `scope` that the policies do not allow the caller.
    pub(in crate::frontend) async fn authorise_scope(
        &self,
        caller: &Caller,
        action: Action,
        scope: &Scope,
    ) -> Result<(), ApiError> {
        let Some(policies) = self.authoriser.policies() else {
            return Ok(());
        };
        let subjects = match scope {
            Scope::Account => vec![Vec::new()],
            Scope::Meshes(meshes) => {
                let mut subjects = Vec::with_capacity(meshes.len());
                for mesh in meshes {
                    subjects.push(self.subject(&ResourceId::mesh(mesh), &mut Known::default()).await?);
                }
                subjects
            }
        };
        for subject in &subjects {
            let question = Question { caller, action, subject, tags: &Tags::default(), untagged: &[] };
            self.check(&policies, &question)?;
        }
        Ok(())
    }

    /// Refuses a set of changes with these `effects` on what is `current`, unless the policies allow the caller each of them by
    /// itself. The answer is what that relies on.
    pub(in crate::frontend) async fn authorise_effects(
        &self,
        caller: &Caller,
        policies: &Policies,
        current: &Current,
        effects: &[Effect],
    ) -> Result<Vec<Precondition>, ApiError> {
        // what is made in the set has the tags that it is made with, and what is there those that it has
        let mut known = Known {
            tags: effects.iter().map(|effect| (effect.id.clone(), tags_of(effect))).collect(),
            relies_on: effects.iter().map(|effect| current.tags_unchanged(&effect.id)).collect(),
        };
        for (index, effect) in effects.iter().enumerate() {
            let subject = self.subject(&effect.id, &mut known).await?;
            let (tagged, untagged) = changed_tags(effect);
            for operation in effect.operations() {
                let question = Question {
                    caller,
                    action: Action::AppMesh(operation),
                    subject: &subject,
                    tags: if operation == Operation::TagResource { &tagged } else { &subject[0].tags },
                    untagged: &untagged,
                };
                self.check(policies, &question)?;
            }
            if index % QUESTIONS_AT_ONCE == QUESTIONS_AT_ONCE - 1 {
                yield_now().await;
            }
        }
        Ok(known.relies_on)
    }

    fn check(&self, policies: &Policies, question: &Question<'_>) -> Result<(), Forbidden> {
        self.authoriser.check(policies, question, &self.settings)
    }

    /// A resource and what it lies in, with their tags: of each what is `known`, or else what is stored, which is known then.
    async fn subject(&self, id: &ResourceId, known: &mut Known) -> Result<Vec<Subject>, ApiError> {
        let ids: Vec<ResourceId> = successors(Some(id.clone()), ResourceId::container).collect();
        let unknown: Vec<&ResourceId> = ids.iter().filter(|id| !known.tags.contains_key(*id)).collect();
        if !unknown.is_empty() {
            let records = self.read(unknown.iter().map(|id| id.tags_key())).await?;
            for id in unknown {
                let (tags, unchanged) = tags_among(&records, id)?;
                known.relies_on.push(unchanged);
                known.tags.insert(id.clone(), tags);
            }
        }
        let subject = |id: ResourceId| {
            let tags = known.tags.get(&id).cloned().unwrap_or_default();
            Subject { id, tags }
        };
        Ok(ids.into_iter().map(subject).collect())
    }
}

/// The tags that a resource has or, if it does not exist, is to have.
fn tags_of(effect: &Effect) -> Tags {
    let tagged = effect.before.as_ref().or(effect.after.as_ref());
    tagged.map(|tagged| tagged.tags.clone()).unwrap_or_default()
}

/// The tags that a resource gets, and the keys of those that it loses.
fn changed_tags(effect: &Effect) -> (Tags, Vec<String>) {
    let (Some(Tagged { tags: before, .. }), Some(Tagged { tags: after, .. })) =
        (&effect.before, &effect.after)
    else {
        return (Tags::default(), Vec::new());
    };
    let lost: Vec<String> =
        before.iter().filter(|(key, _)| after.get(key).is_none()).map(|(key, _)| key.to_owned()).collect();
    let kept: Vec<String> = after
        .iter()
        .filter(|(key, value)| before.get(key) == Some(value))
        .map(|(key, _)| key.to_owned())
        .collect();
    (after.clone().without(&kept), lost)
}
