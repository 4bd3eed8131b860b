//! A mesh: the services of one network, and what they may reach outside of it.

use super::service_discovery::IpPreference;
use super::shape::declare::shape;

shape! {
    /// What a mesh is.
    pub struct MeshSpec {
        /// Where traffic may go that is for no virtual service.
        pub egress_filter: Option<EgressFilter>,
        /// What holds for the service discovery of every virtual node.
        pub service_discovery: Option<MeshServiceDiscovery>,
    }

    /// Where traffic may go that is for no virtual service.
    pub struct EgressFilter {
        /// Anywhere, or nowhere.
        pub r#type: EgressFilterType,
    }

    /// Where traffic may go that is for no virtual service.
    pub enum EgressFilterType {
        /// Anywhere.
        AllowAll = "ALLOW_ALL",
        /// Nowhere, except to AWS.
        DropAll = "DROP_ALL",
    }

    /// What holds for the service discovery of every virtual node.
    pub struct MeshServiceDiscovery {
        /// Which addresses are used where a virtual node does not say.
        pub ip_preference: Option<IpPreference>,
    }
}

impl MeshSpec {
    /// Where traffic may go that is for no virtual service; nowhere if the mesh does not say.
    pub fn egress(&self) -> EgressFilterType {
        self.egress_filter.as_ref().map_or(EgressFilterType::DropAll, |filter| filter.r#type)
    }

    /// Which addresses are used where a virtual node does not say.
    pub fn ip_preference(&self) -> Option<IpPreference> {
        self.service_discovery.as_ref().and_then(|discovery| discovery.ip_preference)
    }
}
