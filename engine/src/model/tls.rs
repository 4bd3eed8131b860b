//! TLS, on both sides: what a listener shows and asks for, and what a client shows, trusts and enforces.

use super::port_mapping::Port;
use super::shape::declare::shape;
use super::shape::{List, Text};

shape! {
    /// What holds for connections to backends.
    pub struct BackendDefaults {
        /// For every backend that has no policy of its own.
        pub client_policy: Option<ClientPolicy>,
    }

    /// How to connect to a backend.
    pub struct ClientPolicy {
        /// TLS.
        pub tls: Option<ClientPolicyTls>,
    }

    /// TLS towards a backend.
    pub struct ClientPolicyTls {
        /// The certificate to show.
        pub certificate: Option<ClientTlsCertificate>,
        /// Whether a backend without TLS is refused; `true` if absent.
        pub enforce: Option<bool>,
        /// The ports for which this holds; all if absent.
        pub ports: Option<Vec<Port>>,
        /// Whom to trust.
        pub validation: TlsValidationContext,
    }

    /// Where the certificate that a client shows comes from.
    pub union ClientTlsCertificate {
        /// From files.
        File(TlsFileCertificate),
        /// From Envoy's secret discovery service.
        Sds(TlsSdsSecret),
    }

    /// Whom a client trusts.
    pub struct TlsValidationContext {
        /// Which names a server may have; any if absent.
        pub subject_alternative_names: Option<SubjectAlternativeNames>,
        /// Which authorities are trusted.
        pub trust: TlsValidationContextTrust,
    }

    /// Where a client's trusted authorities come from.
    pub union TlsValidationContextTrust {
        /// From a certificate manager.
        Acm(TlsAcmTrust),
        /// From a file.
        File(TlsFileTrust),
        /// From Envoy's secret discovery service.
        Sds(TlsSdsSecret),
    }

    /// TLS of a listener.
    pub struct ListenerTls {
        /// The certificate to show.
        pub certificate: ListenerTlsCertificate,
        /// Whether clients must use TLS.
        pub mode: ListenerTlsMode,
        /// Which clients are trusted; no certificate is asked for if absent.
        pub validation: Option<ListenerTlsValidationContext>,
    }

    /// Whether clients of a listener must use TLS.
    pub enum ListenerTlsMode {
        /// They must.
        Strict = "STRICT",
        /// They may.
        Permissive = "PERMISSIVE",
        /// They cannot.
        Disabled = "DISABLED",
    }

    /// Where the certificate that a listener shows comes from.
    pub union ListenerTlsCertificate {
        /// From a certificate manager.
        Acm(TlsAcmCertificate),
        /// From files.
        File(TlsFileCertificate),
        /// From Envoy's secret discovery service.
        Sds(TlsSdsSecret),
    }

    /// Whom a listener trusts.
    pub struct ListenerTlsValidationContext {
        /// Which names a client may have; any if absent.
        pub subject_alternative_names: Option<SubjectAlternativeNames>,
        /// Which authorities are trusted.
        pub trust: ListenerTlsValidationContextTrust,
    }

    /// Where a listener's trusted authorities come from.
    pub union ListenerTlsValidationContextTrust {
        /// From a file.
        File(TlsFileTrust),
        /// From Envoy's secret discovery service.
        Sds(TlsSdsSecret),
    }

    /// The names that a certificate may be for.
    pub struct SubjectAlternativeNames {
        /// Any one of these must match.
        pub r#match: SubjectAlternativeNameMatchers,
    }

    /// The names that a certificate may be for.
    pub struct SubjectAlternativeNameMatchers {
        /// Exactly these.
        pub exact: Vec<Text<1, 254>>,
    }

    /// A certificate of a certificate manager.
    pub struct TlsAcmCertificate {
        /// The certificate's ARN.
        pub certificate_arn: String,
    }

    /// Authorities of a certificate manager.
    pub struct TlsAcmTrust {
        /// Their ARNs.
        pub certificate_authority_arns: List<String, 1, 3>,
    }

    /// A certificate in files of the Envoy's host.
    pub struct TlsFileCertificate {
        /// The file with the certificate chain, in PEM.
        pub certificate_chain: Text<1, 255>,
        /// The file with the private key, in PEM.
        pub private_key: Text<1, 255>,
    }

    /// Authorities in a file of the Envoy's host.
    pub struct TlsFileTrust {
        /// The file with the certificate chain, in PEM.
        pub certificate_chain: Text<1, 255>,
    }

    /// A secret of Envoy's secret discovery service.
    pub struct TlsSdsSecret {
        /// The secret's name.
        pub secret_name: String,
    }
}
