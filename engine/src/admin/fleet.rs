//! All hosts: each is asked for what it tells of itself.

use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use super::client::{self, Method, Timeouts};
use super::host::member_json;
use super::status::FINDINGS_MAX;
use super::wait::{WaitFor, Waiting};
use super::{Admin, status as mine};
use crate::membership::Member;

/// How long a host may take: those who ask for all wait for the slowest.
const TIMEOUTS: Timeouts = Timeouts { connect: Duration::from_secs(2), answer: Duration::from_secs(4) };

/// How long after a host could not be asked it is asked again.
const ASKED_AGAIN: Duration = Duration::from_millis(500);

/// Hosts that are asked at the same time.
const ASKED_AT_ONCE: usize = 64;

/// All hosts, each with what it tells of itself or why it could not be asked.
pub(super) async fn hosts(State(admin): State<Admin>) -> Response {
    let members = admin.members();
    let mut hosts = Vec::new();
    for (member, answer) in ask_all(members, "/host", Duration::ZERO).await {
        hosts.push(answer.unwrap_or_else(|error| {
            let mut host = member_json(&member);
            host["error"] = error.into();
            host
        }));
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
    let (mut count, mut transaction, mut now) = (0, reached, Value::Null);
    for (member, answer) in ask_all(admin.members(), "/status", Duration::ZERO).await {
        let mut answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                let mut host = member_json(&member);
                host["error"] = error.into();
                hosts.push(host);
                continue;
            }
        };
        for envoy in take_all(&mut answer["envoys"]) {
            let mut envoy = envoy;
            envoy["host"] = json!(member.id);
            envoys.push(envoy);
        }
        count += answer["warnings"]["count"].as_u64().unwrap_or_default();
        findings.extend(take_all(&mut answer["warnings"]["findings"]));
        transaction = transaction.max(answer["transaction"].as_u64().unwrap_or_default());
        hosts.push(answer["host"].take());
        now = answer["now"].take();
    }
    findings.truncate(FINDINGS_MAX);
    let warnings = json!({ "count": count, "findings": findings });
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
    let transaction = waiting.transaction;
    let mut done = admin.is_transformed(&waiting).await;
    let (mut envoys, mut hosts) = (Vec::new(), Vec::new());
    if done {
        for (member, answer) in admin.ask_while_there_is_time(&waiting).await {
            match answer {
                Ok(mut answer) => {
                    let is_done = answer["done"] == true;
                    let of_host = take_all(&mut answer["waiting"]);
                    if !is_done && of_host.is_empty() {
                        hosts.push(json!({ "host": member.id, "error": "it is behind" }));
                    }
                    done &= is_done;
                    envoys.extend(of_host);
                }
                Err(error) => {
                    hosts.push(json!({ "host": member.id, "error": error }));
                    done = false;
                }
            }
        }
    }
    Json(json!({ "transaction": transaction, "done": done, "waiting": envoys, "hosts": hosts }))
        .into_response()
}

/// Where the metrics of all hosts are, in the form that Prometheus discovers them by.
pub(super) async fn targets(State(admin): State<Admin>) -> Response {
    let target = |member: Member| {
        let roles: Vec<&str> = member.roles.iter().map(|role| role.as_str()).collect();
        json!({ "targets": [member.admin], "labels": { "host": member.id, "roles": roles.join(",") } })
    };
    Json(admin.members().into_iter().map(target).collect::<Vec<_>>()).into_response()
}

impl Admin {
    /// Has all hosts wait, each until time runs out; one that cannot be asked is asked again for as long as it is there.
    async fn ask_while_there_is_time(&self, waiting: &Waiting) -> Vec<(Member, Result<Value, String>)> {
        let mut answers = Vec::new();
        let mut members = self.members();
        loop {
            let left = waiting.left();
            let path = format!("/wait?transaction={}&timeoutMs={}", waiting.transaction, left.as_millis());
            let (answered, failed): (Vec<_>, Vec<_>) =
                ask_all(members, &path, left).await.into_iter().partition(|(_, answer)| answer.is_ok());
            answers.extend(answered);
            if failed.is_empty() || !waiting.pause_for(ASKED_AGAIN).await {
                answers.extend(failed);
                return answers;
            }
            let there = self.members();
            members = there
                .into_iter()
                .filter(|member| failed.iter().any(|(one, _)| one.id == member.id))
                .collect();
        }
    }

    /// All hosts that are known to be alive, this one included.
    fn members(&self) -> Vec<Member> {
        let hosts = self.hosts.as_ref().map(|hosts| std::sync::Arc::clone(&hosts.borrow()));
        let mut members: Vec<Member> = hosts.iter().flat_map(|hosts| hosts.all()).cloned().collect();
        if !members.iter().any(|member| member.id == self.me.id) {
            members.push(self.me.clone());
        }
        members
    }
}

/// Asks hosts, in the order in which they are given; each answers, or it is told why not.
pub(super) async fn ask_all(
    members: Vec<Member>,
    path: &str,
    patience: Duration,
) -> Vec<(Member, Result<Value, String>)> {
    let questions = members.into_iter().map(|member| async move {
        let url = format!("http://{}{path}", member.admin);
        let asked = spawn_blocking(move || client::ask(Method::Get, &url, TIMEOUTS.with(patience))).await;
        let answer = match asked {
            Ok(Ok(answer)) if !is_of(&answer, &member) => {
                Err("another host answers at its address; does it take --advertise-addr?".to_owned())
            }
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        (member, answer)
    });
    stream::iter(questions).buffered(ASKED_AT_ONCE).collect().await
}

/// Whether it was this host that answered: it may have gone, and another may have come to its address.
fn is_of(answer: &Value, member: &Member) -> bool {
    let host = if answer["host"].is_object() { &answer["host"]["host"] } else { &answer["host"] };
    host.as_str() == Some(member.id.as_str())
}

fn take_all(list: &mut Value) -> Vec<Value> {
    match list.take() {
        Value::Array(all) => all,
        _ => Vec::new(),
    }
}
