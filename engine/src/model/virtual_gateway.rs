//! A virtual gateway: where traffic from outside enters the mesh.

use super::connection_pool::VirtualGatewayConnectionPool;
use super::health_check::VirtualGatewayHealthCheckPolicy;
use super::logging::Logging;
use super::port_mapping::VirtualGatewayPortMapping;
use super::shape::declare::shape;
use super::tls::{BackendDefaults, ListenerTls};

shape! {
    /// What a virtual gateway is.
    pub struct VirtualGatewaySpec {
        /// What holds for every virtual service that it leads to.
        pub backend_defaults: Option<BackendDefaults>,
        /// Where it listens; each at a port of its own.
        pub listeners: Vec<VirtualGatewayListener>,
        /// What its Envoys log.
        pub logging: Option<Logging>,
    }

    /// Where a virtual gateway listens, and how.
    pub struct VirtualGatewayListener {
        /// How much traffic it lets through at once; of its protocol.
        pub connection_pool: Option<VirtualGatewayConnectionPool>,
        /// How it is asked for its health.
        pub health_check: Option<VirtualGatewayHealthCheckPolicy>,
        /// Its port and protocol.
        pub port_mapping: VirtualGatewayPortMapping,
        /// TLS.
        pub tls: Option<ListenerTls>,
    }
}
