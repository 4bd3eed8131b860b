//! How long parts of a change took by the server's own account: the histograms of its metrics.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::run::Part;

/// No answer takes longer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The sums and counts of what was timed, since the server's start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timings(BTreeMap<Part, Timed>);

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Timed {
    seconds: f64,
    count: f64,
}

impl Timings {
    /// Asks a server at its admin address.
    pub fn read(admin: SocketAddr) -> anyhow::Result<Self> {
        let config =
            ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(TIMEOUT)).build();
        let url = format!("http://{admin}/metrics");
        let mut response =
            ureq::Agent::from(config).get(&url).call().with_context(|| format!("GET {url}"))?;
        let text = response.body_mut().read_to_string()?;
        if response.status() != 200 {
            bail!("GET {url} answered {}: {text}", response.status());
        }
        Ok(Self::parse(&text))
    }

    /// What each part took on average since an earlier look, in milliseconds; nothing of what did not happen.
    pub fn means_since(&self, before: &Self) -> BTreeMap<Part, f64> {
        let mean = |(&part, now): (&Part, &Timed)| {
            let before = before.0.get(&part).copied().unwrap_or_default();
            let count = now.count - before.count;
            (count > 0.0).then(|| (part, (now.seconds - before.seconds) * 1e3 / count))
        };
        self.0.iter().filter_map(mean).collect()
    }

    /// How often a part happened since an earlier look, and what it took on average; nothing if it did not happen.
    pub fn since(&self, before: &Self, part: Part) -> Option<(u64, Duration)> {
        let times = |look: &Self| look.0.get(&part).copied().unwrap_or_default();
        let (now, before) = (times(self), times(before));
        let count = now.count - before.count;
        let mean = Duration::try_from_secs_f64((now.seconds - before.seconds) / count).ok()?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count, above zero")]
        Some((count as u64, mean))
    }

    fn parse(text: &str) -> Self {
        let value = |name: &str, what: &str, labels: &str| {
            let start = format!("{name}_{what}{labels} ");
            text.lines().find_map(|line| line.strip_prefix(&start)?.trim().parse().ok())
        };
        let timed = |part: Part| {
            let (name, labels) = metric(part);
            Some((part, Timed { seconds: value(name, "sum", labels)?, count: value(name, "count", labels)? }))
        };
        Self(Part::ALL.into_iter().filter_map(timed).collect())
    }
}

/// The histogram that times a part, and its labels.
fn metric(part: Part) -> (&'static str, &'static str) {
    match part {
        Part::Request => ("legation_api_request_seconds", r#"{operation="UpdateRoute"}"#),
        Part::Commit => ("legation_store_commit_seconds", ""),
        Part::Pass => ("legation_transform_pass_seconds", ""),
        Part::PushToAck => ("legation_push_ack_seconds", r#"{type="rds"}"#),
        Part::Propagation => ("legation_propagation_seconds", ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_is_of_what_happened_in_between() {
        let look = |seconds: f64, count: u32| {
            Timings::parse(&format!(
                "# TYPE legation_store_commit_seconds histogram\n\
                 legation_store_commit_seconds_bucket{{le=\"1\"}} 9\n\
                 legation_store_commit_seconds_sum {seconds}\n\
                 legation_store_commit_seconds_count {count}\n\
                 legation_api_request_seconds_sum{{operation=\"ListRoutes\"}} 7\n\
                 legation_api_request_seconds_count{{operation=\"ListRoutes\"}} 7\n\
                 legation_api_request_seconds_sum{{operation=\"UpdateRoute\"}} 3\n\
                 legation_api_request_seconds_count{{operation=\"UpdateRoute\"}} 2\n"
            ))
        };
        let means = look(1.5, 14).means_since(&look(0.5, 10));
        assert_eq!(means, BTreeMap::from([(Part::Commit, 250.0)]), "nothing else happened");
        let means = look(1.5, 14).means_since(&Timings::default());
        assert_eq!(means[&Part::Request], 1500.0);
        let commits = look(1.5, 14).since(&look(0.5, 10), Part::Commit);
        assert_eq!(commits, Some((4, Duration::from_millis(250))));
        assert_eq!(look(1.5, 14).since(&look(1.5, 14), Part::Commit), None, "there was none");
        assert_eq!(look(1.5, 14).since(&look(0.5, 10), Part::Pass), None, "it is not told");
    }
}
