//! The metrics of the store.

use std::time::Duration;

use legation_proto::version::Transaction;
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use super::error::CommitError;

const TRANSACTION: &str = "legation_store_transaction";
const OLDEST: &str = "legation_store_oldest_transaction";
const REACHABLE: &str = "legation_store_reachable";
const WATCHED: &str = "legation_store_watched";
const COMMIT_SECONDS: &str = "legation_store_commit_seconds";
const COMMITS_TOTAL: &str = "legation_store_commits_total";
const DAMAGED_TOTAL: &str = "legation_store_damaged_total";

/// Tells the recorder what the metrics mean.
pub(super) fn describe() {
    describe_gauge!(TRANSACTION, "the newest durable transaction");
    describe_gauge!(REACHABLE, "whether the store answers this host: 1, or 0");
    gauge!(REACHABLE).set(1.0);
    describe_gauge!(WATCHED, "whether the store tells this host of changes: 1, or 0");
    gauge!(WATCHED).set(1.0);
    describe_gauge!(OLDEST, "the oldest transaction whose state is known");
    describe_histogram!(
        COMMIT_SECONDS,
        metrics::Unit::Seconds,
        "from a commit of definitions being asked for to its being durable"
    );
    describe_counter!(COMMITS_TOTAL, "batches by outcome: committed, conflict, invalid or failed");
    describe_counter!(DAMAGED_TOTAL, "damaged records that were passed over, each time that one was");
    counter!(DAMAGED_TOTAL).absolute(0);
}

/// The newest transaction.
#[allow(clippy::cast_precision_loss)] // exact up to 2^53 commits
pub(super) fn transaction(newest: Transaction) {
    gauge!(TRANSACTION).set(newest as f64);
}

/// The oldest transaction whose state is known.
#[allow(clippy::cast_precision_loss)] // exact up to 2^53 commits
pub(super) fn oldest(oldest: Transaction) {
    gauge!(OLDEST).set(oldest as f64);
}

/// Whether the store answers.
pub(super) fn reachable(answers: bool) {
    gauge!(REACHABLE).set(f64::from(u8::from(answers)));
}

/// Whether the store tells of changes.
pub(super) fn watched(tells: bool) {
    gauge!(WATCHED).set(f64::from(u8::from(tells)));
}

/// A batch of definitions became durable.
pub(super) fn durable(took: Duration) {
    histogram!(COMMIT_SECONDS).record(took);
}

/// A damaged record was passed over.
pub(super) fn damaged() {
    counter!(DAMAGED_TOTAL).increment(1);
}

/// A batch was answered.
pub(super) fn answered(outcome: &Result<Transaction, CommitError>) {
    let outcome = match outcome {
        Ok(_) => "committed",
        Err(CommitError::Conflict { .. }) => "conflict",
        Err(CommitError::Invalid(_)) => "invalid",
        Err(CommitError::Store(_)) => "failed",
    };
    counter!(COMMITS_TOTAL, "outcome" => outcome).increment(1);
}
