//! What every implementation of [`Store`] must do, as tests over a fresh, empty store.
//!
//! An implementation runs them all with [`contract_tests!`], which is given a function that opens a fresh store
//! with [`Fresh`] around it. What only one implementation promises is tested beside that implementation.

mod commits;
mod families;
mod hooked;
mod keys;
mod leases;
mod limits;
mod memory;
mod past;
mod retention;
mod watches;

pub(crate) use self::commits::*;
pub(crate) use self::families::*;
pub(crate) use self::hooked::{Hooked, Slow};
pub(crate) use self::keys::*;
pub(crate) use self::leases::*;
pub(crate) use self::limits::*;
pub(crate) use self::memory::*;
pub(crate) use self::past::*;
pub(crate) use self::retention::*;
pub(crate) use self::watches::*;

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use legation_proto::version::Transaction;

use super::{Batch, CommitError, Event, Listing, Precondition, Store, Watch};

/// A fresh store, and what must outlive it.
pub(crate) struct Fresh {
    pub(crate) store: Arc<dyn Store>,
    /// The shortest lease that this implementation keeps exactly enough for a test.
    pub(crate) short_lease: Duration,
    pub(crate) _keep: Box<dyn Any>,
}

/// Runs the contract for an implementation: `contract_tests!(open)` where `open: fn() -> Fresh`.
macro_rules! contract_tests {
    ($open:path) => {
        $crate::store::contract::contract_tests!($open:
            a_list_is_sorted_and_has_its_prefix_only,
            get_gives_the_newest_record,
            every_precondition_holds_or_conflicts,
            the_first_precondition_that_fails_is_named,
            a_conflict_changes_nothing,
            a_batch_without_a_change_left_takes_no_number,
            numbers_only_grow_under_concurrent_writers,
            no_update_is_lost_with_unchanged,
            derived_data_takes_no_number_and_no_journal_entry,
            the_journal_is_exact,
            the_journal_is_read_in_pages,
            the_journal_is_read_backwards,
            the_journal_of_a_key_is_its_entries,
            untouched_is_what_did_not_change,
            fewer_counts_the_keys_of_a_family,
            fewer_holds_under_concurrent_writers,
            what_is_remembered_is_committed_with_its_batch,
            what_is_remembered_is_remembered_once,
            what_is_remembered_goes_after_its_time,
            what_breaks_a_limit_is_refused,
            what_mixes_kinds_is_refused,
            what_is_at_a_limit_is_committed,
            the_past_needs_a_known_transaction_of_definitions,
            the_past_is_listed_as_it_was,
            past_listings_equal_a_model,
            what_was_pruned_is_too_old,
            what_is_too_old_for_its_age_is_pruned,
            pruned_listings_equal_a_model,
            pruning_and_commits_do_not_disturb_each_other,
            a_watch_gives_changes_and_deletions,
            a_watch_sees_its_prefix_only,
            a_watch_resumes_from_a_transaction,
            a_commit_has_the_time_that_the_journal_tells,
            a_watch_gives_a_transaction_whole,
            a_slow_watcher_gets_the_latest_state,
            a_cancelled_read_of_a_watch_loses_nothing,
            a_watch_has_no_gap_while_writes_go_on,
            list_and_watch_has_no_gap_for_derived_data,
            a_watched_key_gives_its_state_and_its_changes,
            a_watched_key_is_that_key_alone,
            watched_keys_have_no_gap_while_writes_go_on,
            what_is_settled_can_be_read,
            segments_are_told_once,
            a_lease_that_is_not_kept_alive_takes_its_keys_along,
            a_lease_that_is_kept_alive_stays,
            a_revoked_lease_takes_its_keys_along,
            a_key_leaves_its_lease_when_it_is_put_again,
            a_lease_that_ended_is_unknown,
        );
    };
    ($open:path: $($test:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let fresh = $open();
                $crate::store::contract::$test(&fresh).await;
            }
        )*
    };
}
pub(crate) use contract_tests;

/// Long enough for anything that should happen; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// A batch of definitions whose author and operation do not matter.
fn definitions() -> Batch {
    Batch::definitions("tester", "Test")
}

async fn put(store: &dyn Store, key: &str, value: &str) -> Transaction {
    let batch = definitions().put(key, value.to_owned());
    store.commit(batch).await.expect("a plain put is committed")
}

async fn put_derived(store: &dyn Store, key: &str, value: &str) -> Transaction {
    let batch = Batch::derived().put(key, value.to_owned());
    store.commit(batch).await.expect("a plain put is committed")
}

async fn delete(store: &dyn Store, key: &str) -> Transaction {
    store.commit(definitions().delete(key)).await.expect("a plain delete is committed")
}

async fn newest(store: &dyn Store) -> Transaction {
    let newest = store.newest().await.expect("tells");
    let listing = store.list("none/", super::At::Newest).await.expect("lists");
    assert!(listing.transaction >= newest, "a listing is as new as that");
    newest
}

/// The precondition that a batch is refused for.
async fn conflict(store: &dyn Store, batch: Batch) -> Precondition {
    match store.commit(batch).await {
        Err(CommitError::Conflict { precondition }) => precondition,
        other => panic!("expected a conflict, got {other:?}"),
    }
}

async fn next(watch: &mut Watch) -> Vec<Event> {
    let events = tokio::time::timeout(PATIENCE, watch.next()).await;
    let events = events.expect("something changed").expect("the watch goes on");
    assert!(!events.is_empty(), "a watch never answers with nothing");
    events
}

/// Whether the watch has nothing to give for a while.
async fn is_quiet(watch: &mut Watch) -> bool {
    tokio::time::timeout(Duration::from_millis(50), watch.next()).await.is_err()
}

fn event(key: &str, value: Option<&str>, transaction: Transaction) -> Event {
    Event { key: key.into(), value: value.map(|value| Bytes::from(value.to_owned())), transaction }
}

/// A listing as text, for comparisons that can be read.
fn text(listing: &Listing) -> Vec<(String, String, Transaction)> {
    let records = listing.records.iter();
    let text = records.map(|record| (record.key.to_string(), lossy(&record.value), record.transaction));
    text.collect()
}

fn lossy(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}

/// What a watcher knows: the state that its listing and its events add up to.
struct Follower {
    state: BTreeMap<Arc<str>, Bytes>,
    transaction: Transaction,
}

impl Follower {
    fn new(listing: Listing) -> Self {
        let state = listing.records.into_iter().map(|record| (record.key, record.value));
        Self { state: state.collect(), transaction: listing.transaction }
    }

    /// Takes over events, which must come in order.
    fn apply(&mut self, events: Vec<Event>) {
        for event in events {
            assert!(event.transaction >= self.transaction, "events come in order");
            self.transaction = event.transaction;
            match event.value {
                Some(value) => self.state.insert(event.key, value),
                None => self.state.remove(&event.key),
            };
        }
    }

    fn value(&self, key: &str) -> Option<String> {
        self.state.get(key).map(|value| lossy(value))
    }
}
