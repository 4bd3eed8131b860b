//! A virtual service: a name that others call, and what provides it.

use super::shape::Text;
use super::shape::declare::shape;

shape! {
    /// What a virtual service is.
    pub struct VirtualServiceSpec {
        /// What provides it; nothing if absent, so that every request fails.
        pub provider: Option<VirtualServiceProvider>,
    }

    /// What provides a virtual service.
    pub union VirtualServiceProvider {
        /// One virtual node.
        VirtualNode(VirtualNodeServiceProvider),
        /// A virtual router, by its routes.
        VirtualRouter(VirtualRouterServiceProvider),
    }

    /// A virtual node that provides a virtual service.
    pub struct VirtualNodeServiceProvider {
        /// Its name.
        pub virtual_node_name: Text<1, 255>,
    }

    /// A virtual router that provides a virtual service.
    pub struct VirtualRouterServiceProvider {
        /// Its name.
        pub virtual_router_name: Text<1, 255>,
    }
}
