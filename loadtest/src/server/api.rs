//! App Mesh's API, as far as a scenario calls it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::mesh::Call;

/// Calls under way at the same time: a store that syncs commits together is faster with many.
pub(super) const CALLERS: usize = 16;

/// No call takes longer.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The API of the server under test.
#[derive(Clone, Debug)]
pub struct Api {
    endpoint: String,
    agent: ureq::Agent,
}

impl Api {
    /// The API at a URL.
    pub fn new(endpoint: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(TIMEOUT))
            .max_idle_connections_per_host(CALLERS)
            .build();
        Self { endpoint: endpoint.trim_end_matches('/').to_owned(), agent: config.into() }
    }

    /// Makes one call.
    pub fn call(&self, call: &Call) -> anyhow::Result<()> {
        let url = format!("{}/v20190125/{}", self.endpoint, call.path);
        let response = self.agent.put(&url).send_json(&call.body);
        let mut response = response.with_context(|| format!("PUT {url}"))?;
        let text = response.body_mut().read_to_string()?; // to the end, so that the connection stays usable
        if response.status() != 200 {
            bail!("PUT {url} answered {}: {text}", response.status());
        }
        Ok(())
    }

    /// Makes many calls, several at a time, in any order.
    pub fn call_all(&self, calls: &[Call], done: &(dyn Fn() + Sync)) -> anyhow::Result<()> {
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some(call) = calls.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.call(call)?;
                done();
            }
            anyhow::Ok(())
        };
        thread::scope(|scope| {
            let callers: Vec<_> = (0..CALLERS.min(calls.len())).map(|_| scope.spawn(work)).collect();
            callers.into_iter().try_for_each(|caller| match caller.join() {
                Ok(outcome) => outcome,
                Err(panic) => std::panic::resume_unwind(panic),
            })
        })
    }
}
