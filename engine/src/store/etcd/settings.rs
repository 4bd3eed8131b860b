//! Where the cluster is, and how it is reached.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use etcd_client::{Certificate, ConnectOptions, Identity, TlsOptions};
use serde::Deserialize;
use thiserror::Error;

use crate::store::error::StoreError;
use crate::tls::certificate::{CertificateFiles, check_pair};
use crate::tls::roots;
use crate::watched_files;

/// What the addresses of a cluster begin with: in clear text, and with TLS.
const SCHEME: &str = "etcd://";
const TLS_SCHEME: &str = "etcds://";

/// Under which key everything is unless another is said.
const ROOT: &str = "legation";

/// Longest root, in bytes: it is a part of every key, and requests are bounded.
const ROOT_BYTES_MAX: usize = 256;

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
    /// How it is spoken to with TLS; without this, in clear text.
    pub tls: Option<EtcdTls>,
    /// The file that says who asks; without one, nobody in particular.
    pub credentials: Option<PathBuf>,
}

/// TLS with etcd.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EtcdTls {
    /// The certificates of the authorities that are trusted, in PEM; without this, those that the system trusts.
    pub ca: Option<PathBuf>,
    /// Who asks, for a cluster that wants to see a certificate.
    pub certificate: Option<CertificateFiles>,
}

/// What a file of credentials says. It is shown nowhere.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    user: String,
    password: String,
}

/// A store in etcd that cannot be opened.
#[derive(Debug, Error)]
pub enum EtcdError {
    /// The address makes no sense.
    #[error(
        "{0} is no address of etcd: say {SCHEME}HOST:PORT,HOST:PORT/ROOT, or {TLS_SCHEME} for TLS; /{ROOT} is the root \
         unless another is said"
    )]
    Address(String),
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of credentials says something else.
    #[error("{path}, line {line}: say user = \"...\" and password = \"...\", and nothing else")]
    Credentials {
        /// The file.
        path: PathBuf,
        /// Where.
        line: usize,
    },
    /// The certificates or keys of TLS cannot be used.
    #[error("TLS with etcd cannot be set up with these files: {reason}")]
    Tls {
        /// Why.
        reason: String,
    },
    /// It was not reached, or refused.
    #[error("cannot open the store in etcd at {endpoints}: {failure}")]
    Failed {
        /// The members that were asked.
        endpoints: String,
        /// Why.
        failure: StoreError,
    },
}

impl EtcdSettings {
    /// Reads `etcd://HOST:PORT,HOST:PORT/ROOT`, or `etcds://` for TLS with those that the system trusts.
    pub fn parse(address: &str) -> Result<Self, EtcdError> {
        let wrong = || EtcdError::Address(address.to_owned());
        let (rest, tls) = match (address.strip_prefix(TLS_SCHEME), address.strip_prefix(SCHEME)) {
            (Some(rest), _) => (rest, Some(EtcdTls::default())),
            (None, Some(rest)) => (rest, None),
            (None, None) => return Err(wrong()),
        };
        let (hosts, root) = rest.split_once('/').unwrap_or((rest, ROOT));
        let root = if root.is_empty() { ROOT } else { root.trim_end_matches('/') };
        let endpoints: Vec<String> = hosts.split(',').map(ToOwned::to_owned).collect();
        let is_sound = |endpoint: &String| {
            endpoint
                .rsplit_once(':')
                .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        };
        if !endpoints.iter().all(is_sound)
            || root.is_empty()
            || !root.is_ascii()
            || root.len() > ROOT_BYTES_MAX
        {
            return Err(wrong());
        }
        Ok(Self { endpoints, root: root.to_owned(), tls, credentials: None })
    }

    pub(super) fn connect_options(&self) -> Result<ConnectOptions, EtcdError> {
        let mut options = ConnectOptions::new()
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_keep_alive(KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT)
            .with_keep_alive_while_idle(true)
            .with_require_leader(true);
        if let Some(tls) = &self.tls {
            options = options.with_tls(tls.options()?);
        }
        if let Some(path) = &self.credentials {
            let Credentials { user, password } = credentials(path)?;
            options = options.with_user(user, password).with_auto_token_refresh(true);
        }
        Ok(options)
    }
}

impl EtcdTls {
    fn options(&self) -> Result<TlsOptions, EtcdError> {
        let unusable = |error: &dyn std::error::Error| EtcdError::Tls { reason: error.to_string() };
        let mut options = TlsOptions::new();
        match &self.ca {
            Some(path) => {
                roots::from_file(path).map_err(|error| unusable(&error))?;
                options = options.ca_certificate(Certificate::from_pem(read(path)?));
            }
            None => options = options.with_native_roots(),
        }
        if let Some(files) = &self.certificate {
            let (certificate, key) = (read(&files.certificate)?, read(&files.key)?);
            watched_files::warn_if_public(&files.key, "private key");
            check_pair(&certificate, &key).map_err(|error| unusable(&error))?;
            options = options.identity(Identity::from_pem(certificate, key));
        }
        Ok(options)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, EtcdError> {
    std::fs::read(path).map_err(|source| EtcdError::Unreadable { path: path.to_owned(), source })
}

/// Reads a file of credentials. What is wrong with it is not quoted: it may be the password.
fn credentials(path: &Path) -> Result<Credentials, EtcdError> {
    watched_files::warn_if_public(path, "password of etcd");
    let text = read(path)?;
    let text = String::from_utf8_lossy(&text);
    toml::from_str(&text).map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        EtcdError::Credentials { path: path.to_owned(), line: before.matches('\n').count() + 1 }
    })
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
                tls: address.starts_with("etcds").then(EtcdTls::default),
                credentials: None,
            });
            assert_eq!(read, expected, "{address}");
        };
        check("etcd://127.0.0.1:2379", Some((&["127.0.0.1:2379"], "legation")));
        check("etcd://a:1,b:2,[::1]:3/team/legation/", Some((&["a:1", "b:2", "[::1]:3"], "team/legation")));
        check("etcd://a:1/", Some((&["a:1"], "legation")));
        check("etcds://a:1/x", Some((&["a:1"], "x")));
        for wrong in
            ["embedded", "etcd://", "etcd://a", "etcd://a:1,", "etcd://a:x", "http://a:1", "etcd://a:1/ä"]
        {
            check(wrong, None);
        }
    }

    #[test]
    fn credentials_are_read_and_never_quoted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("credentials");
        for (text, expected) in [
            ("user = 'u'\npassword = 'secret'", Ok(("u", "secret"))),
            ("user = 'u'\npassword = 123456secret", Err(2)),
            ("user = 'u'\npassword = 1234567", Err(2)),
            ("user = 'u'\n\nsecret = 'secret'", Err(3)),
            ("secret", Err(1)),
        ] {
            std::fs::write(&path, text).unwrap();
            match (credentials(&path), expected) {
                (Ok(read), Ok(expected)) => {
                    assert_eq!((read.user.as_str(), read.password.as_str()), expected);
                }
                (Err(error), Err(line)) => {
                    let told = format!("{error} {error:?}");
                    assert!(told.contains(&format!("line {line}")), "{text}: {told}");
                    assert!(!told.contains("secret") && !told.contains("1234567"), "{text}: {told}");
                }
                (read, _) => panic!("{text}: {:?}", read.err()),
            }
        }
    }
}
