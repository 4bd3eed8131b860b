//! All hosts, kept current.

use std::collections::BTreeMap;
use std::sync::Arc;

use metrics::{describe_gauge, gauge};
use tokio::sync::watch;

use super::{MEMBERS, Member, MemberId};
use crate::settings::Role;
use crate::store::{Event, Store, StoreError, Watch};

const HOSTS: &str = "legation_hosts";

/// The hosts that are alive: those whose leases have not ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members(BTreeMap<MemberId, Member>);

impl Members {
    /// All of them, by name.
    pub fn all(&self) -> impl Iterator<Item = &Member> {
        self.0.values()
    }

    /// Those that do this.
    pub fn with(&self, role: Role) -> impl Iterator<Item = &Member> {
        self.all().filter(move |member| member.has(role))
    }

    fn apply(&mut self, Event { key, value, .. }: Event) {
        let Some(id) = key.strip_prefix(MEMBERS).map(MemberId::from) else {
            return;
        };
        match value.map(|value| serde_json::from_slice::<Member>(&value)) {
            Some(Ok(member)) => drop(self.0.insert(id, member)),
            Some(Err(error)) => {
                tracing::error!(host = %id, %error, "what a host tells of itself is not understood");
            }
            None => drop(self.0.remove(&id)),
        }
    }
}

impl FromIterator<Member> for Members {
    fn from_iter<T: IntoIterator<Item = Member>>(members: T) -> Self {
        Self(members.into_iter().map(|member| (member.id.clone(), member)).collect())
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

fn measure(members: &Members) {
    for role in Role::ALL {
        #[allow(clippy::cast_precision_loss)] // there are not so many hosts
        gauge!(HOSTS, "role" => role.as_str()).set(members.with(role).count() as f64);
    }
}
