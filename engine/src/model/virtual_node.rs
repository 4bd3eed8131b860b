//! A virtual node: one application with all its replicas, and what it depends on.

use super::connection_pool::VirtualNodeConnectionPool;
use super::health_check::{HealthCheckPolicy, OutlierDetection};
use super::logging::Logging;
use super::port_mapping::PortMapping;
use super::service_discovery::ServiceDiscovery;
use super::shape::declare::shape;
use super::timeout::ListenerTimeout;
use super::tls::{BackendDefaults, ClientPolicy, ListenerTls};

shape! {
    /// What a virtual node is.
    pub struct VirtualNodeSpec {
        /// What holds for every backend.
        pub backend_defaults: Option<BackendDefaults>,
        /// What it depends on: its Envoys learn of nothing else.
        pub backends: Option<Vec<Backend>>,
        /// Where it listens; each at a port of its own.
        pub listeners: Option<Vec<Listener>>,
        /// What its Envoys log.
        pub logging: Option<Logging>,
        /// Where its endpoints are found.
        pub service_discovery: Option<ServiceDiscovery>,
    }

    /// Something that a virtual node depends on.
    pub union Backend {
        /// A virtual service.
        VirtualService(VirtualServiceBackend),
    }

    /// A virtual service that a virtual node depends on. It need not exist yet.
    pub struct VirtualServiceBackend {
        /// How to connect to it; as the backend defaults say if absent.
        pub client_policy: Option<ClientPolicy>,
        /// Its name.
        pub virtual_service_name: String,
    }

    /// Where a virtual node listens, and how.
    pub struct Listener {
        /// How much traffic it lets through at once; of its protocol.
        pub connection_pool: Option<VirtualNodeConnectionPool>,
        /// How it is asked for its health.
        pub health_check: Option<HealthCheckPolicy>,
        /// When an endpoint that answers with errors is left alone for a while.
        pub outlier_detection: Option<OutlierDetection>,
        /// Its port and protocol.
        pub port_mapping: PortMapping,
        /// How long things may take; of its protocol.
        pub timeout: Option<ListenerTimeout>,
        /// TLS.
        pub tls: Option<ListenerTls>,
    }
}

impl VirtualNodeSpec {
    /// The listeners; none if absent.
    pub fn listeners(&self) -> &[Listener] {
        self.listeners.as_deref().unwrap_or_default()
    }

    /// The virtual services that it depends on; none if absent.
    pub fn backends(&self) -> impl Iterator<Item = &VirtualServiceBackend> {
        self.backends.iter().flatten().map(|Backend::VirtualService(backend)| backend)
    }
}
