//! Whom a client trusts.

use std::io;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use thiserror::Error;

/// Authorities that cannot be trusted, because they are not known.
#[derive(Debug, Error)]
pub enum RootsError {
    /// The file cannot be read.
    #[error("cannot read the certificates of authorities in {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file has no certificate.
    #[error("{path} has no certificate in PEM that can be read")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The system trusts nobody.
    #[error("this system has no certificates of authorities; name a file with --ca-certificate")]
    NoSystemRoots,
}

/// The certificates of authorities in a PEM file.
pub fn from_file(path: &Path) -> Result<Vec<CertificateDer<'static>>, RootsError> {
    let unreadable = |source| RootsError::Unreadable { path: path.to_owned(), source };
    let content = std::fs::read(path).map_err(unreadable)?;
    let roots: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&content).collect();
    match roots {
        Ok(roots) if !roots.is_empty() => Ok(roots),
        _ => Err(RootsError::Empty { path: path.to_owned() }),
    }
}

/// The certificates of the authorities that this system trusts. `SSL_CERT_FILE` and `SSL_CERT_DIR` say otherwise.
pub fn of_system() -> Result<Vec<CertificateDer<'static>>, RootsError> {
    // those that cannot be read are left out, as everywhere
    let roots = rustls_native_certs::load_native_certs().certs;
    if roots.is_empty() {
        return Err(RootsError::NoSystemRoots);
    }
    Ok(roots)
}
