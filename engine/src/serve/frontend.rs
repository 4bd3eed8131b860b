//! Starts the API.

use std::sync::Arc;

use tokio::net::TcpListener;

use super::ServeError;
use super::process::Process;
use crate::frontend::authentication::{AccessKeys, Authenticator};
use crate::frontend::authorisation::{Authoriser, Denials, Policies};
use crate::frontend::{self, ConnectedEnvoys, Frontend, FrontendSettings, Planner};
use crate::http_server::Versions;
use crate::store::Store;
use crate::tls::server::Transport;

/// Largest body of an API request, in bytes.
const BODY_BYTES_MAX: usize = 1 << 20;

/// The file in the data directory that tells who was denied what.
const DENIALS: &str = "denials.json";

/// Who is let in, to what, and how they are spoken to: from files that are watched.
pub(super) struct Guard {
    authenticator: Authenticator,
    authoriser: Authoriser,
    transport: Transport,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            authenticator: Authenticator::anonymous(),
            authoriser: Authoriser::permissive(),
            transport: Transport::clear_text(),
        }
    }
}

impl Guard {
    /// As the settings of the process say.
    pub(super) fn watch(process: &mut Process) -> Result<Self, ServeError> {
        let settings = Arc::clone(&process.settings);
        let mut guard = Self::default();
        if settings.api_addr.ip().is_loopback() {
            guard.authenticator = Authenticator::anonymous_and_local();
        }
        if let Some(path) = &settings.access_keys {
            let (files, keys) = AccessKeys::watch(path.clone())?;
            process.run(async move { Ok(files.keep_current().await?) });
            guard.authenticator = Authenticator::new(keys, &settings.region);
        }
        if let Some(path) = &settings.policies {
            if settings.access_keys.is_none() {
                tracing::warn!(
                    "there are policies and no access keys: everybody is User::\"anonymous\" to them, in no group"
                );
            }
            let (files, policies) = Policies::watch(path.clone())?;
            process.run(async move { Ok(files.keep_current().await?) });
            guard.authoriser = Authoriser::new(policies, denials(process));
        }
        if let Some(certificate) = &settings.api_certificate {
            let (files, config) = certificate.clone().watch("api_certificate", &["http/1.1"])?;
            process.run(async move { Ok(files.keep_current().await?) });
            guard.transport = Transport::tls(config);
        }
        Ok(guard)
    }
}

/// What was denied: with the embedded store it survives the process in the data directory. A host of several keeps nothing.
fn denials(process: &mut Process) -> Arc<Denials> {
    if !process.settings.store.is_embedded() {
        return Arc::default();
    }
    let path = process.settings.data_dir.join(DENIALS);
    let denials = Arc::new(Denials::load(&path));
    let keeping = Arc::clone(&denials).keep(path.clone());
    process.run(async move { Ok(keeping.await?) });
    let last = Arc::clone(&denials);
    process.at_last(move || last.save(&path));
    denials
}

/// Serves the API. Plans tell how many Envoys are `connected`.
pub(super) fn start(
    process: &mut Process,
    store: &Arc<dyn Store>,
    guard: Guard,
    connected: Option<Arc<dyn ConnectedEnvoys>>,
    listener: TcpListener,
) {
    let settings = Arc::clone(&process.settings);
    let mut frontend = Frontend::new(
        Arc::clone(store),
        FrontendSettings {
            region: settings.region.clone(),
            account: settings.account_id.clone(),
            body_bytes_max: BODY_BYTES_MAX,
            quotas: settings.quotas,
            rates: settings.rates,
        },
    )
    .with_authenticator(guard.authenticator)
    .with_authoriser(guard.authoriser);
    if let Some(connected) = connected {
        frontend = frontend.with_planner(Planner::new(process.control_plane.clone(), connected));
    }
    process.serve(listener, guard.transport, frontend::router(frontend), Versions::Http1);
}
