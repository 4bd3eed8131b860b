//! The discovery services: the aggregated one, and a separate one for each type.

use crate::resource_type::ResourceType;
use crate::response::Protocol;

/// Which discovery service a stream was opened on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// All types on one stream, in an order that the server decides.
    Aggregated,
    /// One type. Order between types, which are on streams of their own then, is for the Envoy to bear.
    Separate(ResourceType),
}

impl Service {
    /// The service and the form of the protocol of a gRPC method, by its path; `None` for one that is not served.
    pub fn of_method(path: &str) -> Option<(Self, Protocol)> {
        let (service, method) = path.strip_prefix("/envoy.service.")?.split_once('/')?;
        let (service, suffix) = match service {
            "discovery.v3.AggregatedDiscoveryService" => (Self::Aggregated, "AggregatedResources"),
            "cluster.v3.ClusterDiscoveryService" => (Self::Separate(ResourceType::Cluster), "Clusters"),
            "endpoint.v3.EndpointDiscoveryService" => (Self::Separate(ResourceType::Endpoints), "Endpoints"),
            "secret.v3.SecretDiscoveryService" => (Self::Separate(ResourceType::Secret), "Secrets"),
            "listener.v3.ListenerDiscoveryService" => (Self::Separate(ResourceType::Listener), "Listeners"),
            "route.v3.RouteDiscoveryService" => (Self::Separate(ResourceType::RouteConfiguration), "Routes"),
            _ => return None,
        };
        match method.strip_suffix(suffix)? {
            "Stream" => Some((service, Protocol::Sotw)),
            "Delta" => Some((service, Protocol::Delta)),
            _ => None,
        }
    }

    /// The customary short name, for status and logs: `ads`, or that of the type.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Aggregated => "ads",
            Self::Separate(resource_type) => resource_type.label(),
        }
    }

    /// The type URL of a request that names `type_url`: a separate service has one of its own, which a request need not
    /// name (conformance 2).
    pub fn type_url_of<'a>(&self, type_url: &'a str) -> &'a str {
        match self {
            Self::Separate(resource_type) if type_url.is_empty() => resource_type.type_url(),
            _ => type_url,
        }
    }

    /// Whether requests of this type may come on its streams.
    pub fn is_for(self, resource_type: ResourceType) -> bool {
        self == Self::Aggregated || self == Self::Separate(resource_type)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_known_by_their_paths() {
        let check = |path: &str, expected: Option<(Service, Protocol)>| {
            assert_eq!(Service::of_method(path), expected, "{path}");
        };
        let aggregated = Service::Aggregated;
        let ads = "/envoy.service.discovery.v3.AggregatedDiscoveryService";
        check(&format!("{ads}/StreamAggregatedResources"), Some((aggregated, Protocol::Sotw)));
        check(&format!("{ads}/DeltaAggregatedResources"), Some((aggregated, Protocol::Delta)));
        check(&format!("{ads}/FetchAggregatedResources"), None);
        check(&format!("{ads}/StreamClusters"), None);
        for (resource_type, package, service, suffix) in [
            (ResourceType::Cluster, "cluster", "Cluster", "Clusters"),
            (ResourceType::Endpoints, "endpoint", "Endpoint", "Endpoints"),
            (ResourceType::Secret, "secret", "Secret", "Secrets"),
            (ResourceType::Listener, "listener", "Listener", "Listeners"),
            (ResourceType::RouteConfiguration, "route", "Route", "Routes"),
        ] {
            let path = format!("/envoy.service.{package}.v3.{service}DiscoveryService");
            let separate = Service::Separate(resource_type);
            check(&format!("{path}/Stream{suffix}"), Some((separate, Protocol::Sotw)));
            check(&format!("{path}/Delta{suffix}"), Some((separate, Protocol::Delta)));
            check(&format!("{path}/Fetch{suffix}"), None);
        }
        check("/envoy.service.route.v3.VirtualHostDiscoveryService/DeltaVirtualHosts", None);
        check("", None);
    }

    #[test]
    fn a_separate_service_has_a_type_of_its_own() {
        let separate = Service::Separate(ResourceType::Cluster);
        assert_eq!(separate.type_url_of(""), ResourceType::Cluster.type_url());
        assert_eq!(separate.type_url_of("other"), "other");
        assert_eq!(Service::Aggregated.type_url_of(""), "");
        assert!(separate.is_for(ResourceType::Cluster) && !separate.is_for(ResourceType::Listener));
        assert!(Service::Aggregated.is_for(ResourceType::Listener));
    }
}
