//! All hosts: each is asked for what it tells of itself, those that are lost as well. One that is cut off from the store is lost to the
//! others, and yet has Envoys.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::host::member_json;
use super::peers::{PeerError, Peers};
use super::status::FINDINGS_MAX;
use super::wait::{WaitFor, Waiting};
use super::{Admin, status as mine};
use crate::membership::{KnownMember, Member, Members};
use crate::settings::Role;

/// How long after a host could not be asked it is asked again.
const ASKED_AGAIN: Duration = Duration::from_millis(500);

/// Hosts that are asked at the same time by one who asks for all.
const ASKED_AT_ONCE: usize = 64;

/// How long a host waits for its Envoys before it is asked again: so that nobody keeps the others from asking, and that who comes
/// and goes meanwhile is seen.
const WAIT_SLICE: Duration = Duration::from_secs(5);

/// Answers that come within this time are taken to be of the same moment.
const AT_ONCE: Duration = Duration::from_millis(500);

/// A host that can be asked.
#[derive(Clone)]
pub(super) struct Peer {
    pub(super) member: Member,
    /// Since when it is lost, if it is.
    pub(super) lost_since: Option<SystemTime>,
}

impl From<&Member> for Peer {
    fn from(member: &Member) -> Self {
        Self { member: member.clone(), lost_since: None }
    }
}

impl From<&KnownMember> for Peer {
    fn from(known: &KnownMember) -> Self {
        let at = known.lost_at_ms.and_then(|ms| u64::try_from(ms).ok());
        let since = at.map_or_else(SystemTime::now, |ms| UNIX_EPOCH + Duration::from_millis(ms));
        Self { member: known.member.clone(), lost_since: Some(since) }
    }
}

impl Peer {
    fn is_lost(&self) -> bool {
        self.lost_since.is_some()
    }

    /// What is told of it beside what it says, or instead.
    fn mark(&self, host: &mut Value) {
        if let Some(since) = self.lost_since {
            host["lostSince"] = humantime::format_rfc3339_millis(since).to_string().into();
        }
    }

    /// What is told of it when it says nothing.
    fn silent(&self, error: &PeerError) -> Value {
        let mut host = member_json(&self.member);
        host["error"] = error.to_string().into();
        self.mark(&mut host);
        host
    }
}

/// Those that are alive, and those that are lost.
pub(super) fn peers(members: &Members) -> Vec<Peer> {
    members.all().map(Peer::from).chain(members.lost().map(Peer::from)).collect()
}

/// All hosts, each with what it tells of itself or why it could not be asked.
pub(super) async fn hosts(State(admin): State<Admin>) -> Response {
    let mut hosts = Vec::new();
    for (peer, answer) in ask_all(&admin.peers, admin.everybody(), "/host").await {
        hosts.push(match answer {
            Ok(mut host) => {
                peer.mark(&mut host);
                host
            }
            Err(error) => peer.silent(&error),
        });
    }
    // who is cut off tells at least whom it knew, and at once
    let transaction = match admin.store.reach().cut_off_since {
        None => admin.transaction().await,
        Some(_) => None,
    };
    Json(json!({ "transaction": transaction, "hosts": hosts })).into_response()
}

/// As the status of a host, of all.
pub(super) async fn status(State(admin): State<Admin>) -> Response {
    if admin.hosts.is_none() {
        return mine::status(State(admin)).await;
    }
    let reached = admin.store.reach().transaction;
    let (mut envoys, mut findings, mut hosts) = (Vec::new(), Vec::new(), Vec::new());
    let (mut count, mut transaction) = (0, reached);
    for (peer, answer) in ask_all(&admin.peers, admin.with_envoys_if_lost(), "/status").await {
        let mut answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                hosts.push(peer.silent(&error));
                continue;
            }
        };
        envoys.extend(take_envoys(&mut answer["envoys"], &peer));
        transaction = transaction.max(answer["transaction"].as_u64().unwrap_or_default());
        let mut host = answer["host"].take();
        peer.mark(&mut host);
        hosts.push(host);
        // what a transformer found that has lost its meshes is another's to tell
        if !peer.is_lost() {
            count += answer["warnings"]["count"].as_u64().unwrap_or_default();
            findings.extend(take_all(&mut answer["warnings"]["findings"]));
        }
    }
    findings.truncate(FINDINGS_MAX);
    let warnings = json!({ "count": count, "findings": findings });
    let now = mine::rfc3339(SystemTime::now());
    let status = json!({
        "transaction": transaction, "now": now, "envoys": envoys, "warnings": warnings, "hosts": hosts,
    });
    Json(status).into_response()
}

/// As waiting on a host, for the Envoys of all.
pub(super) async fn wait(State(admin): State<Admin>, Query(wait_for): Query<WaitFor>) -> Response {
    if admin.hosts.is_none() {
        return super::wait::wait(State(admin), Query(wait_for)).await;
    }
    let waiting = match wait_for.begin(&admin).await {
        Ok(waiting) => waiting,
        Err(refusal) => return refusal,
    };
    let mut answers = Answers::default();
    let mut done = admin.is_transformed(&waiting).await;
    if done {
        (done, answers) = admin.until_all_have(&waiting).await;
    }
    let now = mine::rfc3339(SystemTime::now());
    Json(json!({
        "transaction": waiting.transaction, "done": done, "now": now,
        "waiting": answers.envoys, "hosts": answers.hosts, "lost": answers.lost,
    }))
    .into_response()
}

/// Where the metrics of all hosts are, in the form that Prometheus discovers them by.
pub(super) async fn targets(State(admin): State<Admin>) -> Response {
    let target = |peer: Peer| {
        let member = peer.member;
        let roles: Vec<&str> = member.roles.iter().map(|role| role.as_str()).collect();
        json!({ "targets": [member.admin], "labels": { "host": member.id, "roles": roles.join(",") } })
    };
    Json(admin.everybody().into_iter().map(target).collect::<Vec<_>>()).into_response()
}

/// What hosts answered that have waited.
#[derive(Default)]
struct Answers {
    /// The Envoys that are behind.
    envoys: Vec<Value>,
    /// The hosts that are behind or do not answer, with the reason.
    hosts: Vec<Value>,
    /// Those that are lost and do not answer.
    lost: Vec<Value>,
}

impl Admin {
    /// Has all hosts wait, again and again until all are done or time runs out; whether they are. Who does not answer is behind for as
    /// long as it has its lease. Envoys move from host to host meanwhile, all of them where a host ends: so unless all were done
    /// at once, all are asked again in the end.
    async fn until_all_have(&self, waiting: &Waiting) -> (bool, Answers) {
        let (mut asked, mut is_everybody) = (self.with_envoys_if_lost(), true);
        let mut is_again = false;
        let mut lost: Vec<Value> = Vec::new();
        loop {
            let started = Instant::now();
            let mut answers = Answers::default();
            let (mut behind, mut has_failed) = (HashSet::new(), false);
            for (peer, answer) in self.have_all_wait(asked, waiting).await {
                let mut host = json!({ "host": peer.member.id, "admin": peer.member.admin });
                peer.mark(&mut host);
                match answer {
                    Ok(answer) if answer["done"] == true => continue,
                    Ok(mut answer) => {
                        let envoys = take_envoys(&mut answer["waiting"], &peer);
                        if let Some(since) = answer["cutOffSince"].as_str() {
                            host["error"] = format!("it is cut off from the store since {since}").into();
                            answers.hosts.push(host);
                        } else if envoys.is_empty() {
                            host["error"] = "it is behind".into();
                            answers.hosts.push(host);
                        }
                        answers.envoys.extend(envoys);
                    }
                    Err(error) => {
                        host["error"] = error.to_string().into();
                        if peer.is_lost() {
                            lost.push(host);
                            continue;
                        }
                        answers.hosts.push(host);
                        has_failed = true;
                    }
                }
                behind.insert(peer.member.id);
            }
            if behind.is_empty() {
                if is_everybody && (is_again || started.elapsed() < AT_ONCE) {
                    return (true, Answers { lost, ..answers });
                }
                is_again = true;
            } else {
                let goes_on =
                    if has_failed { waiting.pause_for(ASKED_AGAIN).await } else { !waiting.left().is_zero() };
                if !goes_on {
                    return (false, Answers { lost, ..answers });
                }
                is_again = false;
            }
            asked = self.with_envoys_if_lost();
            is_everybody = !asked.iter().any(|peer| behind.contains(&peer.member.id));
            if is_everybody {
                lost.clear();
            } else {
                asked.retain(|peer| behind.contains(&peer.member.id));
            }
        }
    }

    /// Has hosts wait for a while.
    async fn have_all_wait(
        &self,
        asked: Vec<Peer>,
        waiting: &Waiting,
    ) -> Vec<(Peer, Result<Value, PeerError>)> {
        let questions = asked.into_iter().map(|peer| async move {
            let slice = waiting.left().min(WAIT_SLICE);
            let path = format!("/wait?transaction={}&timeoutMs={}", waiting.transaction, slice.as_millis());
            let answer = self.peers.ask(&peer.member, &path, slice).await;
            (peer, answer)
        });
        stream::iter(questions).buffered(ASKED_AT_ONCE).collect().await
    }

    /// All hosts that are known to be alive, this one included, and those that are lost.
    fn everybody(&self) -> Vec<Peer> {
        let hosts = self.hosts.as_ref().map(|hosts| Arc::clone(&hosts.borrow()));
        let mut peers = hosts.map(|hosts| peers(&hosts)).unwrap_or_default();
        match peers.iter_mut().find(|peer| peer.member.id == self.me.id) {
            Some(me) => me.lost_since = None,
            None => peers.push(Peer::from(&self.me)),
        }
        peers
    }

    /// The same, but of those that are lost only those that may have Envoys.
    fn with_envoys_if_lost(&self) -> Vec<Peer> {
        let mut peers = self.everybody();
        peers.retain(|peer| !peer.is_lost() || peer.member.has(Role::Management));
        peers
    }
}

/// Asks hosts, in the order in which they are given; each answers, or it is told why not.
pub(super) async fn ask_all(
    client: &Peers,
    asked: Vec<Peer>,
    path: &str,
) -> Vec<(Peer, Result<Value, PeerError>)> {
    let questions = asked.into_iter().map(|peer| async move {
        let answer = client.ask(&peer.member, path, Duration::ZERO).await;
        (peer, answer)
    });
    stream::iter(questions).buffered(ASKED_AT_ONCE).collect().await
}

/// The Envoys that a host tells of, each with the name of the host.
fn take_envoys(list: &mut Value, peer: &Peer) -> Vec<Value> {
    let mut envoys = take_all(list);
    for envoy in &mut envoys {
        envoy["host"] = json!(peer.member.id);
    }
    envoys
}

fn take_all(list: &mut Value) -> Vec<Value> {
    match list.take() {
        Value::Array(all) => all,
        _ => Vec::new(),
    }
}
