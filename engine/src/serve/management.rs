//! Starts what serves Envoys.

use std::sync::Arc;

use legation_actors::fleet::{Fleet, FleetSettings, Limits};
use tokio::net::TcpListener;

use super::ServeError;
use super::process::Process;
use crate::admin::ManagementView;
use crate::management::compose::COMPOSER;
use crate::management::connection::Keepalive;
use crate::management::discovery::DiscoveryService;
use crate::management::draining;
use crate::management::feed::{self, Feed};
use crate::management::server::{self, ServerSettings};
use crate::store::Store;

/// Starts the fleet, what feeds it, and what accepts its connections.
pub(super) fn start(
    process: &mut Process,
    store: &Arc<dyn Store>,
    listener: TcpListener,
) -> Result<ManagementView, ServeError> {
    let settings = Arc::clone(&process.settings);
    let (feed_handle, requests) = feed::requests();
    let fleet_settings = FleetSettings {
        arbiters: super::cores(),
        limits: Limits { envoys: settings.max_envoys, envoys_per_node: settings.max_envoys_per_node },
        stall_timeout: settings.stall_timeout,
        control_plane: process.control_plane.clone(),
    };
    let fleet = Arc::new(Fleet::start(fleet_settings, Arc::new(feed_handle.clone()), COMPOSER)?);
    let feed = Feed::new(Arc::clone(store), Arc::clone(&fleet));
    process.run(async move { Ok(feed.run(requests).await?) });
    let server_settings = ServerSettings {
        connections_max: settings.max_envoys,
        reconnect_interval: settings.reconnect_interval,
        reconnects_per_second: settings.reconnects_per_second,
        keepalive: Keepalive { interval: settings.keepalive_interval, timeout: settings.keepalive_timeout },
        drain_timeout: settings.drain_timeout,
    };
    let (drain, draining) = draining::drain();
    let discovery = DiscoveryService::new(Arc::clone(&fleet));
    let shutdown = process.shutdown.clone();
    process.serve_until_the_end(server::serve(listener, discovery, server_settings, draining, shutdown));
    Ok(ManagementView { fleet, feed: feed_handle, drain })
}
