//! Whether a batch may be committed on what was seen.

use std::collections::HashMap;
use std::sync::Arc;

use etcd_client::{Compare, CompareOp};
use legation_proto::version::Transaction;

use super::keys::Number;
use super::reads::{Reader, Seen};
use crate::store::batch::{Batch, Precondition};
use crate::store::error::StoreError;
use crate::store::family::Family;
use crate::store::record::is_definition;

/// Commits that are looked through: after more of them, something may have changed.
const RECENT: Number = 1000;

/// The first precondition that does not hold on what was `seen`.
pub(super) async fn first_conflict(
    reader: &Reader,
    seen: &Seen,
    preconditions: &[Precondition],
) -> Result<Option<Precondition>, StoreError> {
    let mut counts = HashMap::new();
    for precondition in preconditions {
        let holds = match precondition {
            Precondition::Absent { key } => seen.get(key)?.is_none(),
            Precondition::Present { key } => seen.get(key)?.is_some(),
            Precondition::Unchanged { key, transaction } => {
                seen.get(key)?.is_some_and(|record| record.transaction == *transaction)
            }
            Precondition::Equal { key, value } => seen.get(key)?.is_some_and(|record| record.value == *value),
            Precondition::Empty { prefix } => !reader.has_any(prefix, seen.revision).await?,
            Precondition::Fewer { family, than } => {
                let count = match counts.get(family) {
                    Some(count) => *count,
                    None => {
                        let count = count(reader, family, *than, seen.revision).await?;
                        counts.insert(family.clone(), count);
                        count
                    }
                };
                count < *than
            }
            Precondition::Untouched { prefix, since } => is_untouched(reader, seen, prefix, *since).await?,
        };
        if !holds {
            return Ok(Some(precondition.clone()));
        }
    }
    Ok(None)
}

/// How many keys a family had at `revision`; more may be told of one that has fewer than `enough` in any case.
async fn count(reader: &Reader, family: &Family, enough: usize, revision: i64) -> Result<usize, StoreError> {
    // a number is cheaper than the keys themselves, and mostly tells enough
    let all = reader.count(&family.before, revision).await?;
    if all < enough {
        return Ok(all);
    }
    let found = reader.keys_under(&family.before, revision).await?;
    let keys = found.iter().filter_map(|found| reader.keys.of_data(found.key()));
    Ok(keys.filter(|key| family.contains(key)).count())
}

async fn is_untouched(
    reader: &Reader,
    seen: &Seen,
    prefix: &str,
    since: Transaction,
) -> Result<bool, StoreError> {
    if since >= seen.head.transaction {
        return Ok(true);
    }
    // what was deleted is not there to be found, but the commits are
    let (_, extent) = reader.extent().await?;
    if since < extent.oldest() {
        return Ok(false);
    }
    let first = reader.first_after(&extent, since).await?;
    let end = seen.head.number + 1;
    if end.saturating_sub(first) > RECENT {
        return Ok(false);
    }
    let changed = reader.changed(first..end).await?;
    let is_whole = changed.len() as Number == end - first; // unless they were pruned in the meantime
    Ok(is_whole && changed.iter().all(|(_, changed)| changed.keys.iter().all(|key| !key.starts_with(prefix))))
}

/// The keys that are to be seen for these preconditions.
pub(super) fn keys_of(batch: &Batch) -> impl Iterator<Item = &Arc<str>> {
    let preconditions = batch.preconditions.iter().filter(|precondition| is_about_a_key(precondition));
    preconditions.map(Precondition::key)
}

/// What etcd must find for what was seen to be so still. The head stands for all definitions: each commit of them changes it.
pub(super) fn guards(
    reader: &Reader,
    seen: &Seen,
    batch: &Batch,
    is_about_definitions: bool,
) -> Vec<Compare> {
    let mut guards = Vec::new();
    let is_definitions = |key: &str| is_definition(key) || crate::store::record::is_remembered(key);
    if is_about_definitions
        || batch.preconditions.iter().any(|precondition| is_definitions(precondition.key()))
    {
        let head = super::stored::revision(seen.head.transaction);
        guards.push(Compare::mod_revision(reader.keys.head(), CompareOp::Equal, head));
    }
    for precondition in &batch.preconditions {
        let key = precondition.key();
        // what is remembered goes without a commit
        if is_definition(key) {
            continue;
        }
        let name = reader.keys.data(key);
        guards.push(if is_about_a_key(precondition) {
            Compare::mod_revision(name, CompareOp::Equal, seen.mod_revision(key))
        } else {
            Compare::create_revision(name, CompareOp::Equal, 0).with_prefix()
        });
    }
    guards
}

fn is_about_a_key(precondition: &Precondition) -> bool {
    !matches!(
        precondition,
        Precondition::Empty { .. } | Precondition::Fewer { .. } | Precondition::Untouched { .. }
    )
}
