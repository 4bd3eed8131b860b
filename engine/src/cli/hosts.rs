//! `legation hosts`: which hosts there are, and how far each has come.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use comfy_table::{Table, presets};
use serde_json::Value;

use super::admin::AdminArgs;
use super::age::age;
use super::failure::{Failure, print};

/// Show which hosts there are, what they do, and how far each has come
///
/// With one process on the embedded store there is one. Over etcd, every host is asked; one that does not
/// answer is shown with the reason. A host that went without a farewell is shown as lost for an hour.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  legation hosts --admin http://10.0.0.7:8081")]
pub(super) struct HostsArgs {
    #[command(flatten)]
    admin: AdminArgs,

    /// How to show it
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Output,
}

/// How to show the hosts.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Output {
    /// A table for people
    Table,
    /// What /fleet/hosts answers
    Json,
}

/// Asks for the hosts and shows them.
pub(super) fn run(args: &HostsArgs) -> Result<(), Failure> {
    let hosts = args.admin.get("/fleet/hosts", Duration::ZERO)?;
    match args.output {
        Output::Json => print(&format!("{hosts:#}\n")),
        Output::Table => print(&render(&hosts, SystemTime::now())),
    }
}

fn render(answer: &Value, now: SystemTime) -> String {
    let hosts = answer["hosts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut text = match answer["transaction"].as_u64() {
        Some(transaction) => format!("transaction {transaction}, {} hosts\n", hosts.len()),
        None => format!("the store does not answer; {} hosts were known last\n", hosts.len()),
    };
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["HOST", "ROLES", "VERSION", "ADMIN", "UP", "ENVOYS", "TRANSACTION", "STATE"]);
    for host in hosts {
        let word = |member: &str| host[member].as_str().unwrap_or("-").to_owned();
        let number = |member: &str| host[member].as_u64().map_or("-".to_owned(), |number| number.to_string());
        let roles = host["roles"].as_array().into_iter().flatten().filter_map(Value::as_str);
        table.add_row([
            word("host"),
            roles.collect::<Vec<_>>().join(","),
            word("version"),
            word("admin"),
            up(host, now),
            number("envoys"),
            number("transaction"),
            state(host),
        ]);
    }
    text += &format!("\n{}\n", table.trim_fmt());
    text
}

/// How long a host has been running, in its largest unit.
fn up(host: &Value, now: SystemTime) -> String {
    let started = host["startedAtMs"].as_u64().map(|ms| UNIX_EPOCH + Duration::from_millis(ms));
    let Some(started) = started else {
        return "-".to_owned();
    };
    age(now.duration_since(started).unwrap_or_default())
}

/// What is told of a host that is lost and does not answer; `now` by the clock of those who lost it.
pub(super) fn lost(host: &Value, now: &Value) -> String {
    let word = |member: &str| host[member].as_str().unwrap_or("-");
    let time = |value: &Value| humantime::parse_rfc3339(value.as_str()?).ok();
    let since = match (time(&host["lostSince"]), time(now)) {
        (Some(since), Some(now)) => age(now.duration_since(since).unwrap_or_default()),
        _ => "some time".to_owned(),
    };
    let (name, error) = (word("host"), word("error"));
    format!("{name} has been lost for {since}; its envoys, if it still runs, are not counted: {error}")
}

fn state(host: &Value) -> String {
    match host["lostSince"].as_str() {
        Some(since) => format!("lost since {since}, {}", state_by_itself(host)),
        None => state_by_itself(host),
    }
}

fn state_by_itself(host: &Value) -> String {
    if let Some(error) = host["error"].as_str() {
        return format!("no answer: {error}");
    }
    if host["store"]["reachable"] == false {
        return format!("cut off from the store since {}", host["store"]["since"].as_str().unwrap_or("?"));
    }
    if let Some(since) = host["store"]["unwatchedSince"].as_str() {
        return format!("not told of changes by the store since {since}");
    }
    if host["draining"] == true {
        return "draining".to_owned();
    }
    "ok".to_owned()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn hosts_are_shown_with_what_they_do_and_how_they_are() {
        let now = UNIX_EPOCH + Duration::from_secs(100_000);
        let host = |name: &str, roles: &[&str]| {
            json!({"host": name, "roles": roles, "version": "0.1.0", "admin": "10.0.0.7:8081",
                "startedAtMs": 99_990_000, "transaction": 41, "store": {"reachable": true}})
        };
        let mut management = host("b-2", &["management"]);
        management["envoys"] = 998.into();
        let mut draining = management.clone();
        draining["draining"] = true.into();
        draining["startedAtMs"] = 1.into();
        let mut cut_off = management.clone();
        cut_off["store"] = json!({"reachable": false, "since": "2026-01-02T03:04:05.000Z"});
        let mut found = cut_off.clone();
        found["lostSince"] = json!("2026-01-02T03:04:15.000Z");
        let mut deaf = management.clone();
        deaf["store"] = json!({"reachable": true, "unwatchedSince": "2026-01-02T03:04:05.000Z"});
        let mut lost = json!({"host": "c-4", "roles": ["management"], "version": "0.1.0", "admin": "10.0.0.9:8081",
            "startedAtMs": 99_000_000, "error": "cannot reach it"});
        lost["lostSince"] = json!("2026-01-02T03:04:15.000Z");
        let gone = json!({"host": "c-3", "roles": ["transformer"], "version": "0.1.0", "admin": "10.0.0.8:8081",
            "startedAtMs": 99_000_000, "error": "cannot reach it"});
        let hosts = [
            host("a-1", &["frontend", "transformer"]),
            management,
            draining,
            cut_off,
            found,
            deaf,
            lost,
            gone,
        ];
        expect![[r#"
            transaction 42, 8 hosts

             HOST  ROLES                 VERSION  ADMIN          UP   ENVOYS  TRANSACTION  STATE
             a-1   frontend,transformer  0.1.0    10.0.0.7:8081  10s  -       41           ok
             b-2   management            0.1.0    10.0.0.7:8081  10s  998     41           ok
             b-2   management            0.1.0    10.0.0.7:8081  1d   998     41           draining
             b-2   management            0.1.0    10.0.0.7:8081  10s  998     41           cut off from the store since 2026-01-02T03:04:05.000Z
             b-2   management            0.1.0    10.0.0.7:8081  10s  998     41           lost since 2026-01-02T03:04:15.000Z, cut off from the store since 2026-01-02T03:04:05.000Z
             b-2   management            0.1.0    10.0.0.7:8081  10s  998     41           not told of changes by the store since 2026-01-02T03:04:05.000Z
             c-4   management            0.1.0    10.0.0.9:8081  16m  -       -            lost since 2026-01-02T03:04:15.000Z, no answer: cannot reach it
             c-3   transformer           0.1.0    10.0.0.8:8081  16m  -       -            no answer: cannot reach it
        "#]]
        .assert_eq(&render(&json!({"transaction": 42, "hosts": hosts}), now));
        let text = render(&json!({"transaction": null, "hosts": []}), now);
        assert!(text.starts_with("the store does not answer; 0 hosts were known last\n"), "{text}");
    }
}
