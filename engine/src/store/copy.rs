//! Carrying definitions and their journal from one store to another.
//!
//! The target gets the transactions of the source one by one, in their order and with their times, authors and operations; its
//! numbers are its own. What of the source's past is no longer in its journal comes first, as definitions without a past.
//! A copy that was interrupted goes on where it ended: the target's journal is compared to the source's.

use std::collections::VecDeque;
use std::mem;

use bytes::Bytes;
use legation_proto::v1::{Change, JournalEntry};
use legation_proto::version::Transaction;
use thiserror::Error;

use super::Store;
use super::batch::Batch;
use super::error::{CommitError, StoreError};
use super::limits::Limits;
use super::record::{At, DEFINITIONS};

/// Entries of a journal that are read at once.
const PAGE: usize = 256;

/// Who and what the journal names for definitions that come without their past.
const AUTHOR: &str = "legation store copy";
const OPERATION: &str = "Copy";

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Definitions, and what stands beside them, that both stores have now.
    pub records: usize,
    /// Transactions of the target that were there already.
    pub found: u64,
    /// Transactions of the target that were made.
    pub made: u64,
}

/// Why a store cannot be copied.
#[derive(Debug, Error)]
pub enum CopyError {
    /// The source or the target does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The target does not take a transaction.
    #[error("the target does not take transaction {transaction} of the source, {operation} by {author}")]
    Refused {
        /// Its number in the source.
        transaction: Transaction,
        /// What it was.
        operation: String,
        /// Whose it was.
        author: String,
        /// Why.
        source: CommitError,
    },
    /// The target has a past of its own.
    #[error(
        "the target is no copy of the source: its transaction {transaction} is something else; copy to an empty root"
    )]
    OtherPast {
        /// Its number in the target.
        transaction: Transaction,
    },
    /// The target has forgotten how it began.
    #[error("the journal of the target was pruned, so that it cannot be compared; copy to an empty root")]
    Pruned,
    /// It was copied, and is not the same.
    #[error("after the copy {key} is not what it is in the source: somebody writes to one of the two")]
    Different {
        /// The first key that differs.
        key: String,
    },
}

/// One transaction that the target is to have.
#[derive(Clone, Debug, PartialEq)]
struct Step {
    /// Of the source, for those who read what went wrong.
    transaction: Transaction,
    committed_at_ms: i64,
    author: String,
    operation: String,
    changes: Vec<Change>,
}

impl Step {
    fn is_told_by(&self, entry: &JournalEntry) -> bool {
        (self.committed_at_ms, &self.author, &self.operation, &self.changes)
            == (entry.committed_at_ms, &entry.author, &entry.operation, &entry.changes)
    }

    fn batch(&self) -> Batch {
        let batch = Batch::definitions(self.author.as_str(), self.operation.as_str());
        let batch = batch.committed_at(self.committed_at_ms);
        self.changes.iter().fold(batch, |batch, change| match &change.after {
            Some(value) => batch.put(change.key.as_str(), value.clone()),
            None => batch.delete(change.key.as_str()),
        })
    }
}

/// Copies all definitions and the journal of `source` to `target`, which is empty or the beginning of such a copy, and compares
/// them at the end. `progress` is told how many of the source's transactions are done, and how many there are.
pub async fn copy(
    source: &dyn Store,
    target: &dyn Store,
    mut progress: impl FnMut(Transaction, Transaction) + Send,
) -> Result<Copied, CopyError> {
    if target.oldest().await? > 0 {
        return Err(CopyError::Pruned);
    }
    let mut steps = Steps::new(source, target.limits()).await?;
    let mut copied = Copied::default();
    let mut reached = 0;
    loop {
        let page = target.journal(reached, PAGE).await?;
        let Some(last) = page.last() else { break };
        reached = last.transaction;
        for entry in page {
            match steps.next().await? {
                Some(step) if step.is_told_by(&entry) => copied.found += 1,
                _ => return Err(CopyError::OtherPast { transaction: entry.transaction }),
            }
        }
    }
    while let Some(step) = steps.next().await? {
        let batch = step.batch().if_untouched(DEFINITIONS, reached);
        reached = target.commit(batch).await.map_err(|source| CopyError::Refused {
            transaction: step.transaction,
            operation: step.operation,
            author: step.author,
            source,
        })?;
        copied.made += 1;
        progress(step.transaction, steps.newest);
    }
    copied.records = compare(source, target).await?;
    Ok(copied)
}

/// Everything that is to be done, in its order: the same for the same source and the same limits.
struct Steps<'a> {
    source: &'a dyn Store,
    limits: Limits,
    /// The last transaction that was read.
    read: Transaction,
    newest: Transaction,
    waiting: VecDeque<Step>,
}

impl<'a> Steps<'a> {
    async fn new(source: &'a dyn Store, limits: Limits) -> Result<Self, StoreError> {
        let (oldest, newest) = (source.oldest().await?, source.newest().await?);
        let mut steps = Self { source, limits, read: oldest, newest, waiting: VecDeque::new() };
        let first = source.journal(oldest, 1).await?;
        let base = source.list(DEFINITIONS, At::Transaction(oldest)).await?;
        let changes = base.records.into_iter().map(|record| Change {
            key: record.key.to_string(),
            before: None,
            after: Some(record.value),
        });
        steps.add(Step {
            transaction: oldest,
            // times only grow
            committed_at_ms: first.first().map_or(0, |entry| entry.committed_at_ms),
            author: AUTHOR.to_owned(),
            operation: OPERATION.to_owned(),
            changes: changes.collect(),
        });
        Ok(steps)
    }

    async fn next(&mut self) -> Result<Option<Step>, StoreError> {
        if self.waiting.is_empty() {
            for entry in self.source.journal(self.read, PAGE).await? {
                self.read = entry.transaction;
                let JournalEntry { transaction, committed_at_ms, author, operation, changes } = entry;
                self.add(Step { transaction, committed_at_ms, author, operation, changes });
            }
        }
        Ok(self.waiting.pop_front())
    }

    /// Divides what the target cannot take at once.
    fn add(&mut self, step: Step) {
        let mut part = Vec::new();
        let mut bytes = 0;
        let Step { changes, .. } = step;
        let with = |changes| Step {
            changes,
            author: step.author.clone(),
            operation: step.operation.clone(),
            ..step
        };
        for change in changes {
            let size = |value: &Option<Bytes>| value.as_ref().map_or(0, Bytes::len);
            // both are in the journal
            let size = change.key.len() + size(&change.after) + size(&change.before);
            let is_full =
                part.len() == self.limits.definition_changes || bytes + size > self.limits.batch_bytes;
            if is_full && !part.is_empty() {
                self.waiting.push_back(with(mem::take(&mut part)));
                bytes = 0;
            }
            bytes += size;
            part.push(change);
        }
        if !part.is_empty() {
            self.waiting.push_back(with(part));
        }
    }
}

/// How many records both have, if they are the same.
async fn compare(source: &dyn Store, target: &dyn Store) -> Result<usize, CopyError> {
    let (of_source, of_target) = (
        source.list(DEFINITIONS, At::Newest).await?.records,
        target.list(DEFINITIONS, At::Newest).await?.records,
    );
    let mut others = of_target.iter();
    for record in &of_source {
        match others.next() {
            Some(other) if (&other.key, &other.value) == (&record.key, &record.value) => {}
            Some(other) => {
                let key = other.key.as_ref().min(record.key.as_ref()).to_owned();
                return Err(CopyError::Different { key });
            }
            None => return Err(CopyError::Different { key: record.key.to_string() }),
        }
    }
    match others.next() {
        Some(other) => Err(CopyError::Different { key: other.key.to_string() }),
        None => Ok(of_source.len()),
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Handle;
    use tokio::task::block_in_place;

    use super::*;
    use crate::store::{EmbeddedStore, Kept};

    struct Stores {
        source: EmbeddedStore,
        target: EmbeddedStore,
        _directories: [tempfile::TempDir; 2],
    }

    impl Stores {
        fn new() -> Self {
            let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
            let [source, target] =
                [0, 1].map(|index: usize| EmbeddedStore::open(directories[index].path()).unwrap());
            Self { source, target, _directories: directories }
        }

        async fn copy(&self) -> Result<Copied, CopyError> {
            copy(&self.source, &self.target, |_, _| {}).await
        }

        /// Definitions that come, change and go, by several authors.
        async fn write(&self, from: usize, to: usize) {
            for number in from..to {
                let batch =
                    Batch::definitions(format!("author-{}", number % 3), format!("Operation{number}"))
                        .put(format!("definitions/{}", number % 7), number.to_string())
                        .delete(format!("definitions/{}", (number + 3) % 7));
                self.source.commit(batch).await.unwrap();
            }
        }

        /// What a journal tells, without its numbers.
        async fn told(store: &EmbeddedStore) -> Vec<JournalEntry> {
            let mut entries = store.journal(0, usize::MAX).await.unwrap();
            for entry in &mut entries {
                entry.transaction = 0;
            }
            entries
        }
    }

    #[tokio::test]
    async fn definitions_and_journal_are_the_same_afterwards() {
        let stores = Stores::new();
        assert_eq!(stores.copy().await.unwrap(), Copied::default(), "an empty store is copied");
        stores.write(0, 600).await;
        // numbers of their own
        let unused = Batch::derived().put("derived/x", "x");
        stores.target.commit(unused).await.unwrap();
        let copied = stores.copy().await.unwrap();
        assert_eq!((copied.found, copied.made), (0, 600));
        assert_eq!(Stores::told(&stores.source).await, Stores::told(&stores.target).await);
        let records = stores.source.list(DEFINITIONS, At::Newest).await.unwrap().records;
        assert_eq!(copied.records, records.len());
    }

    #[tokio::test]
    async fn it_goes_on_where_it_ended() {
        let stores = Stores::new();
        stores.write(0, 300).await;
        stores.copy().await.unwrap();
        stores.write(300, 310).await;
        let copied = stores.copy().await.unwrap();
        assert_eq!((copied.found, copied.made), (300, 10));
        let copied = stores.copy().await.unwrap();
        assert_eq!((copied.found, copied.made), (310, 0));
        assert_eq!(Stores::told(&stores.source).await, Stores::told(&stores.target).await);
    }

    #[tokio::test]
    async fn what_has_no_past_any_more_comes_first() {
        let stores = Stores::new();
        stores.write(0, 50).await;
        stores.source.prune(Kept { entries_max: 10, since_ms: i64::MIN }).await.unwrap();
        let copied = stores.copy().await.unwrap();
        assert_eq!((copied.found, copied.made), (0, 11));
        let journal = stores.target.journal(0, 1).await.unwrap();
        assert_eq!((journal[0].author.as_str(), journal[0].operation.as_str()), (AUTHOR, OPERATION));
        let told = [&stores.source, &stores.target].map(Stores::told);
        let [source, target] = told;
        let (source, target) = (source.await, target.await);
        assert_eq!(source, target[1..]);
        assert_eq!(target[0].committed_at_ms, source[0].committed_at_ms, "no earlier than it is known");
        assert_eq!(stores.copy().await.unwrap().found, 11, "and it is known again");
    }

    #[tokio::test]
    async fn a_target_with_another_past_is_refused() {
        let stores = Stores::new();
        stores.write(0, 5).await;
        stores.copy().await.unwrap();
        let own = Batch::definitions("somebody", "Else").put("definitions/own", "1");
        let own = stores.target.commit(own).await.unwrap();
        stores.write(5, 6).await;
        let refused = stores.copy().await.unwrap_err();
        assert!(matches!(refused, CopyError::OtherPast { transaction } if transaction == own), "{refused}");
        stores.target.prune(Kept { entries_max: 1, since_ms: i64::MIN }).await.unwrap();
        assert!(matches!(stores.copy().await, Err(CopyError::Pruned)));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_target_that_somebody_writes_to_meanwhile_is_left_alone() {
        let stores = Stores::new();
        stores.write(0, 5).await;
        let own = || Batch::definitions("somebody", "Else").put("definitions/own", "1");
        let outcome = copy(&stores.source, &stores.target, |transaction, _| {
            if transaction == 2 {
                let writing = stores.target.commit(own());
                block_in_place(|| Handle::current().block_on(writing)).unwrap();
            }
        });
        let refused = outcome.await.unwrap_err();
        let CopyError::Refused { transaction: 3, source: CommitError::Conflict { .. }, .. } = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(Stores::told(&stores.target).await.len(), 3, "nothing came after what somebody wrote");
    }

    #[tokio::test]
    async fn what_the_target_cannot_take_at_once_is_divided() {
        let stores = Stores::new();
        let large = (0..250).fold(Batch::definitions("a", "Apply"), |batch, number| {
            batch.put(format!("definitions/{number:03}"), vec![b'x'; 10_000])
        });
        stores.source.commit(large).await.unwrap();
        let mut steps = Steps::new(&stores.source, Limits::default()).await.unwrap();
        let mut sizes = Vec::new();
        while let Some(step) = steps.next().await.unwrap() {
            assert_eq!((step.author.as_str(), step.operation.as_str()), ("a", "Apply"));
            sizes.push(step.changes.len());
            Limits::default().check(&step.batch()).unwrap();
        }
        assert_eq!(sizes, [71, 71, 71, 37]);
    }

    #[tokio::test]
    async fn stores_that_differ_are_told_apart() {
        let stores = Stores::new();
        stores.write(0, 3).await;
        stores.copy().await.unwrap();
        let differs = async |expected: &str| match compare(&stores.source, &stores.target).await {
            Err(CopyError::Different { key }) => assert_eq!(key, expected),
            other => panic!("{other:?}"),
        };
        let put = |key: &str, value: &str| Batch::definitions("x", "X").put(key.to_owned(), value.to_owned());
        stores.source.commit(put("definitions/zz", "1")).await.unwrap();
        differs("definitions/zz").await;
        stores.target.commit(put("definitions/zz", "2")).await.unwrap();
        differs("definitions/zz").await;
        stores.source.commit(put("definitions/zz", "2")).await.unwrap();
        compare(&stores.source, &stores.target).await.unwrap();
        stores.target.commit(put("definitions/a", "1")).await.unwrap();
        differs("definitions/a").await;
        stores.source.commit(put("definitions/a", "1")).await.unwrap();
        stores.target.commit(put("definitions/zzz", "1")).await.unwrap();
        differs("definitions/zzz").await;
    }
}
