//! A virtual router: routes under one roof, that provide virtual services together.

use super::port_mapping::PortMapping;
use super::shape::declare::shape;

shape! {
    /// What a virtual router is.
    pub struct VirtualRouterSpec {
        /// Where it listens; each at a port of its own.
        pub listeners: Option<Vec<VirtualRouterListener>>,
    }

    /// Where a virtual router listens.
    pub struct VirtualRouterListener {
        /// Its port and protocol.
        pub port_mapping: PortMapping,
    }
}

impl VirtualRouterSpec {
    /// The listeners; none if absent.
    pub fn listeners(&self) -> &[VirtualRouterListener] {
        self.listeners.as_deref().unwrap_or_default()
    }
}
