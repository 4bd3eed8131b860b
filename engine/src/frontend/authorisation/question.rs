//! One question to the policies: may this caller do this to that?

use cedar_policy::{Context, Entities, Entity, EntityUid, Request, RestrictedExpression};

use super::action::Action;
use super::policies::PoliciesError;
use super::vocabulary::Vocabulary;
use crate::frontend::caller::Caller;
use crate::frontend::{FrontendSettings, Operation};
use crate::model::{Kind, ResourceId, Tags};

/// May this caller do this to that? Everything that policies can look at is in it.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// To do what.
    pub action: Action,
    /// To what: a resource, and after it what it lies in, the innermost first. The account, where it is empty.
    pub subject: &'a [Subject],
    /// The tags in the request.
    pub tags: &'a Tags,
    /// The keys of the tags that are to go.
    pub untagged: &'a [String],
}

/// A resource, as policies see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Which.
    pub id: ResourceId,
    /// Its tags: none if it does not exist, and those that it is to have if it is to be created.
    pub tags: Tags,
}

impl Question<'_> {
    /// The resource in question as people and policies name it: its ARN, or the account.
    pub fn resource(&self, settings: &FrontendSettings) -> String {
        match self.subject.first() {
            Some(subject) => subject.id.arn(&settings.region, &settings.account),
            None => format!("account {}", settings.account),
        }
    }

    /// The question in Cedar's terms, with every entity that matters to it.
    pub(super) fn ask(
        &self,
        vocabulary: &Vocabulary,
        settings: &FrontendSettings,
    ) -> Result<(Request, Entities), PoliciesError> {
        let mut entities = Vec::with_capacity(self.subject.len() + 4);
        let user = self.user(vocabulary)?;
        let action = vocabulary.action(self.action)?.clone();
        let (user_uid, action_uid) = (user.uid(), action.uid());
        entities.extend([user, action]);
        let account = vocabulary.account(&settings.account);
        let uids = self.subject.iter().map(|subject| {
            let arn = subject.id.arn(&settings.region, &settings.account);
            vocabulary.resource(subject.id.kind(), &arn)
        });
        let uids: Vec<EntityUid> = uids.collect::<Result<_, _>>()?;
        for (index, subject) in self.subject.iter().enumerate() {
            entities.push(resource(subject, &uids[index..], &account)?);
        }
        let mut context = Vec::new();
        if matches!(self.action, Action::AppMesh(Operation::Create(_) | Operation::TagResource)) {
            let uid = vocabulary.tags();
            entities.push(Entity::new_with_tags(uid.clone(), [], [], tags(self.tags)).map_err(unsound)?);
            context.push(("tags".to_owned(), RestrictedExpression::new_entity_uid(uid)));
            context.push(("tagKeys".to_owned(), texts(self.tags.iter().map(|(key, _)| key))));
        }
        if self.action == Action::AppMesh(Operation::UntagResource) {
            context.push(("tagKeys".to_owned(), texts(self.untagged.iter().map(String::as_str))));
        }
        let context = Context::from_pairs(context).map_err(unsound)?;
        let resource = uids.into_iter().next().unwrap_or(account);
        let request = Request::new(user_uid, action_uid, resource, context, None).map_err(unsound)?;
        let entities = Entities::from_entities(entities, None).map_err(unsound)?;
        Ok((request, entities))
    }

    fn user(&self, vocabulary: &Vocabulary) -> Result<Entity, PoliciesError> {
        let groups = self.caller.groups();
        let attributes =
            [("name", text(self.caller.name())), ("groups", texts(groups.iter().map(String::as_str)))];
        Entity::new_with_tags(
            vocabulary.user(self.caller.name()),
            attributes.map(|(name, value)| (name.to_owned(), value)),
            groups.iter().map(|group| vocabulary.group(group)),
            [],
        )
        .map_err(unsound)
    }
}

/// The entity of a resource. `uids` are those of itself and of what it lies in, the mesh last.
fn resource(subject: &Subject, uids: &[EntityUid], account: &EntityUid) -> Result<Entity, PoliciesError> {
    let (Some(uid), Some(mesh)) = (uids.first(), uids.last()) else {
        return Err(PoliciesError::Unsound("a resource without a mesh".to_owned()));
    };
    let parent = uids.get(1).unwrap_or(account);
    let mut attributes = vec![
        ("name".to_owned(), text(subject.id.name())),
        ("mesh".to_owned(), RestrictedExpression::new_entity_uid(mesh.clone())),
    ];
    let parent_name = match subject.id.kind() {
        Kind::Route => Some("router"),
        Kind::GatewayRoute => Some("gateway"),
        _ => None,
    };
    attributes.extend(
        parent_name.map(|name| (name.to_owned(), RestrictedExpression::new_entity_uid(parent.clone()))),
    );
    Entity::new_with_tags(uid.clone(), attributes, [parent.clone()], tags(&subject.tags)).map_err(unsound)
}

fn tags(tags: &Tags) -> impl Iterator<Item = (String, RestrictedExpression)> {
    tags.iter().map(|(key, value)| (key.to_owned(), text(value)))
}

fn text(text: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(text.to_owned())
}

fn texts<'a>(texts: impl Iterator<Item = &'a str>) -> RestrictedExpression {
    RestrictedExpression::new_set(texts.map(text))
}

fn unsound(error: impl std::fmt::Display) -> PoliciesError {
    PoliciesError::Unsound(error.to_string())
}
