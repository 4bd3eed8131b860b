//! How a process is to run: flags, variables and a file, in this order of precedence.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::frontend::{Quotas, Rates};
use crate::store::{EtcdSettings, EtcdTls, Retention};
use crate::tls::certificate::CertificateFiles;

/// What may be said of how a process is to run. Each member is a flag of `legation serve`, a variable
/// `LEGATION_<FLAG>`, and a key of the TOML file.
#[derive(Clone, Debug, Default, PartialEq, clap::Args, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ServeOptions {
    /// Directory for definitions and their journal, with the embedded store [default: legation-data]
    #[arg(long, env = "LEGATION_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// How long the journal keeps who changed what, and what the definitions were; 0 for ever [default: 90 days]
    #[arg(long, env = "LEGATION_JOURNAL_RETENTION", value_name = "TIME", value_parser = humantime::parse_duration)]
    #[serde(with = "humantime_serde::option")]
    pub journal_retention: Option<Duration>,

    /// Most transactions that the journal keeps; 0 for any number [default: 1000000]
    #[arg(long, env = "LEGATION_JOURNAL_ENTRIES_MAX", value_name = "COUNT")]
    pub journal_entries_max: Option<u64>,

    /// Where definitions are kept: "embedded", or etcd://HOST:PORT,HOST:PORT/ROOT, or etcds://... for TLS; /ROOT is
    /// /legation unless it is said [default: embedded]
    #[arg(long, env = "LEGATION_STORE", value_name = "STORE")]
    pub store: Option<String>,

    /// PEM file with the certificates of the authorities that etcd's are trusted by, with etcds:// [default: those that
    /// the system trusts]
    #[arg(long, env = "LEGATION_STORE_CA", value_name = "FILE")]
    pub store_ca: Option<PathBuf>,

    /// PEM file with the certificate that this process shows to etcd, and after it those that lead to its authority
    #[arg(long, env = "LEGATION_STORE_CERTIFICATE", value_name = "FILE")]
    pub store_certificate: Option<PathBuf>,

    /// PEM file with the private key of that certificate
    #[arg(long, env = "LEGATION_STORE_KEY", value_name = "FILE")]
    pub store_key: Option<PathBuf>,

    /// TOML file with user and password of a user of etcd's
    #[arg(long, env = "LEGATION_STORE_CREDENTIALS", value_name = "FILE")]
    pub store_credentials: Option<PathBuf>,

    /// What this process does: any of frontend, transformer, management [default: all]
    #[arg(long, env = "LEGATION_ROLES", value_name = "ROLE,...", value_delimiter = ',')]
    pub roles: Option<Vec<Role>>,

    /// IP address that other hosts reach this one at [default: that of --admin-addr]
    #[arg(long, env = "LEGATION_ADVERTISE_ADDR", value_name = "IP")]
    pub advertise_addr: Option<IpAddr>,

    /// How long after it was heard of last a host is taken for dead, and others do its work [default: 10s]
    #[arg(long, env = "LEGATION_LEASE_TIME", value_name = "TIME", value_parser = humantime::parse_duration)]
    #[serde(with = "humantime_serde::option")]
    pub lease_time: Option<Duration>,

    /// Address of the App Mesh API [default: 127.0.0.1:8080]
    #[arg(long, env = "LEGATION_API_ADDR", value_name = "ADDR")]
    pub api_addr: Option<SocketAddr>,

    /// Address that Envoys connect to [default: 127.0.0.1:18000]
    #[arg(long, env = "LEGATION_XDS_ADDR", value_name = "ADDR")]
    pub xds_addr: Option<SocketAddr>,

    /// Address of health, metrics and status [default: 127.0.0.1:8081]
    #[arg(long, env = "LEGATION_ADMIN_ADDR", value_name = "ADDR")]
    pub admin_addr: Option<SocketAddr>,

    /// Most Envoys that may be connected at once [default: 1000]
    #[arg(long, env = "LEGATION_MAX_ENVOYS", value_name = "COUNT")]
    pub max_envoys: Option<usize>,

    /// Most Envoys of one virtual node or gateway that may be connected at once [default: as many as --max-envoys]
    #[arg(long, env = "LEGATION_MAX_ENVOYS_PER_NODE", value_name = "COUNT")]
    pub max_envoys_per_node: Option<usize>,

    /// How long an Envoy stays connected before it has to connect again, give or take a fifth [default: 30m]
    #[arg(long, env = "LEGATION_RECONNECT_INTERVAL", value_name = "TIME", value_parser = humantime::parse_duration)]
    #[serde(with = "humantime_serde::option")]
    pub reconnect_interval: Option<Duration>,

    /// Most Envoys that are told to connect again in a second because of that [default: 50]
    #[arg(long, env = "LEGATION_RECONNECTS_PER_SECOND", value_name = "COUNT")]
    pub reconnects_per_second: Option<u32>,

    /// How long an Envoy may leave a response unanswered before it is disconnected; clusters wait for
    /// DNS and their first health checks, which may take a minute each [default: 2m]
    #[arg(long, env = "LEGATION_STALL_TIMEOUT", value_name = "TIME", value_parser = humantime::parse_duration)]
    #[serde(with = "humantime_serde::option")]
    pub stall_timeout: Option<Duration>,

    /// How often an Envoy is asked whether it is still there [default: 30s]
    #[arg(long, env = "LEGATION_KEEPALIVE_INTERVAL", value_name = "TIME", value_parser = humantime::parse_duration)]
    #[serde(with = "humantime_serde::option")]
    pub keepalive_interval: Option<Duration>,

    /// How long the answer may take before the connection is closed [default: 10s]
    #[arg(long, env = "LEGATION_KEEPALIVE_TIMEOUT", value_name = "TIME", value_parser = humantime::parse_duration)]
    #[serde(with = "humantime_serde::option")]
    pub keepalive_timeout: Option<Duration>,

    /// How long sending all Envoys away may take when the process is told to end [default: 20s]
    #[arg(long, env = "LEGATION_DRAIN_TIMEOUT", value_name = "TIME", value_parser = humantime::parse_duration)]
    #[serde(with = "humantime_serde::option")]
    pub drain_timeout: Option<Duration>,

    /// Region in ARNs [default: us-east-1]
    #[arg(long, env = "LEGATION_REGION", value_name = "REGION")]
    pub region: Option<String>,

    /// Account in ARNs, 12 digits [default: 000000000000]
    #[arg(long, env = "LEGATION_ACCOUNT_ID", value_name = "ACCOUNT")]
    pub account_id: Option<String>,

    /// TOML file with the access keys that requests to the API are signed with; without one everybody is let in
    #[arg(long, env = "LEGATION_ACCESS_KEYS", value_name = "FILE")]
    pub access_keys: Option<PathBuf>,

    /// File with the Cedar policies that say who may do what, or directory with such files, *.cedar; without it everybody
    /// may do everything
    #[arg(long, env = "LEGATION_POLICIES", value_name = "FILE|DIR")]
    pub policies: Option<PathBuf>,

    /// PEM file with the certificate of the API, and after it those that lead to its authority
    #[arg(long, env = "LEGATION_API_TLS_CERTIFICATE", value_name = "FILE")]
    pub api_tls_certificate: Option<PathBuf>,

    /// PEM file with the private key of that certificate
    #[arg(long, env = "LEGATION_API_TLS_KEY", value_name = "FILE")]
    pub api_tls_key: Option<PathBuf>,

    /// Most meshes [default: 10000]
    #[arg(long, env = "LEGATION_MAX_MESHES", value_name = "COUNT")]
    pub max_meshes: Option<usize>,

    /// Most virtual nodes in a mesh [default: 200000]
    #[arg(long, env = "LEGATION_MAX_VIRTUAL_NODES", value_name = "COUNT")]
    pub max_virtual_nodes: Option<usize>,

    /// Most virtual services in a mesh [default: 200000]
    #[arg(long, env = "LEGATION_MAX_VIRTUAL_SERVICES", value_name = "COUNT")]
    pub max_virtual_services: Option<usize>,

    /// Most virtual routers in a mesh [default: 200000]
    #[arg(long, env = "LEGATION_MAX_VIRTUAL_ROUTERS", value_name = "COUNT")]
    pub max_virtual_routers: Option<usize>,

    /// Most virtual gateways in a mesh [default: 10000]
    #[arg(long, env = "LEGATION_MAX_VIRTUAL_GATEWAYS", value_name = "COUNT")]
    pub max_virtual_gateways: Option<usize>,

    /// Most routes of a virtual router [default: 1000]
    #[arg(long, env = "LEGATION_MAX_ROUTES", value_name = "COUNT")]
    pub max_routes: Option<usize>,

    /// Most gateway routes of a virtual gateway [default: 1000]
    #[arg(long, env = "LEGATION_MAX_GATEWAY_ROUTES", value_name = "COUNT")]
    pub max_gateway_routes: Option<usize>,

    /// Most backends of a virtual node [default: 1000]
    #[arg(long, env = "LEGATION_MAX_BACKENDS", value_name = "COUNT")]
    pub max_backends: Option<usize>,

    /// How often a caller may read through the API in a second, 0 for no limit [default: 20000]
    #[arg(long, env = "LEGATION_API_READS_PER_SECOND", value_name = "COUNT")]
    pub api_reads_per_second: Option<u32>,

    /// How often a caller may write through the API in a second, 0 for no limit [default: 10000]
    #[arg(long, env = "LEGATION_API_WRITES_PER_SECOND", value_name = "COUNT")]
    pub api_writes_per_second: Option<u32>,

    /// Serve other addresses than loopback although TLS or authentication is missing: anybody who reaches them can
    /// change every mesh and read every configuration
    #[arg(long, env = "LEGATION_INSECURE", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub insecure: Option<bool>,
}

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Serves the API.
    Frontend,
    /// Computes fragments.
    Transformer,
    /// Serves Envoys.
    Management,
}

impl Role {
    /// Everything that a process can do.
    pub const ALL: [Self; 3] = [Self::Frontend, Self::Transformer, Self::Management];

    /// Its name, as it is said in flags and files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Frontend => "frontend",
            Self::Transformer => "transformer",
            Self::Management => "management",
        }
    }
}

/// How a process runs, complete and consistent.
#[derive(Clone, Debug, PartialEq)]
pub struct ServeSettings {
    /// What this process does.
    pub roles: Vec<Role>,
    /// The address that other hosts reach this one at, if it is not the one that it listens at.
    pub advertise_addr: Option<IpAddr>,
    /// How long after it was heard of last a host is taken for dead.
    pub lease_time: Duration,
    /// Directory of what this host keeps by itself.
    pub data_dir: PathBuf,
    /// Where definitions are kept.
    pub store: StoreSettings,
    /// How much of the past is kept.
    pub retention: Retention,
    /// Address of the App Mesh API.
    pub api_addr: SocketAddr,
    /// Address that Envoys connect to.
    pub xds_addr: SocketAddr,
    /// Address of health, metrics and status.
    pub admin_addr: SocketAddr,
    /// Most Envoys that may be connected at once.
    pub max_envoys: usize,
    /// Most Envoys of one virtual node or gateway that may be connected at once.
    pub max_envoys_per_node: usize,
    /// How long an Envoy stays connected before it has to connect again.
    pub reconnect_interval: Duration,
    /// Most Envoys that are told to connect again in a second because of that.
    pub reconnects_per_second: u32,
    /// How long an Envoy may leave a response unanswered.
    pub stall_timeout: Duration,
    /// How long a connection may be silent before its Envoy is asked whether it is there.
    pub keepalive_interval: Duration,
    /// How long the answer may take.
    pub keepalive_timeout: Duration,
    /// How long sending all Envoys away may take when the process is told to end.
    pub drain_timeout: Duration,
    /// Region in ARNs.
    pub region: String,
    /// Account in ARNs.
    pub account_id: String,
    /// The file with the access keys; without one everybody is let in.
    pub access_keys: Option<PathBuf>,
    /// The file or directory with the policies; without one everybody may do everything.
    pub policies: Option<PathBuf>,
    /// The certificate of the API; without one it is served in clear text.
    pub api_certificate: Option<CertificateFiles>,
    /// How many resources there may be.
    pub quotas: Quotas,
    /// How often a caller may ask the API.
    pub rates: Rates,
}

/// Which store, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreSettings {
    /// On this host.
    Embedded {
        /// Its directory.
        data_dir: PathBuf,
    },
    /// A cluster of etcd, for any number of hosts.
    Etcd(EtcdSettings),
}

impl StoreSettings {
    /// Whether no other host can have a part in it.
    pub fn is_embedded(&self) -> bool {
        matches!(self, Self::Embedded { .. })
    }
}

/// Settings that cannot be used.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file says something that cannot be understood.
    #[error("configuration file {path}: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// A value is out of its range.
    #[error("{setting}: {reason}")]
    Invalid {
        /// The flag, with its dashes.
        setting: &'static str,
        /// What is wrong, and what to do.
        reason: String,
    },
}

fn invalid(setting: &'static str, reason: impl Into<String>) -> SettingsError {
    SettingsError::Invalid { setting, reason: reason.into() }
}

impl ServeOptions {
    /// Reads the options in a TOML file, whose keys are the names of the flags.
    pub fn from_file(path: &Path) -> Result<Self, SettingsError> {
        let unreadable = |source| SettingsError::Unreadable { path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        toml::from_str(&text)
            .map_err(|error| SettingsError::Malformed { path: path.to_owned(), reason: error.to_string() })
    }

    /// These options where they say something, those of `other` where they do not.
    pub fn or(self, other: Self) -> Self {
        Self {
            data_dir: self.data_dir.or(other.data_dir),
            journal_retention: self.journal_retention.or(other.journal_retention),
            journal_entries_max: self.journal_entries_max.or(other.journal_entries_max),
            store: self.store.or(other.store),
            store_ca: self.store_ca.or(other.store_ca),
            store_certificate: self.store_certificate.or(other.store_certificate),
            store_key: self.store_key.or(other.store_key),
            store_credentials: self.store_credentials.or(other.store_credentials),
            roles: self.roles.or(other.roles),
            advertise_addr: self.advertise_addr.or(other.advertise_addr),
            lease_time: self.lease_time.or(other.lease_time),
            api_addr: self.api_addr.or(other.api_addr),
            xds_addr: self.xds_addr.or(other.xds_addr),
            admin_addr: self.admin_addr.or(other.admin_addr),
            max_envoys: self.max_envoys.or(other.max_envoys),
            max_envoys_per_node: self.max_envoys_per_node.or(other.max_envoys_per_node),
            reconnect_interval: self.reconnect_interval.or(other.reconnect_interval),
            reconnects_per_second: self.reconnects_per_second.or(other.reconnects_per_second),
            stall_timeout: self.stall_timeout.or(other.stall_timeout),
            keepalive_interval: self.keepalive_interval.or(other.keepalive_interval),
            keepalive_timeout: self.keepalive_timeout.or(other.keepalive_timeout),
            drain_timeout: self.drain_timeout.or(other.drain_timeout),
            region: self.region.or(other.region),
            account_id: self.account_id.or(other.account_id),
            access_keys: self.access_keys.or(other.access_keys),
            policies: self.policies.or(other.policies),
            api_tls_certificate: self.api_tls_certificate.or(other.api_tls_certificate),
            api_tls_key: self.api_tls_key.or(other.api_tls_key),
            max_meshes: self.max_meshes.or(other.max_meshes),
            max_virtual_nodes: self.max_virtual_nodes.or(other.max_virtual_nodes),
            max_virtual_services: self.max_virtual_services.or(other.max_virtual_services),
            max_virtual_routers: self.max_virtual_routers.or(other.max_virtual_routers),
            max_virtual_gateways: self.max_virtual_gateways.or(other.max_virtual_gateways),
            max_routes: self.max_routes.or(other.max_routes),
            max_gateway_routes: self.max_gateway_routes.or(other.max_gateway_routes),
            max_backends: self.max_backends.or(other.max_backends),
            api_reads_per_second: self.api_reads_per_second.or(other.api_reads_per_second),
            api_writes_per_second: self.api_writes_per_second.or(other.api_writes_per_second),
            insecure: self.insecure.or(other.insecure),
        }
    }

    /// Completes the options with the defaults and checks them.
    pub fn into_settings(self) -> Result<ServeSettings, SettingsError> {
        let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let max_envoys = self.max_envoys.unwrap_or(1000);
        let (quotas, rates) = (Quotas::default(), Rates::default());
        let api_certificate = pair(
            ("--api-tls-certificate", self.api_tls_certificate),
            ("--api-tls-key", self.api_tls_key),
            ["takes --api-tls-key as well", "takes --api-tls-certificate as well"],
        )?;
        let store_certificate = pair(
            ("--store-certificate", self.store_certificate),
            ("--store-key", self.store_key),
            ["takes --store-key as well", "takes --store-certificate as well"],
        )?;
        let data_dir = self.data_dir.unwrap_or_else(|| "legation-data".into());
        let store = match self.store.as_deref().unwrap_or(EMBEDDED) {
            EMBEDDED => {
                for (setting, is_given) in [
                    ("--store-ca", self.store_ca.is_some()),
                    ("--store-certificate", store_certificate.is_some()),
                    ("--store-credentials", self.store_credentials.is_some()),
                ] {
                    if is_given {
                        return Err(invalid(setting, "is for etcd; say --store etcds://HOST:PORT as well"));
                    }
                }
                StoreSettings::Embedded { data_dir: data_dir.clone() }
            }
            address => {
                StoreSettings::Etcd(etcd(address, self.store_ca, store_certificate, self.store_credentials)?)
            }
        };
        let settings = ServeSettings {
            roles: self.roles.unwrap_or_else(|| Role::ALL.to_vec()),
            advertise_addr: self.advertise_addr,
            lease_time: self.lease_time.unwrap_or(LEASE_TIME),
            data_dir,
            store,
            retention: Retention {
                age_max: Some(self.journal_retention.unwrap_or(JOURNAL_RETENTION))
                    .filter(|age| !age.is_zero()),
                entries_max: Some(self.journal_entries_max.unwrap_or(JOURNAL_ENTRIES_MAX))
                    .filter(|max| *max > 0),
            },
            api_addr: self.api_addr.unwrap_or(loopback(8080)),
            xds_addr: self.xds_addr.unwrap_or(loopback(18000)),
            admin_addr: self.admin_addr.unwrap_or(loopback(8081)),
            max_envoys,
            max_envoys_per_node: self.max_envoys_per_node.unwrap_or(max_envoys),
            reconnect_interval: self.reconnect_interval.unwrap_or(Duration::from_secs(30 * 60)),
            reconnects_per_second: self.reconnects_per_second.unwrap_or(50),
            stall_timeout: self.stall_timeout.unwrap_or(Duration::from_secs(120)),
            keepalive_interval: self.keepalive_interval.unwrap_or(Duration::from_secs(30)),
            keepalive_timeout: self.keepalive_timeout.unwrap_or(Duration::from_secs(10)),
            drain_timeout: self.drain_timeout.unwrap_or(Duration::from_secs(20)),
            region: self.region.unwrap_or_else(|| "us-east-1".to_owned()),
            account_id: self.account_id.unwrap_or_else(|| "000000000000".to_owned()),
            quotas: Quotas {
                meshes: self.max_meshes.unwrap_or(quotas.meshes),
                virtual_nodes: self.max_virtual_nodes.unwrap_or(quotas.virtual_nodes),
                virtual_services: self.max_virtual_services.unwrap_or(quotas.virtual_services),
                virtual_routers: self.max_virtual_routers.unwrap_or(quotas.virtual_routers),
                virtual_gateways: self.max_virtual_gateways.unwrap_or(quotas.virtual_gateways),
                routes: self.max_routes.unwrap_or(quotas.routes),
                gateway_routes: self.max_gateway_routes.unwrap_or(quotas.gateway_routes),
                backends: self.max_backends.unwrap_or(quotas.backends),
            },
            rates: Rates {
                reads: self.api_reads_per_second.map_or(rates.reads, NonZeroU32::new),
                writes: self.api_writes_per_second.map_or(rates.writes, NonZeroU32::new),
                ..rates
            },
            access_keys: self.access_keys,
            policies: self.policies,
            api_certificate,
        };
        let has_every_role = Role::ALL.iter().all(|role| settings.roles.contains(role));
        if settings.store.is_embedded() && !has_every_role {
            return Err(invalid(
                "--roles",
                "with the embedded store one process has every role; leave this out, or say --store etcd://...",
            ));
        }
        if !self.insecure.unwrap_or(false) {
            let is_api_protected = settings.access_keys.is_some() && settings.api_certificate.is_some();
            let addresses = [
                ("--api-addr", settings.api_addr, is_api_protected, API_MISSING),
                ("--xds-addr", settings.xds_addr, false, OTHER_MISSING),
                ("--admin-addr", settings.admin_addr, false, OTHER_MISSING),
            ];
            for (setting, address, is_protected, missing) in addresses {
                if !address.ip().is_loopback() && !is_protected {
                    let reason = format!(
                        "{address} is not a loopback address, and {missing}; \
                         say --insecure if only trusted hosts reach it"
                    );
                    return Err(invalid(setting, reason));
                }
            }
        }
        for (setting, count) in
            [("--max-envoys", settings.max_envoys), ("--max-envoys-per-node", settings.max_envoys_per_node)]
        {
            if count == 0 {
                return Err(invalid(setting, "0 would refuse every envoy; give at least 1"));
            }
        }
        if settings.reconnects_per_second == 0 {
            return Err(invalid("--reconnects-per-second", "give at least 1"));
        }
        for (setting, time) in [
            ("--reconnect-interval", settings.reconnect_interval),
            ("--stall-timeout", settings.stall_timeout),
            ("--keepalive-interval", settings.keepalive_interval),
            ("--keepalive-timeout", settings.keepalive_timeout),
            ("--drain-timeout", settings.drain_timeout),
        ] {
            if !(TIME_MIN..=TIME_MAX).contains(&time) {
                return Err(invalid(setting, "give at least 1s and at most 365 days"));
            }
        }
        if !(LEASE_TIME_MIN..=TIME_MAX).contains(&settings.lease_time) {
            return Err(invalid("--lease-time", "give at least 2s: shorter pauses are no sign of death"));
        }
        if settings.roles.is_empty() {
            return Err(invalid(
                "--roles",
                "say what the process is to do: frontend, transformer, management",
            ));
        }
        let is_reachable = !settings.admin_addr.ip().is_unspecified() || settings.advertise_addr.is_some();
        if !settings.store.is_embedded() && !is_reachable {
            let reason = "other hosts cannot reach 0.0.0.0; say which address of this host they can";
            return Err(invalid("--advertise-addr", reason));
        }
        if settings.retention.age_max.is_some_and(|age| age < TIME_MIN) {
            return Err(invalid("--journal-retention", "give at least 1s, or 0 to keep everything"));
        }
        if settings.account_id.len() != 12 || !settings.account_id.bytes().all(|digit| digit.is_ascii_digit())
        {
            return Err(invalid("--account-id", format!("{:?} is not 12 digits", settings.account_id)));
        }
        let is_region = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'-';
        if settings.region.is_empty() || !settings.region.bytes().all(is_region) {
            let reason = format!(
                "{:?} is no region; it is made of a-z, 0-9 and -, such as us-east-1",
                settings.region
            );
            return Err(invalid("--region", reason));
        }
        Ok(settings)
    }
}

/// What is missing for an address that others than this host can reach.
const API_MISSING: &str = "it takes --access-keys, --api-tls-certificate and --api-tls-key together";
const OTHER_MISSING: &str = "there is no TLS and no authentication";

/// Shortest and longest time that a setting takes.
const TIME_MIN: Duration = Duration::from_secs(1);
const TIME_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// How long after it was heard of last a host is taken for dead, if nobody says so; and the shortest that can be said.
const LEASE_TIME: Duration = Duration::from_secs(10);
const LEASE_TIME_MIN: Duration = Duration::from_secs(2);

/// How much of the past is kept if nobody says so.
const JOURNAL_RETENTION: Duration = Duration::from_secs(90 * 24 * 60 * 60);
const JOURNAL_ENTRIES_MAX: u64 = 1_000_000;

/// The store that everybody has.
const EMBEDDED: &str = "embedded";

/// A certificate and its key, of which one takes the other.
fn pair(
    (certificate_setting, certificate): (&'static str, Option<PathBuf>),
    (key_setting, key): (&'static str, Option<PathBuf>),
    [without_key, without_certificate]: [&str; 2],
) -> Result<Option<CertificateFiles>, SettingsError> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some(CertificateFiles { certificate, key })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(invalid(certificate_setting, without_key)),
        (None, Some(_)) => Err(invalid(key_setting, without_certificate)),
    }
}

/// A cluster of etcd at `address`. TLS is what the address says, so that nothing is sent in clear text by mistake.
fn etcd(
    address: &str,
    ca: Option<PathBuf>,
    certificate: Option<CertificateFiles>,
    credentials: Option<PathBuf>,
) -> Result<EtcdSettings, SettingsError> {
    let settings = EtcdSettings::parse(address).map_err(|error| {
        invalid("--store", format!("{error}; or \"{EMBEDDED}\" for a store on this host"))
    })?;
    let tls = match settings.tls {
        Some(_) => Some(EtcdTls { ca, certificate }),
        None if ca.is_some() => return Err(invalid("--store-ca", TAKES_TLS)),
        None if certificate.is_some() => return Err(invalid("--store-certificate", TAKES_TLS)),
        None => None,
    };
    Ok(EtcdSettings { tls, credentials, ..settings })
}

const TAKES_TLS: &str = "is for TLS; begin the address of --store with etcds://";

#[cfg(test)]
mod tests {
    use super::*;

    fn from_toml(text: &str) -> Result<ServeSettings, String> {
        let options: ServeOptions = toml::from_str(text).map_err(|error| error.to_string())?;
        options.into_settings().map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_are_complete_and_loopback_only() {
        let settings = ServeOptions::default().into_settings().unwrap();
        assert_eq!(settings.api_addr.to_string(), "127.0.0.1:8080");
        assert_eq!(settings.xds_addr.to_string(), "127.0.0.1:18000");
        assert_eq!(settings.admin_addr.to_string(), "127.0.0.1:8081");
        assert_eq!((settings.max_envoys, settings.reconnect_interval.as_secs()), (1000, 1800));
    }

    #[test]
    fn a_file_says_what_flags_say() {
        let text = r#"
            data-dir = "/srv/legation"
            store = "embedded"
            roles = ["frontend", "transformer", "management"]
            api-addr = "[::1]:1"
            reconnect-interval = "90s"
            max-envoys = 7
            account-id = "111122223333"
        "#;
        let settings = from_toml(text).unwrap();
        assert_eq!(settings.data_dir, Path::new("/srv/legation"));
        assert_eq!((settings.max_envoys, settings.reconnect_interval.as_secs()), (7, 90));
    }

    #[test]
    fn the_journal_is_bounded_unless_somebody_says_otherwise() {
        let days = |days: u64| Some(Duration::from_secs(days * 24 * 60 * 60));
        for (text, age_max, entries_max) in [
            ("", days(90), Some(1_000_000)),
            ("journal-retention = '7 days'", days(7), Some(1_000_000)),
            ("journal-entries-max = 5", days(90), Some(5)),
            ("journal-retention = '0s'\njournal-entries-max = 0", None, None),
        ] {
            assert_eq!(from_toml(text).unwrap().retention, Retention { age_max, entries_max }, "{text}");
        }
        let error = from_toml("journal-retention = '1ms'").unwrap_err();
        assert!(error.contains("--journal-retention: give at least 1s, or 0"), "{error}");
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (text, expected) in [
            ("api-addr = '0.0.0.0:80'", "--api-addr: 0.0.0.0:80 is not a loopback address"),
            (
                "api-addr = '0.0.0.0:80'\naccess-keys = 'k'",
                "--access-keys, --api-tls-certificate and --api-tls-key",
            ),
            (
                "api-addr = '0.0.0.0:80'\napi-tls-certificate = 'c'\napi-tls-key = 'k'",
                "it takes --access-keys",
            ),
            ("api-tls-certificate = 'c'", "--api-tls-certificate: takes --api-tls-key as well"),
            ("api-tls-key = 'k'", "--api-tls-key: takes --api-tls-certificate as well"),
            (
                "access-keys = 'a'\napi-tls-certificate = 'c'\napi-tls-key = 'k'\nxds-addr = '[::]:80'",
                "--xds-addr",
            ),
            ("xds-addr = '10.0.0.1:80'", "--insecure"),
            ("max-envoys = 0", "--max-envoys: 0 would refuse every envoy"),
            ("reconnect-interval = '10ms'", "--reconnect-interval: give at least 1s"),
            ("reconnect-interval = 'soon'", "reconnect-interval"),
            ("keepalive-interval = '0s'", "--keepalive-interval: give at least 1s"),
            ("keepalive-timeout = '0s'", "--keepalive-timeout: give at least 1s"),
            ("account-id = '12'", "--account-id: \"12\" is not 12 digits"),
            ("store = 'etcd://a'", "--store: etcd://a is no address of etcd: say etcd://HOST:PORT"),
            ("store = 'mysql'", "or \"embedded\" for a store on this host"),
            ("store-ca = 'c'", "--store-ca: is for etcd"),
            ("store = 'etcd://a:1'\nstore-ca = 'c'", "--store-ca: is for TLS"),
            (
                "store = 'etcd://a:1'\nstore-certificate = 'c'\nstore-key = 'k'",
                "--store-certificate: is for TLS",
            ),
            (
                "store = 'etcds://a:1'\nstore-certificate = 'c'",
                "--store-certificate: takes --store-key as well",
            ),
            ("store = 'etcds://a:1'\nstore-key = 'c'", "--store-key: takes --store-certificate as well"),
            ("roles = ['frontend']", "--roles: with the embedded store"),
            ("roles = ['cook']", "cook"),
            ("no-such-key = 1", "no-such-key"),
        ] {
            let error = from_toml(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        assert!(from_toml("api-addr = '0.0.0.0:80'\ninsecure = true").is_ok());
        let protected = "access-keys = 'a'\napi-tls-certificate = 'c'\napi-tls-key = 'k'";
        let settings = from_toml(&format!("api-addr = '0.0.0.0:80'\n{protected}")).unwrap();
        let certificate = CertificateFiles { certificate: "c".into(), key: "k".into() };
        assert_eq!((settings.access_keys, settings.api_certificate), (Some("a".into()), Some(certificate)));
    }

    #[test]
    fn a_store_in_etcd_has_settings() {
        let store = |text: &str| from_toml(text).unwrap().store;
        assert_eq!(store(""), StoreSettings::Embedded { data_dir: "legation-data".into() });
        let plain = EtcdSettings::parse("etcd://a:1/x").unwrap();
        assert_eq!(store("store = 'etcd://a:1/x'"), StoreSettings::Etcd(plain.clone()));
        let text = "store = 'etcds://a:1/x'\nstore-ca = 'ca'\nstore-certificate = 'c'\nstore-key = 'k'\n\
                    store-credentials = 'u'";
        let certificate = Some(CertificateFiles { certificate: "c".into(), key: "k".into() });
        let tls = Some(EtcdTls { ca: Some("ca".into()), certificate });
        let expected = EtcdSettings { tls, credentials: Some("u".into()), ..plain };
        assert_eq!(store(text), StoreSettings::Etcd(expected));
    }

    #[test]
    fn quotas_and_rates_have_settings() {
        let settings = from_toml("").unwrap();
        assert_eq!((settings.quotas, settings.rates), (Quotas::default(), Rates::default()));
        let text = "max-meshes = 15\nmax-backends = 50\napi-writes-per-second = 5\napi-reads-per-second = 0";
        let settings = from_toml(text).unwrap();
        assert_eq!(settings.quotas, Quotas { meshes: 15, backends: 50, ..Quotas::default() });
        assert_eq!(settings.rates, Rates { reads: None, writes: NonZeroU32::new(5), ..Rates::default() });
    }

    #[test]
    fn the_first_to_speak_wins() {
        let flags = ServeOptions { max_envoys: Some(1), ..Default::default() };
        let file = ServeOptions { max_envoys: Some(2), region: Some("r".to_owned()), ..Default::default() };
        let merged = flags.or(file);
        assert_eq!((merged.max_envoys, merged.region.as_deref()), (Some(1), Some("r")));
    }
}
