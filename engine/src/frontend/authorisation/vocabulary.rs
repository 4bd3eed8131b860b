//! What policies can speak of: the schema, and everything of it that a question is made with.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;

use cedar_policy::{Entity, EntityId, EntityTypeName, EntityUid, Schema};

use super::action::Action;
use super::policies::PoliciesError;
use crate::model::Kind;

/// The schema of policies, in Cedar's own notation.
pub const SCHEMA: &str = include_str!("legation.cedarschema");

/// The schema and the names in it, parsed.
pub(super) struct Vocabulary {
    pub(super) schema: Schema,
    actions: HashMap<Action, Entity>,
    kinds: BTreeMap<Kind, EntityTypeName>,
    user: EntityTypeName,
    group: EntityTypeName,
    account: EntityTypeName,
    tags: EntityTypeName,
}

impl Vocabulary {
    pub(super) fn new() -> Result<Self, PoliciesError> {
        let own = |error: &dyn std::error::Error| PoliciesError::Schema(error.to_string());
        let (schema, _) = Schema::from_cedarschema_str(SCHEMA).map_err(|error| own(&error))?;
        let entities = schema.action_entities().map_err(|error| own(&error))?;
        let name = |name: &str| EntityTypeName::from_str(name).map_err(|error| own(&error));
        let action_type = name("Action")?;
        let mut actions = HashMap::new();
        for action in Action::all() {
            let id = uid(&action_type, &action.to_string());
            let entity =
                entities.get(&id).ok_or_else(|| PoliciesError::Schema(format!("{id} is missing")))?;
            actions.insert(action, entity.clone());
        }
        let mut kinds = BTreeMap::new();
        for kind in Kind::ALL {
            kinds.insert(kind, name(kind.type_name())?);
        }
        let (user, group, account, tags) = (name("User")?, name("Group")?, name("Account")?, name("Tags")?);
        Ok(Self { schema, actions, kinds, user, group, account, tags })
    }

    /// The entity of `action`, with the groups that it is in.
    pub(super) fn action(&self, action: Action) -> Result<&Entity, PoliciesError> {
        self.actions.get(&action).ok_or_else(|| PoliciesError::Schema(format!("{action} is missing")))
    }

    /// The entity of the resource of this kind with this ARN.
    pub(super) fn resource(&self, kind: Kind, arn: &str) -> Result<EntityUid, PoliciesError> {
        let name = self.kinds.get(&kind);
        let name = name.ok_or_else(|| PoliciesError::Schema(format!("{} is missing", kind.type_name())))?;
        Ok(uid(name, arn))
    }

    /// The entity of the user of this name.
    pub(super) fn user(&self, name: &str) -> EntityUid {
        uid(&self.user, name)
    }

    /// The entity of the group of this name.
    pub(super) fn group(&self, name: &str) -> EntityUid {
        uid(&self.group, name)
    }

    /// The entity of the account.
    pub(super) fn account(&self, account: &str) -> EntityUid {
        uid(&self.account, account)
    }

    /// The entity that has the tags in the request.
    pub(super) fn tags(&self) -> EntityUid {
        uid(&self.tags, "request")
    }
}

fn uid(name: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(name.clone(), EntityId::new(id))
}
