//! `legation drain`: empties one host at a bounded rate.

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::admin::AdminArgs;
use super::failure::{Failure, print};
use crate::admin::client::{Method, Timeouts, ask};

/// How often the host is asked how many Envoys are left.
const PAUSE: Duration = Duration::from_millis(500);

/// Send the Envoys of one host to the others, at a bounded rate
///
/// The host takes no Envoy any more, reports itself not ready, and ends the connections of those that it has, one by one, so
/// that they connect to other hosts through the balancer. It goes on like this until it ends or is told to stop. The command
/// waits until the host is empty.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  legation drain ip-10-0-0-7 --rate 50 && systemctl stop legation")]
pub(super) struct DrainArgs {
    /// The host, by its name or the beginning of it, as legation hosts shows it
    host: String,

    /// Most Envoys that are sent away in a second
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,

    /// Take Envoys again
    #[arg(long, conflicts_with = "rate")]
    stop: bool,

    /// How long to wait until the host is empty; 0 to return at once
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = humantime::parse_duration)]
    timeout: Duration,

    #[command(flatten)]
    admin: AdminArgs,
}

/// Tells the host, and waits.
pub(super) fn run(args: &DrainArgs) -> Result<(), Failure> {
    let hosts = args.admin.get("/fleet/hosts", Duration::ZERO)?;
    let (name, admin) = find(&hosts, &args.host)?;
    let url = format!("http://{admin}/host");
    let tell =
        |method, url: &str| ask(method, url, Timeouts::default()).map_err(|error| Failure::failed(&error));
    if args.stop {
        tell(Method::Delete, &format!("{url}/drain?host={name}"))?;
        return print(&format!("{name} takes envoys again\n"));
    }
    let mut host = tell(Method::Post, &format!("{url}/drain?host={name}&rate={}", args.rate))?;
    let started = Instant::now();
    loop {
        let envoys = host["envoys"].as_u64().unwrap_or_default();
        if envoys == 0 {
            return print(&format!("{name} is empty, and takes no envoys\n"));
        }
        if args.timeout.is_zero() {
            return print(&format!("{name} has {envoys} envoys, and sends them away\n"));
        }
        if started.elapsed() >= args.timeout {
            return Err(Failure::message(format!(
                "{name} has {envoys} envoys still, and goes on sending them away; legation drain --stop {name} ends that"
            )));
        }
        sleep(PAUSE);
        host = tell(Method::Get, &url)?;
    }
}

/// The name and the admin address of the host that is meant.
fn find<'a>(hosts: &'a Value, wanted: &str) -> Result<(&'a str, &'a str), Failure> {
    let hosts = hosts["hosts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let named = |host: &'a Value| Some((host["host"].as_str()?, host["admin"].as_str()?));
    let all: Vec<(&str, &str)> = hosts.iter().filter_map(named).collect();
    if let Some(exact) = all.iter().find(|(name, _)| *name == wanted) {
        return Ok(*exact);
    }
    let meant: Vec<_> = all.iter().filter(|(name, _)| name.starts_with(wanted)).collect();
    match meant[..] {
        [one] => Ok(*one),
        [] => Err(Failure::message(format!(
            "there is no host {wanted}; legation hosts shows those that there are"
        ))),
        _ => {
            let names: Vec<&str> = meant.iter().map(|(name, _)| *name).collect();
            Err(Failure::message(format!(
                "{wanted} may be any of {}; say more of its name",
                names.join(", ")
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_host_is_found_by_the_beginning_of_its_name() {
        let hosts = json!({"hosts": [
            {"host": "ip-1-aa", "admin": "10.0.0.1:1"}, {"host": "ip-1-ab", "admin": "10.0.0.2:1"},
            {"host": "ip-1", "admin": "10.0.0.3:1"}, {"host": "ip-2-cc", "admin": "10.0.0.4:1"},
        ]});
        let check = |wanted: &str, expected: Result<&str, &str>| {
            let found = find(&hosts, wanted).map(|(_, admin)| admin).map_err(|failure| failure.message);
            match expected {
                Ok(admin) => assert_eq!(found.unwrap(), admin),
                Err(part) => assert!(found.unwrap_err().contains(part), "{wanted}"),
            }
        };
        check("ip-2", Ok("10.0.0.4:1"));
        check("ip-1-a", Err("ip-1-aa, ip-1-ab"));
        check("ip-1", Ok("10.0.0.3:1"));
        check("ip-3", Err("there is no host ip-3"));
    }
}
