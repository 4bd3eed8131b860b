//! `legation status`: which Envoys are connected, and whether they are in sync.

use std::time::{Duration, SystemTime};

use comfy_table::{Table, presets};
use legation_proto::resource_type::ResourceType;
use serde_json::Value;

use super::admin::AdminArgs;
use super::age::age;
use super::failure::{Failure, print};
use super::hosts::lost;
use super::lint::finding_line;

/// Show which Envoys are connected, and whether they are in sync
///
/// An Envoy is in sync when it has accepted everything that it should have. For each type of resource the version that it
/// accepted last is shown, and how long ago that was; or what it was sent since and has rejected or not answered. Versions are
/// the number of the newest transaction in them and the beginning of a content hash; -o json shows all of it. Where there are
/// several hosts, the Envoys of all are shown.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  legation status --admin http://127.0.0.1:8081 -o json")]
pub(super) struct StatusArgs {
    #[command(flatten)]
    admin: AdminArgs,

    /// How to show it
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Output,
}

/// How to show the status.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Output {
    /// A table for people
    Table,
    /// What /fleet/status answers
    Json,
}

/// Asks for the status and shows it.
pub(super) fn run(args: &StatusArgs) -> Result<(), Failure> {
    let status = args.admin.get("/fleet/status", Duration::ZERO)?;
    match args.output {
        Output::Json => print(&format!(
            "{status:#}
"
        )),
        Output::Table => print(&render(&status)),
    }
}

fn render(status: &Value) -> String {
    let no_envoys = Vec::new();
    let envoys = status["envoys"].as_array().unwrap_or(&no_envoys);
    let synced = envoys.iter().filter(|envoy| envoy["synced"] == true).count();
    let mut text = format!(
        "transaction {}, {} envoys connected, {synced} in sync\n",
        status["transaction"],
        envoys.len()
    );
    for host in status["hosts"].as_array().into_iter().flatten() {
        let name = host["host"].as_str().unwrap_or("-");
        if let Some(error) = host["error"].as_str() {
            text += &match host["lostSince"].as_str() {
                Some(_) => format!("{}\n", lost(host, &status["now"])),
                None => format!("{name} does not tell of its envoys: {error}\n"),
            };
        } else if let (Some(since), false) =
            (host["store"]["since"].as_str(), host["store"]["reachable"] == true)
        {
            text += &format!(
                "{name} is cut off from the store since {since}: its envoys have what was known there then\n"
            );
        }
    }
    if envoys.is_empty() {
        return text + &warnings(&status["warnings"]);
    }
    let clock = Clock { now: time(&status["now"]) };
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let types = ResourceType::ALL.map(|resource_type| resource_type.label().to_uppercase());
    let columns = ["NODE", "SYNCED", "PROTOCOL", "PEER", "CONNECTED"].map(str::to_owned);
    table.set_header(columns.into_iter().chain(types));
    let mut remarks = String::new();
    for envoy in envoys {
        let word = |member: &str| envoy[member].as_str().unwrap_or("-").to_owned();
        let mut row = vec![
            word("node"),
            if envoy["synced"] == true { "yes" } else { "no" }.to_owned(),
            spoken(envoy),
            word("peer"),
            clock.age(&envoy["connectedAt"]),
        ];
        for resource_type in ResourceType::ALL {
            let state = &envoy["types"][resource_type.label()];
            row.push(type_state(state, &clock));
            let nack = &state["nacked"];
            if let Some(message) = nack["message"].as_str() {
                remarks += &format!(
                    "{} at {} rejected {} {} {} ago: {message}\n",
                    word("node"),
                    word("peer"),
                    resource_type.label().to_uppercase(),
                    nack["version"].as_str().unwrap_or("-"),
                    clock.age(&nack["at"]),
                );
            }
        }
        for problem in envoy["problems"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            remarks += &format!("{} at {} lacks something: {problem}\n", word("node"), word("peer"));
        }
        table.add_row(row);
    }
    text += &format!("\n{}\n", table.trim_fmt());
    if !remarks.is_empty() {
        text += &format!("\n{remarks}");
    }
    text + &warnings(&status["warnings"])
}

/// What is found in the meshes, if anything is: a line each.
fn warnings(warnings: &Value) -> String {
    let findings = warnings["findings"].as_array().map(Vec::as_slice).unwrap_or_default();
    let count = warnings["count"].as_u64().unwrap_or_default();
    if count == 0 {
        return String::new();
    }
    let mut text = format!("\n{count} warnings: what is defined so black-holes traffic, or will\n");
    for finding in findings {
        text += &format!("{}\n", finding_line(finding));
    }
    let more = count.saturating_sub(findings.len() as u64);
    if more > 0 {
        text += &format!("and {more} more; legation lint tells all\n");
    }
    text
}

/// The form of the protocol, and what is unlike an Envoy's aggregated stream: `delta`, `delta cds`, `sotw ads grpc`.
fn spoken(envoy: &Value) -> String {
    let word = |member: &str| envoy[member].as_str().unwrap_or("-");
    match (word("protocol"), word("service"), word("client")) {
        (protocol, "ads" | "-", "envoy" | "-") => protocol.to_owned(),
        (protocol, service, "envoy" | "-") => format!("{protocol} {service}"),
        (protocol, service, client) => format!("{protocol} {service} {client}"),
    }
}

/// What an Envoy has of a type, and since when: the version that it accepted last, or what it was sent after that and has
/// rejected or not answered.
fn type_state(state: &Value, clock: &Clock) -> String {
    let sent_at = time(&state["sentAt"]);
    let nack = &state["nacked"];
    let answered_at = time(&state["ackedAt"]).max(time(&nack["at"]));
    let sent = &state["sent"];
    let is_known = sent.is_null() || *sent == state["acked"] || *sent == nack["version"];
    if !is_known || sent_at > answered_at {
        format!("{} sent {} ago, not acked", short(sent), clock.age(&state["sentAt"]))
    } else if !nack.is_null() {
        format!("{} rejected {} ago", short(&nack["version"]), clock.age(&nack["at"]))
    } else if state["acked"].is_null() {
        "-".to_owned()
    } else {
        format!("{} {}", short(&state["acked"]), clock.age(&state["ackedAt"])).trim_end().to_owned()
    }
}

/// How many digits of a content hash are shown: enough to see whether two are the same.
const HASH_DIGITS: usize = 4;

/// A version with the beginning of its content hash.
fn short(version: &Value) -> String {
    let version = version.as_str().unwrap_or("-");
    match version.split_once('-') {
        Some((transaction, hash)) => {
            format!("{transaction}-{}", hash.chars().take(HASH_DIGITS).collect::<String>())
        }
        None => version.to_owned(),
    }
}

/// The clock of the control plane, which may differ from the one here.
struct Clock {
    now: Option<SystemTime>,
}

impl Clock {
    /// How long ago a time was, in its largest unit; empty if there is none.
    fn age(&self, at: &Value) -> String {
        let (Some(now), Some(at)) = (self.now, time(at)) else {
            return String::new();
        };
        age(now.duration_since(at).unwrap_or_default())
    }
}

fn time(value: &Value) -> Option<SystemTime> {
    humantime::parse_rfc3339(value.as_str()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use serde_json::json;

    #[test]
    fn what_is_found_in_the_meshes() {
        let finding = json!({"code": "no-service-discovery", "resource": "mesh/m/virtualNode/n",
            "path": "spec.serviceDiscovery", "message": "it is not; say so"});
        let status = json!({"transaction": 7, "now": at("00:00:00"), "envoys": [],
            "warnings": {"count": 3, "findings": [finding.clone(), finding]}});
        expect![[r#"
            transaction 7, 0 envoys connected, 0 in sync

            3 warnings: what is defined so black-holes traffic, or will
            no-service-discovery: mesh/m/virtualNode/n: spec.serviceDiscovery: it is not; say so
            no-service-discovery: mesh/m/virtualNode/n: spec.serviceDiscovery: it is not; say so
            and 1 more; legation lint tells all
        "#]]
        .assert_eq(&render(&status));
    }

    #[test]
    fn an_empty_fleet() {
        let status = json!({"transaction": 7, "now": at("00:00:00"), "envoys": []});
        assert_eq!(render(&status), "transaction 7, 0 envoys connected, 0 in sync\n");
    }

    /// A moment of the second day.
    fn at(time: &str) -> String {
        format!("2026-01-02T{time}.000Z")
    }

    fn clock() -> Clock {
        Clock { now: time(&at("12:00:00").into()) }
    }

    #[test]
    fn envoys_in_and_out_of_sync() {
        let version = |version: &str, time: &str| json!({"sent": version, "sentAt": at(time), "acked": version, "ackedAt": at(time), "nacked": null});
        let nothing = json!({"sent": null, "sentAt": null, "acked": null, "ackedAt": null, "nacked": null});
        let status = json!({"transaction": 8, "now": at("12:00:00"), "envoys": [
            {"node": "mesh/m/virtualNode/a", "stream": 1, "peer": "127.0.0.1:5", "protocol": "delta",
             "connectedAt": "2026-01-01T00:00:00.000Z", "synced": true,
             "types": {"cds": version("7-abcdef0123456789", "11:57:00"), "eds": nothing, "sds": nothing,
                       "lds": version("3-b", "09:00:00"), "rds": version("7-c", "11:59:59")}},
            {"node": "mesh/m/virtualGateway/g", "stream": 2, "peer": null, "client": "grpc",
             "service": "ads", "protocol": "sotw", "connectedAt": at("11:00:00"), "synced": false,
             "problems": ["virtual service s has no provider"],
             "types": {"cds": {"sent": "8-d", "sentAt": at("11:59:20"), "acked": "7-a", "ackedAt": at("11:00:00"),
                               "nacked": null},
                       "eds": nothing, "sds": nothing,
                       "lds": {"sent": "8-eeeeee", "sentAt": at("11:58:00"), "acked": null, "ackedAt": null, "nacked":
                               {"version": "8-eeeeee", "code": 13, "message": "no", "at": at("11:58:00")}},
                       "rds": nothing}},
        ]});
        expect![[r#"
            transaction 8, 2 envoys connected, 1 in sync

             NODE                     SYNCED  PROTOCOL       PEER         CONNECTED  CDS                          EDS  SDS  LDS                     RDS
             mesh/m/virtualNode/a     yes     delta          127.0.0.1:5  1d         7-abcd 3m                    -    -    3-b 3h                  7-c 1s
             mesh/m/virtualGateway/g  no      sotw ads grpc  -            1h         8-d sent 40s ago, not acked  -    -    8-eeee rejected 2m ago  -

            mesh/m/virtualGateway/g at - rejected LDS 8-eeeeee 2m ago: no
            mesh/m/virtualGateway/g at - lacks something: virtual service s has no provider
        "#]].assert_eq(&render(&status));
    }

    #[test]
    fn what_is_unlike_an_aggregated_stream_of_an_envoy_is_told() {
        for (client, service, expected) in
            [("envoy", "ads", "delta"), ("envoy", "cds", "delta cds"), ("grpc", "ads", "delta ads grpc")]
        {
            let envoy = json!({"protocol": "delta", "client": client, "service": service});
            assert_eq!(spoken(&envoy), expected);
        }
    }

    #[test]
    fn the_last_thing_that_happened_is_shown() {
        let nack = |version: &str, time: &str| json!({"version": version, "code": 3, "message": "no", "at": at(time)});
        for (state, expected) in [
            // sent again as it was: it waits as any other response
            (
                json!({"sent": "1-a", "sentAt": at("11:59:00"), "acked": "1-a", "ackedAt": at("11:50:00"), "nacked": null}),
                "1-a sent 1m ago, not acked",
            ),
            // in the same millisecond
            (
                json!({"sent": "1-a", "sentAt": at("11:59:00"), "acked": "1-a", "ackedAt": at("11:59:00"), "nacked": null}),
                "1-a 1m",
            ),
            (
                json!({"sent": "2-b", "sentAt": at("11:59:00"), "acked": "1-a", "ackedAt": at("11:59:00"), "nacked": null}),
                "2-b sent 1m ago, not acked",
            ),
            // corrected after a rejection, and not answered
            (
                json!({"sent": "3-c", "sentAt": at("11:59:50"), "acked": "1-a", "ackedAt": at("11:00:00"),
                    "nacked": nack("2-b", "11:30:00")}),
                "3-c sent 10s ago, not acked",
            ),
            (
                json!({"sent": "2-b", "sentAt": at("11:29:59"), "acked": "1-a", "ackedAt": at("11:00:00"),
                    "nacked": nack("2-b", "11:30:00")}),
                "2-b rejected 30m ago",
            ),
            // something else was accepted since, and the rejected stands
            (
                json!({"sent": "3-c", "sentAt": at("11:50:00"), "acked": "3-c", "ackedAt": at("11:50:01"),
                    "nacked": nack("2-b", "11:30:00")}),
                "2-b rejected 30m ago",
            ),
            // known from an earlier stream
            (
                json!({"sent": null, "sentAt": null, "acked": "1-abcdef", "ackedAt": null, "nacked": null}),
                "1-abcd",
            ),
        ] {
            assert_eq!(type_state(&state, &clock()), expected, "{state}");
        }
    }

    #[test]
    fn ages_are_told_in_their_largest_unit() {
        for (time, expected) in [
            (at("12:00:00"), "0s"),
            (at("11:59:01"), "59s"),
            (at("11:59:00"), "1m"),
            (at("11:00:01"), "59m"),
            (at("10:30:00"), "1h"),
            ("2025-12-30T13:00:00Z".to_owned(), "2d"),
            (at("12:00:01"), "0s"),
        ] {
            assert_eq!(clock().age(&time.clone().into()), expected, "{time}");
        }
    }
}
