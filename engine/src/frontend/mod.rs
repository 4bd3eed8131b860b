//! App Mesh's REST API: validates what is asked, and keeps it in the store. Nothing else is kept here.
//!
//! ```text
//!  HTTP --> http --> command --> create, describe, list, update, delete --> store
//!             ^                                    |
//!             +---- response, error <--------------+
//! ```
//!
//! | module | holds |
//! |---|---|
//! | `operation`, `path` | what can be asked, and under which paths |
//! | `http` | the edge: routes, logs, metrics, what a request becomes and what becomes of its answer |
//! | `caller`, `authentication` | who makes a request, and how that is known |
//! | [`authorisation`] | what they may do |
//! | `body`, `request`, `command` | from bytes to something that can be executed |
//! | `create`, `describe`, `list`, `update`, `delete`, `tagging` | the operations, over the store |
//! | `extension` | what App Mesh never had: `transactions`, `plan`, `history`, `rollback`, and who was denied what |
//! | [`change_set`] | several changes, checked as a whole |
//! | `client_token` | who repeats a request is answered as the first time |
//! | `quotas`, `throttle` | how many resources there may be, and how often a caller may ask |
//! | `lookup` | what they all read from it |
//! | `warnings`, `neighbourhood`, `scope` | what an answer warns of: what is found around what was written |
//! | `linting` | what a set of changes would black-hole |
//! | `references` | which resources a resource needs, and who needs it |
//! | `page` | a piece of a list, and the token for the next |
//! | `response`, `error` | the wire form of answers and of errors |
//!
//! **Guarantee:** each operation is one commit of the store whose preconditions cover everything that it relied
//! on, so the rules hold whatever happens at the same time, in this process and on other hosts: a name is
//! created once, no update is lost, and nothing ever refers to what does not exist. Where a precondition fails
//! the operation starts over, a bounded number of times. There is no lock.

pub mod authentication;
pub mod authorisation;
mod body;
pub mod caller;
pub mod change_set;
mod client_token;
mod command;
mod create;
mod delete;
mod denials;
mod describe;
mod error;
mod extension;
mod history;
mod http;
mod linting;
mod list;
mod lookup;
mod metrics;
pub mod neighbourhood;
mod operation;
mod page;
pub mod path;
mod plan;
pub mod quotas;
pub(crate) mod references;
mod request;
mod response;
mod rollback;
mod scope;
mod tagging;
pub mod throttle;
mod transactions;
mod update;
mod warnings;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use legation_proto::version::Transaction;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::spawn_blocking;

use self::authentication::Authenticator;
use self::authorisation::{Authoriser, Permitted};
pub use self::error::ApiError;
pub use self::http::router;
pub use self::operation::Operation;
pub use self::plan::{ConnectedEnvoys, Planner};
pub use self::quotas::Quotas;
pub use self::throttle::Rates;
use self::throttle::Throttle;
use crate::store::{Batch, CommitError, Precondition, Store, StoreError};

/// How many commits may be made at the same time: more than there can be requests.
const TURNS: u32 = 1 << 20;

/// What the operator decides about the API.
#[derive(Clone, Debug)]
pub struct FrontendSettings {
    /// The region in ARNs.
    pub region: String,
    /// The account in ARNs, which owns everything: 12 digits.
    pub account: String,
    /// The largest body of a request, in bytes.
    pub body_bytes_max: usize,
    /// How many resources there may be.
    pub quotas: Quotas,
    /// How often a caller may ask.
    pub rates: Rates,
}

impl Default for FrontendSettings {
    fn default() -> Self {
        Self {
            region: "us-east-1".to_owned(),
            account: "000000000000".to_owned(),
            body_bytes_max: 1024 * 1024,
            quotas: Quotas::default(),
            rates: Rates::default(),
        }
    }
}

/// The API over a store. Cheap to clone.
#[derive(Clone)]
pub struct Frontend {
    store: Arc<dyn Store>,
    settings: Arc<FrontendSettings>,
    authenticator: Authenticator,
    authoriser: Authoriser,
    throttle: Arc<Throttle>,
    room: body::Room,
    /// Who decodes a large set of changes takes one of them.
    decoding: Arc<Semaphore>,
    planner: Arc<Planner>,
    /// A commit of this host takes one of them, and a set of changes that lost to others too often takes all.
    turns: Arc<Semaphore>,
}

/// How many of the largest bodies of one change there is room for.
const BODIES_HELD: usize = 128;

/// How many large sets of changes are decoded at once: meanwhile they take many times the room of their bodies.
const DECODED_AT_ONCE: usize = 2;

impl Frontend {
    /// The API over `store`, for everybody.
    pub fn new(store: Arc<dyn Store>, settings: FrontendSettings) -> Self {
        metrics::describe();
        let throttle = Arc::new(Throttle::new(settings.rates));
        let room = body::Room::new(settings.body_bytes_max * BODIES_HELD);
        Self {
            store,
            settings: Arc::new(settings),
            authenticator: Authenticator::anonymous(),
            authoriser: Authoriser::permissive(),
            throttle,
            room,
            decoding: Arc::new(Semaphore::new(DECODED_AT_ONCE)),
            planner: Arc::default(),
            turns: Arc::new(Semaphore::new(TURNS as usize)),
        }
    }

    /// The same API for those whom `authenticator` lets in.
    pub fn with_authenticator(self, authenticator: Authenticator) -> Self {
        Self { authenticator, ..self }
    }

    /// The same API for what `authoriser` allows.
    pub fn with_authoriser(self, authoriser: Authoriser) -> Self {
        Self { authoriser, ..self }
    }

    /// The same API, whose plans know what `planner` knows.
    pub fn with_planner(self, planner: Planner) -> Self {
        Self { planner: Arc::new(planner), ..self }
    }

    /// A batch for an `operation` of somebody, which relies on what permitted it and changes nothing yet.
    fn batch(permitted: &Permitted<'_>, operation: Operation) -> Batch {
        let batch = Batch::definitions(permitted.caller.name(), operation.to_string());
        permitted.relies_on.iter().cloned().fold(batch, Batch::require)
    }

    /// The turn to commit; with `is_alone` no other commit of this host is made while it is held.
    async fn turn(&self, is_alone: bool) -> Option<SemaphorePermit<'_>> {
        // nobody closes it
        self.turns.acquire_many(if is_alone { TURNS } else { 1 }).await.ok()
    }

    /// Commits `batch` once it is its turn; [`ApiError::Raced`] says that what it relied on has changed.
    async fn commit(&self, batch: Batch) -> Result<Transaction, ApiError> {
        let _turn = self.turn(false).await;
        self.commit_now(batch).await
    }

    /// Commits `batch`, for who has the turn.
    async fn commit_now(&self, batch: Batch) -> Result<Transaction, ApiError> {
        match self.store.commit(batch).await {
            Ok(transaction) => Ok(transaction),
            Err(CommitError::Conflict { precondition: Precondition::Fewer { family, .. } }) => {
                Err(quotas::reached(&family))
            }
            Err(CommitError::Conflict { .. }) => Err(ApiError::Raced),
            Err(CommitError::Invalid(error)) => Err(ApiError::Batch(error)),
            Err(CommitError::Store(error)) => Err(ApiError::Store(error)),
        }
    }
}

/// Does `work` on a thread where nobody waits for its turn: thousands of definitions take longer than others can.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, StoreError> {
    spawn_blocking(work).await.map_err(|error| StoreError::Storage(Arc::new(error)))
}

/// Milliseconds since 1970 in UTC.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
