//! The thread that ends leases when their time is over. It waits for nothing but the clock, so that a slow disk
//! neither lengthens nor shortens a lease.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use super::state::Shared;

/// Ends leases until it is dropped, which closes the state.
pub(super) struct Expiry {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Expiry {
    pub(super) fn start(shared: Arc<Shared>) -> io::Result<Self> {
        let state = Arc::clone(&shared);
        let thread =
            thread::Builder::new().name("store-leases".to_owned()).spawn(move || state.end_leases())?;
        Ok(Self { shared, thread: Some(thread) })
    }
}

impl Drop for Expiry {
    fn drop(&mut self) {
        self.shared.close();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that ends leases panicked");
        }
    }
}
