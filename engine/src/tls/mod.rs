//! TLS, for whoever serves it or asks for it.
//!
//! | module | holds |
//! |---|---|
//! | `certificate` | a certificate and its key, from PEM files that may change |
//! | `server` | connections, once TLS is agreed upon |
//! | `roots` | whom a client trusts |

pub mod certificate;
pub mod roots;
pub mod server;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

/// What does the cryptography.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
