//! Tells other hosts of this one, and this one of others.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::ServeError;
use super::process::Process;
use crate::membership::members::Follower;
use crate::membership::{Losses, Member, MemberId, Members, Registration, losses};
use crate::settings::ServeSettings;
use crate::store::Store;

/// The record of this host, until it is ended.
pub(super) struct Registered {
    ending: CancellationToken,
    task: JoinHandle<()>,
}

impl Registered {
    /// Takes the record away.
    pub(super) async fn end(self) {
        self.ending.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the record of this host was not taken away");
        }
    }
}

/// What this host tells of itself.
pub(super) fn member(
    settings: &ServeSettings,
    admin: SocketAddr,
    xds: Option<SocketAddr>,
    api: Option<SocketAddr>,
) -> Member {
    let reachable = |address: SocketAddr| {
        let ip: IpAddr = settings.advertise_addr.unwrap_or(address.ip());
        SocketAddr::new(ip, address.port())
    };
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Member {
        id: MemberId::new(),
        roles: settings.roles.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        admin: reachable(admin),
        xds: xds.map(reachable),
        api: api.map(reachable),
        started_at_ms: i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX),
    }
}

/// Registers this host, and follows all of them.
pub(super) async fn start(
    process: &mut Process,
    store: &Arc<dyn Store>,
    me: Member,
) -> Result<(watch::Receiver<Arc<Members>>, Registered), ServeError> {
    if me.admin.ip().is_loopback() {
        tracing::warn!(
            admin = %me.admin,
            "other machines cannot ask this host: where there are any, say --admin-addr or --advertise-addr"
        );
    }
    let (follower, members) = Follower::new(store.as_ref()).await?;
    process.run(async move { Ok(follower.run().await?) });
    let mut losses = Losses::new(Arc::clone(store), me.id.clone(), members.clone(), losses::KNOWN_FOR);
    process.run(async move { match losses.keep().await {} });
    let mut registration = Registration::new(Arc::clone(store), me, process.settings.lease_time);
    let ending = CancellationToken::new();
    let ended = ending.clone();
    let task = tokio::spawn(async move {
        tokio::select! {
            never = registration.keep() => match never {},
            () = ended.cancelled() => {}
        }
        registration.end().await;
    });
    Ok((members, Registered { ending, task }))
}
