//! Telling what a set of changes would black-hole, without making it.

use std::collections::BTreeSet;
use std::sync::Arc;

use legation_proto::version::Transaction;
use serde_json::{Value, json};

use super::change_set::{Change, ChangeSet};
use super::error::ApiError;
use super::scope::Scope;
use super::transactions::TransactionRequest;
use super::{Frontend, aside};
use crate::lint::{Finding, lint};
use crate::model::key::mesh_prefix;
use crate::model::{Definition, Metadata, ResourceId, Spec};
use crate::store::{At, Record};
use crate::transformer::definitions::MeshDefinitions;

/// How many findings are told one by one.
const FINDINGS_MAX: usize = 1000;

/// The definitions of a mesh as they are, and as they would be.
struct Overlay {
    definitions: MeshDefinitions,
}

impl Frontend {
    /// What would be found once the changes that `request` asks for were made, of that which concerns them.
    pub(super) async fn lint(&self, request: &TransactionRequest) -> Result<Value, ApiError> {
        let meshes: BTreeSet<&str> =
            request.set.changes.iter().map(|change| change.id().mesh_name()).collect();
        // who waits for a turn holds no meshes
        let turn = self.planning_turn().await;
        let mut records = Vec::new();
        for mesh in meshes {
            let listing = self.store.list(&mesh_prefix(mesh), At::Newest).await?;
            records.push((mesh.to_owned(), listing.records));
        }
        let (set, settings) = (Arc::clone(&request.set), Arc::clone(&self.settings));
        let finding = aside(move || {
            let _turn = turn;
            findings(&records, &set, &settings.account)
        });
        let findings = finding.await?;
        let shown: Vec<Value> = findings.iter().take(FINDINGS_MAX).map(Finding::to_json).collect();
        Ok(json!({"count": findings.len(), "findings": shown}))
    }
}

fn findings(meshes: &[(String, Vec<Record>)], set: &ChangeSet, account: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (mesh, records) in meshes {
        let mut overlay = Overlay { definitions: MeshDefinitions::new(mesh.as_str().into()) };
        for record in records {
            overlay.add_record(record);
        }
        let mut scope = Scope::default();
        for change in set.changes.iter().filter(|change| change.id().mesh_name() == mesh) {
            match change {
                Change::Put { id, spec, .. } | Change::Restore { id, spec, .. } => {
                    scope.add_written(id, spec);
                    overlay.put(id, spec, account);
                }
                Change::Delete { id } => {
                    scope.add_deleted(id);
                    overlay.definitions.remove(id);
                }
            }
        }
        findings.extend(lint(&overlay.definitions).into_iter().filter(|finding| scope.concerns(finding)));
    }
    findings
}

impl Overlay {
    /// What cannot be read is left out, as by the transformer, which reports it.
    fn add_record(&mut self, record: &Record) {
        let id = ResourceId::from_key(&record.key);
        if let Some(definition) = id.and_then(|id| Definition::decode(&id, &record.value).ok()) {
            self.definitions.insert(record.transaction, definition);
        }
    }

    fn put(&mut self, id: &ResourceId, spec: &Spec, account: &str) {
        const NOT_YET: Transaction = 0;
        let metadata = Metadata::created(String::new(), account, 0);
        let definition = Definition { id: id.clone(), spec: spec.clone(), metadata };
        self.definitions.insert(NOT_YET, definition);
    }
}
