//! Where the cluster is, and how it is reached.

use std::time::Duration;

use etcd_client::ConnectOptions;
use thiserror::Error;

use crate::store::error::StoreError;

/// What the addresses of a cluster begin with: in clear text, and with TLS.
const SCHEME: &str = "etcd://";

/// Under which key everything is unless another is said.
const ROOT: &str = "legation";

/// Finds connections whose member has gone without a word.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a member may take to be connected to.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A cluster of etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdSettings {
    /// The addresses of its members, as `host:port`.
    pub endpoints: Vec<String>,
    /// The key under which everything is, without a slash at its end.
    pub root: String,
}

/// A store in etcd that cannot be opened.
#[derive(Debug, Error)]
pub enum EtcdError {
    /// The address makes no sense.
    #[error(
        "{0} is no address of etcd: say {SCHEME}HOST:PORT,HOST:PORT/ROOT, where /{ROOT} is the root unless another is said"
    )]
    Address(String),
    /// No member was reached.
    #[error("etcd was not reached: {0}")]
    Connect(etcd_client::Error),
    /// It was reached and did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl EtcdSettings {
    /// Reads `etcd://HOST:PORT,HOST:PORT/ROOT`.
    pub fn parse(address: &str) -> Result<Self, EtcdError> {
        let wrong = || EtcdError::Address(address.to_owned());
        let rest = address.strip_prefix(SCHEME).ok_or_else(wrong)?;
        let (hosts, root) = rest.split_once('/').unwrap_or((rest, ROOT));
        let root = if root.is_empty() { ROOT } else { root.trim_end_matches('/') };
        let endpoints: Vec<String> = hosts.split(',').map(ToOwned::to_owned).collect();
        let is_sound = |endpoint: &String| {
            endpoint
                .rsplit_once(':')
                .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        };
        if !endpoints.iter().all(is_sound) || root.is_empty() || !root.is_ascii() {
            return Err(wrong());
        }
        Ok(Self { endpoints, root: root.to_owned() })
    }

    pub(super) fn connect_options(&self) -> ConnectOptions {
        ConnectOptions::new()
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_keep_alive(KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT)
            .with_keep_alive_while_idle(true)
            .with_require_leader(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let check = |address: &str, expected: Option<(&[&str], &str)>| {
            let read = EtcdSettings::parse(address).ok();
            let expected = expected.map(|(endpoints, root)| EtcdSettings {
                endpoints: endpoints.iter().map(ToString::to_string).collect(),
                root: root.to_owned(),
            });
            assert_eq!(read, expected, "{address}");
        };
        check("etcd://127.0.0.1:2379", Some((&["127.0.0.1:2379"], "legation")));
        check("etcd://a:1,b:2,[::1]:3/team/legation/", Some((&["a:1", "b:2", "[::1]:3"], "team/legation")));
        check("etcd://a:1/", Some((&["a:1"], "legation")));
        for wrong in
            ["embedded", "etcd://", "etcd://a", "etcd://a:1,", "etcd://a:x", "http://a:1", "etcd://a:1/ä"]
        {
            check(wrong, None);
        }
    }
}
