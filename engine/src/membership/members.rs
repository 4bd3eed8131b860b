//! All hosts, kept current.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use metrics::{describe_gauge, gauge};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::{ALIVE, KNOWN, KnownMember, MEMBERS, Member, MemberId};
use crate::settings::Role;
use crate::store::{Event, Store, StoreError, Watch};

const HOSTS: &str = "legation_hosts";
const LOST: &str = "legation_hosts_lost";

/// The hosts that are alive, which are those whose leases have not ended; and those that are lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    alive: BTreeMap<MemberId, Member>,
    known: BTreeMap<MemberId, KnownMember>,
    moves: u64,
}

impl Members {
    /// All that are alive, by name.
    pub fn all(&self) -> impl Iterator<Item = &Member> {
        self.alive.values()
    }

    /// Those that do this.
    pub fn with(&self, role: Role) -> impl Iterator<Item = &Member> {
        self.all().filter(move |member| member.has(role))
    }

    /// Whether this host is alive.
    pub fn has(&self, id: &MemberId) -> bool {
        self.alive.contains_key(id)
    }

    /// Those whose lease has ended without a farewell, by name, until they are forgotten.
    pub fn lost(&self) -> impl Iterator<Item = &KnownMember> {
        self.gone().filter(|known| !self.is_replaced(&known.member))
    }

    /// Those that are known and not alive.
    pub(super) fn gone(&self) -> impl Iterator<Item = &KnownMember> {
        self.known.values().filter(|known| !self.has(&known.member.id))
    }

    /// Whether another host is alive at its address: it was started again.
    pub(super) fn is_replaced(&self, gone: &Member) -> bool {
        self.all().any(|member| member.admin == gone.admin)
    }

    /// How often a host has come or gone, as far as this was told.
    pub(super) fn moves(&self) -> u64 {
        self.moves
    }

    pub(super) fn apply(&mut self, Event { key, value, .. }: Event) {
        let outcome = if let Some(id) = key.strip_prefix(ALIVE) {
            self.moves += 1;
            put(&mut self.alive, id.into(), value.as_ref(), |member, _| member)
        } else if let Some(id) = key.strip_prefix(KNOWN) {
            let with_record = |known, record: &Bytes| KnownMember { record: record.clone(), ..known };
            put(&mut self.known, id.into(), value.as_ref(), with_record)
        } else {
            return;
        };
        if let Err(error) = outcome {
            tracing::error!(%key, %error, "what a host tells of itself is not understood");
        }
    }
}

fn put<M: DeserializeOwned>(
    members: &mut BTreeMap<MemberId, M>,
    id: MemberId,
    record: Option<&Bytes>,
    and: impl Fn(M, &Bytes) -> M,
) -> serde_json::Result<()> {
    match record {
        Some(record) => members.insert(id, and(serde_json::from_slice(record)?, record)),
        None => members.remove(&id),
    };
    Ok(())
}

impl FromIterator<Member> for Members {
    fn from_iter<T: IntoIterator<Item = Member>>(members: T) -> Self {
        let alive = members.into_iter().map(|member| (member.id.clone(), member)).collect();
        Self { alive, ..Self::default() }
    }
}

/// Follows the hosts in the store.
pub struct Follower {
    watch: Watch,
    members: watch::Sender<Arc<Members>>,
}

impl Follower {
    /// The hosts of this moment, and what follows them.
    pub async fn new(store: &dyn Store) -> Result<(Self, watch::Receiver<Arc<Members>>), StoreError> {
        describe_gauge!(HOSTS, "hosts that are alive, by what they do");
        describe_gauge!(LOST, "hosts that went without a farewell");
        let (listing, watch) = store.list_and_watch(MEMBERS).await?;
        let mut members = Members::default();
        for record in listing.records {
            members.apply(Event {
                key: record.key,
                value: Some(record.value),
                transaction: record.transaction,
            });
        }
        measure(&members);
        let (members, receiver) = watch::channel(Arc::new(members));
        Ok((Self { watch, members }, receiver))
    }

    /// Follows until the store ends.
    pub async fn run(mut self) -> Result<(), StoreError> {
        loop {
            let events = self.watch.next().await?;
            let mut members = Members::clone(&self.members.borrow());
            for event in events {
                members.apply(event);
            }
            measure(&members);
            self.members.send_if_modified(|known| {
                let is_new = **known != members;
                *known = Arc::new(members);
                is_new
            });
        }
    }
}

#[allow(clippy::cast_precision_loss)] // there are not so many hosts
fn measure(members: &Members) {
    gauge!(LOST).set(members.lost().count() as f64);
    for role in Role::ALL {
        gauge!(HOSTS, "role" => role.as_str()).set(members.with(role).count() as f64);
    }
}
