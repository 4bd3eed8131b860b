//! A certificate and its key, from PEM files that may change.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use thiserror::Error;
use tokio::sync::watch;

use super::provider;
use crate::watched_files::{self, WatchedFiles, WatchedFilesError};

/// Where a certificate and its key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate in PEM, and after it those that lead to its authority.
    pub certificate: PathBuf,
    /// Its private key in PEM: PKCS #8, PKCS #1 or SEC1, not encrypted.
    pub key: PathBuf,
}

/// A certificate and a key that cannot be used.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// The first file is no certificate.
    #[error("the first has no certificate in PEM that can be read")]
    NoCertificate,
    /// The second file is no key.
    #[error("the second has no private key in PEM that can be read; one that is encrypted cannot")]
    NoKey,
    /// They do not belong together, or are of a kind that is not supported.
    #[error("the certificate and the key cannot be used together: {0}")]
    Unusable(#[from] rustls::Error),
}

impl CertificateFiles {
    /// How a server is to speak TLS with the certificate in these files, and what keeps that current. Clients are offered the
    /// `protocols`, such as `http/1.1`; `name` is what metrics and logs call the files.
    pub fn watch(
        self,
        name: &'static str,
        protocols: &'static [&'static str],
    ) -> Result<(WatchedFiles<ServerConfig>, watch::Receiver<Arc<ServerConfig>>), WatchedFilesError> {
        let key_path = self.key.clone();
        let make = move |contents: &[Vec<u8>]| {
            watched_files::warn_if_public(&key_path, "private key");
            match contents {
                [certificate, key] => server_config(certificate, key, protocols),
                _ => Err(CertificateError::NoCertificate),
            }
        };
        WatchedFiles::open(name, vec![self.certificate, self.key], make)
    }
}

/// A certificate and its key, in PEM, that belong together.
pub fn check_pair(certificate: &[u8], key: &[u8]) -> Result<CertifiedKey, CertificateError> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<_, _>>()
        .map_err(|_| CertificateError::NoCertificate)?;
    if chain.is_empty() {
        return Err(CertificateError::NoCertificate);
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| CertificateError::NoKey)?;
    // this finds a key of another certificate, which setting them one by one would not
    Ok(CertifiedKey::from_der(chain, key, &provider())?)
}

fn server_config(
    certificate: &[u8],
    key: &[u8],
    protocols: &[&str],
) -> Result<ServerConfig, CertificateError> {
    let certified = check_pair(certificate, key)?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Ok(config)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey, generate_simple_self_signed};

    use super::*;

    fn pair() -> (String, String) {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec!["a".to_owned()]).unwrap();
        (cert.pem(), signing_key.serialize_pem())
    }

    #[test]
    fn a_pair_belongs_together() {
        let ((certificate, key), (other_certificate, other_key)) = (pair(), pair());
        let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        for (certificate, key, expected) in [
            (certificate.as_str(), key.as_str(), Ok(())),
            (&format!("{certificate}{other_certificate}"), &key, Ok(())),
            (&certificate, &other_key, Err("cannot be used together")),
            (&other_certificate, &key, Err("cannot be used together")),
            ("", &key, Err("the first has no certificate")),
            (&key, &key, Err("the first has no certificate")),
            (&certificate, "", Err("the second has no private key")),
            (&certificate, &certificate, Err("the second has no private key")),
            (&certificate, &encrypted, Err("the second has no private key")),
            (&certificate[..100], &key, Err("the first has no certificate")),
            (&certificate, &key[..100], Err("the second has no private key")),
        ] {
            let outcome = server_config(certificate.as_bytes(), key.as_bytes(), &["http/1.1"]);
            match (outcome.map(|_| ()).map_err(|error| error.to_string()), expected) {
                (Ok(()), Ok(())) => {}
                (Err(error), Err(expected)) if error.contains(expected) => {}
                (outcome, expected) => panic!("{outcome:?}, {expected:?}:\n{certificate}{key}"),
            }
        }
    }
}
