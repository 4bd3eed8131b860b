//! The connections that are open on this host.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::connection_life::ConnectionLife;

/// The connections that are open. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub struct OpenConnections {
    lives: Arc<Mutex<Lives>>,
    served: TaskTracker,
}

#[derive(Debug, Default)]
struct Lives {
    next: u64,
    by_number: HashMap<u64, ConnectionLife>,
}

impl OpenConnections {
    /// How many are open.
    pub fn count(&self) -> usize {
        self.lives().by_number.len()
    }

    /// Adds a connection, for as long as what is returned is kept.
    pub fn add(&self, life: ConnectionLife) -> OpenConnection {
        let mut lives = self.lives();
        let number = lives.next;
        lives.next += 1;
        lives.by_number.insert(number, life);
        OpenConnection { connections: self.clone(), number, _served: self.served.token() }
    }

    /// The numbers of all of them, in the order in which they came.
    pub fn numbers(&self) -> Vec<u64> {
        let mut numbers: Vec<u64> = self.lives().by_number.keys().copied().collect();
        numbers.sort_unstable();
        numbers
    }

    /// The life of one of them, if it is still open.
    pub fn get(&self, number: u64) -> Option<ConnectionLife> {
        self.lives().by_number.get(&number).cloned()
    }

    /// Waits until there is none. No other may be added any more.
    pub async fn ended(&self) {
        self.served.close();
        self.served.wait().await;
    }

    fn lives(&self) -> MutexGuard<'_, Lives> {
        self.lives.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that is open, until this is dropped.
#[derive(Debug)]
pub struct OpenConnection {
    connections: OpenConnections,
    number: u64,
    _served: TaskTrackerToken,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.connections.lives().by_number.remove(&self.number);
    }
}
