//! `legation wait`: until every Envoy has a change.

use std::time::Duration;

use serde_json::Value;

use super::admin::AdminArgs;
use super::failure::{Failure, print};
use super::hosts::lost;

/// Wait until every connected Envoy has accepted a change
///
/// Returns when every Envoy that the transaction concerns has accepted what came of it. Names those that have not when time
/// runs out, and exits with 1.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  legation apply -f mesh.yaml && legation wait --timeout 30s")]
pub(super) struct WaitArgs {
    /// The transaction to wait for [default: the newest]
    #[arg(long, value_name = "NUMBER")]
    transaction: Option<u64>,

    /// How long to wait
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    timeout: Duration,

    #[command(flatten)]
    admin: AdminArgs,
}

/// Waits, and says who is behind if time runs out.
pub(super) fn run(args: &WaitArgs) -> Result<(), Failure> {
    let mut path = format!("/fleet/wait?timeoutMs={}", args.timeout.as_millis());
    if let Some(transaction) = args.transaction {
        path += &format!("&transaction={transaction}");
    }
    let answer = args.admin.get(&path, args.timeout)?;
    for host in answer["lost"].as_array().into_iter().flatten() {
        eprintln!("warning: {}", lost(host, &answer["now"]));
    }
    let transaction = &answer["transaction"];
    if answer["done"] == true {
        return print(&format!("every envoy that transaction {transaction} concerns has accepted it\n"));
    }
    Err(Failure::message(format!("transaction {transaction} was not accepted in time by{}", names(&answer))))
}

fn names(answer: &Value) -> String {
    let waiting = answer["waiting"].as_array().map(Vec::as_slice).unwrap_or_default();
    let hosts = answer["hosts"].as_array().map(Vec::as_slice).unwrap_or_default();
    if waiting.is_empty() && hosts.is_empty() {
        return " anybody: it is still being transformed".to_owned();
    }
    let word = |envoy: &Value, member: &str| envoy[member].as_str().unwrap_or("-").to_owned();
    let envoys = waiting
        .iter()
        .map(|envoy| format!("\n  {} at {}{}", word(envoy, "node"), word(envoy, "peer"), rejections(envoy)));
    let hosts =
        hosts.iter().map(|host| format!("\n  those of host {}: {}", word(host, "host"), word(host, "error")));
    envoys.chain(hosts).collect()
}

/// What an Envoy has rejected, and why.
fn rejections(envoy: &Value) -> String {
    let of_type = |(kind, state): (&String, &Value)| {
        let message = state["nacked"]["message"].as_str()?;
        Some(format!(", which rejected {}: {message}", kind.to_uppercase()))
    };
    envoy["types"].as_object().into_iter().flatten().filter_map(of_type).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn those_that_are_behind_are_named() {
        let answer = json!({"waiting": [{"node": "mesh/m/virtualNode/a", "peer": "10.0.0.1:5"}, {"node": "b", "peer": null}]});
        assert_eq!(names(&answer), "\n  mesh/m/virtualNode/a at 10.0.0.1:5\n  b at -");
        assert!(names(&json!({"waiting": []})).contains("transformed"));
        let types = json!({"cds": {"nacked": null}, "lds": {"nacked": {"message": "no"}}});
        let answer = json!({"waiting": [{"node": "a", "peer": "10.0.0.1:5", "types": types}]});
        assert_eq!(names(&answer), "\n  a at 10.0.0.1:5, which rejected LDS: no");
    }
}
