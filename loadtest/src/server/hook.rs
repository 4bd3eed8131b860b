//! The hook by which servers of recorded content are told to change it (`benches/peers/README.md`).

use std::time::Duration;

use anyhow::{Context, bail};

/// No call takes longer.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The hook of the server under test.
#[derive(Clone, Debug)]
pub struct Hook {
    endpoint: String,
    agent: ureq::Agent,
}

impl Hook {
    /// The hook at a URL.
    pub fn new(endpoint: &str) -> Self {
        let config =
            ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(TIMEOUT)).build();
        Self { endpoint: endpoint.trim_end_matches('/').to_owned(), agent: config.into() }
    }

    /// Makes `variant` of `change` be.
    pub fn change(&self, change: usize, variant: usize) -> anyhow::Result<()> {
        let url = format!("{}/changes/{change}/variants/{variant}", self.endpoint);
        let mut response = self.agent.put(&url).send_empty().with_context(|| format!("PUT {url}"))?;
        let text = response.body_mut().read_to_string()?;
        if response.status() != 204 {
            bail!("PUT {url} answered {}: {text}", response.status());
        }
        Ok(())
    }
}
