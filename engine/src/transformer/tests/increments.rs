//! What is made after each change is what would be made of everything.

use std::collections::BTreeMap;

use bytes::Bytes;
use legation_proto::id::FragmentKey;
use legation_proto::version::Transaction;
use proptest::prelude::*;
use proptest::sample::select;

use super::fixture::{MESH, definition};
use super::properties::{definitions, name, spec};
use crate::model::{Definition, Kind, ResourceId, Spec};
use crate::transformer::definitions::MeshDefinitions;
use crate::transformer::fingerprint::Fingerprint;
use crate::transformer::mesh::{Made, Mesh, make};
use crate::transformer::transform::{TransformError, transform};

/// A resource, and what it is from now on; it is deleted if this is nothing.
type Change = (ResourceId, Option<Definition>);

/// A change of any definition, which may have been there or not. Whatever lies in another may be there without that one.
fn change() -> impl Strategy<Value = Change> {
    let kinds = select(Kind::ALL.to_vec());
    (kinds, name(), name()).prop_flat_map(|(kind, parent, name)| {
        let name = if kind == Kind::Mesh { MESH } else { name };
        let id = ResourceId::from_parts(kind, MESH, kind.parent().map(|_| parent), name).unwrap();
        (Just(id), prop::option::weighted(0.7, spec(kind))).prop_filter_map(
            "invalid",
            |(id, spec)| match spec {
                Some(spec) if Spec::parse(id.kind(), &spec).is_err() => None,
                Some(spec) => Some((id.clone(), Some(definition(id, &spec)))),
                None => Some((id, None)),
            },
        )
    })
}

/// What was made of all definitions, each time anew; what cannot be made any more stays.
#[derive(Default)]
struct Model {
    definitions: BTreeMap<ResourceId, (Transaction, Definition)>,
    fragments: BTreeMap<FragmentKey, Bytes>,
    problems: BTreeMap<FragmentKey, TransformError>,
}

impl Model {
    fn change(&mut self, transaction: Transaction, changes: &[Change]) {
        for (id, definition) in changes {
            match definition {
                Some(definition) => {
                    self.definitions.insert(id.clone(), (transaction, definition.clone()));
                }
                None => drop(self.definitions.remove(id)),
            }
        }
        let meshes = MeshDefinitions::collect(self.definitions.values().cloned());
        let transformed = meshes.get(MESH).map(transform).unwrap_or_default();
        self.problems =
            transformed.problems.into_iter().map(|problem| (problem.key, problem.error)).collect();
        self.fragments.retain(|key, _| self.problems.contains_key(key));
        let made = transformed.fragments.into_iter();
        self.fragments.extend(made.map(|(key, fragment)| (key, fragment.encode().into())));
    }
}

/// Makes what these changes concern, a few fragments at once. The answer is what would be written.
fn make_after(
    mesh: &mut Mesh,
    transaction: Transaction,
    changes: &[Change],
) -> Vec<(FragmentKey, Option<Bytes>)> {
    for (id, definition) in changes {
        match definition {
            Some(definition) => mesh.define(transaction, definition.clone()),
            None => mesh.undefine(id),
        }
    }
    let ids: Vec<_> = changes.iter().map(|(id, _)| id.clone()).collect();
    let orders = mesh.dependents(&ids);
    let deliveries = orders.chunks(3).flat_map(|part| make(mesh.definitions(), part.to_vec())).collect();
    let mut made = mesh.made.take().unwrap();
    let written = mesh.take_in(&mut made, deliveries, usize::MAX);
    mesh.made = Some(made);
    written
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_made_after_changes_is_what_is_made_of_everything(
        first in definitions(),
        changes in prop::collection::vec(prop::collection::vec(change(), 1..4), 1..20),
    ) {
        let first = first.into_definitions().into_iter();
        let first = first.map(|definition| (definition.id.clone(), Some(definition))).collect();
        let mut mesh = Mesh::new(MESH.into());
        mesh.made = Some(Made::default());
        let mut model = Model::default();
        let mut written: BTreeMap<FragmentKey, Bytes> = BTreeMap::new();
        for (transaction, changes) in (1..).zip(std::iter::once(first).chain(changes)) {
            model.change(transaction, &changes);
            for (key, value) in make_after(&mut mesh, transaction, &changes) {
                prop_assert_ne!(written.get(&key), value.as_ref(), "nothing new is written");
                match value {
                    Some(value) => drop(written.insert(key, value)),
                    None => drop(written.remove(&key)),
                }
            }
            prop_assert_eq!(&written, &model.fragments);
            let remembered: BTreeMap<_, _> = mesh.made.as_ref().unwrap().fragments.clone().into_iter().collect();
            let expected = model.fragments.iter().map(|(key, bytes)| (key.clone(), Fingerprint::of(bytes)));
            prop_assert_eq!(remembered, expected.collect());
            prop_assert_eq!(mesh.problems(), &model.problems);
        }
    }
}
