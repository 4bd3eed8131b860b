//! The xDS resource types that are served.

use std::fmt;

/// An xDS resource type.
///
/// The order of the variants *is* the order in which ADS sends additions and updates, so that nothing refers
/// to what an Envoy does not have yet (xDS protocol, "eventual consistency considerations"; conformance 68).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(usize)]
pub enum ResourceType {
    /// `envoy.config.cluster.v3.Cluster`, CDS.
    Cluster,
    /// `envoy.config.endpoint.v3.ClusterLoadAssignment`, EDS.
    Endpoints,
    /// `envoy.extensions.transport_sockets.tls.v3.Secret`, SDS. Clusters warm until theirs come, so those go before what
    /// leads to clusters; those of listeners are asked for, and answered, after the listeners.
    Secret,
    /// `envoy.config.listener.v3.Listener`, LDS.
    Listener,
    /// `envoy.config.route.v3.RouteConfiguration`, RDS.
    RouteConfiguration,
}

impl ResourceType {
    /// How many types there are: the length of tables that are indexed by [`ResourceType::index`].
    pub const COUNT: usize = 5;

    /// Every type, in ADS order.
    pub const ALL: [Self; Self::COUNT] =
        [Self::Cluster, Self::Endpoints, Self::Secret, Self::Listener, Self::RouteConfiguration];

    /// The position in [`ResourceType::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The type URL, as it stands in requests, responses and every `Any`.
    pub const fn type_url(self) -> &'static str {
        match self {
            Self::Cluster => "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            Self::Endpoints => "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            Self::Secret => "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
            Self::Listener => "type.googleapis.com/envoy.config.listener.v3.Listener",
            Self::RouteConfiguration => "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        }
    }

    /// The type with this URL, `None` for one that is not served (conformance 11).
    pub fn from_type_url(type_url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|resource_type| resource_type.type_url() == type_url)
    }

    /// The customary short name, for metrics labels and status: `cds`, `eds`, `sds`, `lds`, `rds`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Cluster => "cds",
            Self::Endpoints => "eds",
            Self::Secret => "sds",
            Self::Listener => "lds",
            Self::RouteConfiguration => "rds",
        }
    }

    /// Whether a state-of-the-world response lists everything the client should have, so that what is left out is
    /// deleted (conformance 22 to 25). For the other types a response may carry only what changed.
    pub const fn is_full_state(self) -> bool {
        matches!(self, Self::Cluster | Self::Listener)
    }

    /// Whether resources of other types need one of this type to be there: additions of later types wait until it was
    /// accepted, and it goes after what needs it.
    pub const fn is_referred_to(self) -> bool {
        matches!(self, Self::Cluster | Self::Endpoints | Self::Secret)
    }
}

impl fmt::Display for ResourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_urls_round_trip_and_indices_follow_ads_order() {
        for (position, resource_type) in ResourceType::ALL.into_iter().enumerate() {
            assert_eq!(resource_type.index(), position);
            assert_eq!(ResourceType::from_type_url(resource_type.type_url()), Some(resource_type));
        }
        assert_eq!(ResourceType::from_type_url("type.googleapis.com/envoy.service.runtime.v3.Runtime"), None);
        assert_eq!(ResourceType::from_type_url(""), None);
    }
}
