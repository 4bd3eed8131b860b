//! `legation status`: which Envoys are connected, and whether they are in sync.

use std::time::Duration;

use comfy_table::{Table, presets};
use serde_json::Value;

use super::admin::get_json;
use super::failure::{Failure, print};

/// Show which Envoys are connected, and whether they are in sync
///
/// An Envoy is in sync when it has accepted everything that it should have. Versions have the form
/// <transaction>-<content hash>.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  legation status --admin http://127.0.0.1:8081 -o json")]
pub(super) struct StatusArgs {
    /// Where the control plane serves health, metrics and status
    #[arg(long, env = "LEGATION_ADMIN", value_name = "URL", default_value = "http://127.0.0.1:8081")]
    admin: String,

    /// How to show it
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Output,
}

/// How to show the status.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Output {
    /// A table for people
    Table,
    /// What /status answers
    Json,
}

/// Asks for the status and shows it.
pub(super) fn run(args: &StatusArgs) -> Result<(), Failure> {
    let status = get_json(&format!("{}/status", args.admin.trim_end_matches('/')), Duration::ZERO)?;
    match args.output {
        Output::Json => print(&format!(
            "{status:#}
"
        )),
        Output::Table => print(&render(&status)),
    }
}

/// The columns of types: heading, and member of `types`.
const TYPES: [(&str, &str); 5] =
    [("CDS", "cds"), ("EDS", "eds"), ("SDS", "sds"), ("LDS", "lds"), ("RDS", "rds")];

fn render(status: &Value) -> String {
    let no_envoys = Vec::new();
    let envoys = status["envoys"].as_array().unwrap_or(&no_envoys);
    let synced = envoys.iter().filter(|envoy| envoy["synced"] == true).count();
    let mut text = format!(
        "transaction {}, {} envoys connected, {synced} in sync\n",
        status["transaction"],
        envoys.len()
    );
    if envoys.is_empty() {
        return text;
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let types = TYPES.map(|(heading, _)| heading);
    table.set_header(["NODE", "SYNCED", "PROTOCOL", "PEER", "CONNECTED AT"].into_iter().chain(types));
    let mut rejections = String::new();
    for envoy in envoys {
        let word = |member: &str| envoy[member].as_str().unwrap_or("-").to_owned();
        let mut row = vec![
            word("node"),
            if envoy["synced"] == true { "yes" } else { "no" }.to_owned(),
            word("protocol"),
            word("peer"),
            word("connectedAt"),
        ];
        for (heading, member) in TYPES {
            let state = &envoy["types"][member];
            row.push(type_state(state));
            if let Some(message) = state["nacked"]["message"].as_str() {
                let version = state["nacked"]["version"].as_str().unwrap_or("-");
                rejections += &format!("{} rejected {heading} {version}: {message}\n", word("node"));
            }
        }
        table.add_row(row);
    }
    text += &format!("\n{}\n", table.trim_fmt());
    if !rejections.is_empty() {
        text += &format!("\n{rejections}");
    }
    text
}

/// What an Envoy has of a type: the version that it accepted, or that it was sent and has not answered.
fn type_state(state: &Value) -> String {
    let (sent, acked) = (state["sent"].as_str(), state["acked"].as_str());
    if !state["nacked"].is_null() {
        return "rejected".to_owned();
    }
    match (sent, acked) {
        (Some(sent), acked) if acked != Some(sent) => format!("{sent} (sent)"),
        (_, Some(acked)) => acked.to_owned(),
        _ => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use serde_json::json;

    #[test]
    fn an_empty_fleet() {
        let status = json!({"transaction": 7, "envoys": []});
        assert_eq!(render(&status), "transaction 7, 0 envoys connected, 0 in sync\n");
    }

    #[test]
    fn envoys_in_and_out_of_sync() {
        let version = |version: &str| json!({"sent": version, "acked": version, "nacked": null});
        let nothing = json!({"sent": null, "acked": null, "nacked": null});
        let status = json!({"transaction": 7, "envoys": [
            {"node": "mesh/m/virtualNode/a", "stream": 1, "peer": "127.0.0.1:5", "protocol": "delta",
             "connectedAt": "2026-01-01T00:00:00.000Z", "synced": true,
             "types": {"cds": version("7-a"), "eds": nothing, "lds": version("3-b"), "rds": version("7-c")}},
            {"node": "mesh/m/virtualGateway/g", "stream": 2, "peer": null, "protocol": "sotw",
             "connectedAt": "2026-01-01T00:00:01.000Z", "synced": false,
             "types": {"cds": {"sent": "8-d", "acked": "7-a", "nacked": null}, "eds": nothing,
                       "lds": {"sent": "8-e", "acked": null, "nacked": {"version": "8-e", "code": 13, "message": "no"}},
                       "rds": nothing}},
        ]});
        expect![[r#"
            transaction 7, 2 envoys connected, 1 in sync

             NODE                     SYNCED  PROTOCOL  PEER         CONNECTED AT              CDS         EDS  SDS  LDS       RDS
             mesh/m/virtualNode/a     yes     delta     127.0.0.1:5  2026-01-01T00:00:00.000Z  7-a         -    -    3-b       7-c
             mesh/m/virtualGateway/g  no      sotw      -            2026-01-01T00:00:01.000Z  8-d (sent)  -    -    rejected  -

            mesh/m/virtualGateway/g rejected LDS 8-e: no
        "#]].assert_eq(&render(&status));
    }
}
