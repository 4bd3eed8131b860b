//! IP preferences: which addresses are looked up, and at which ones Envoys listen and reach their applications.

use envoy_types::pb::envoy::config::cluster::v3::cluster::DnsLookupFamily;
use envoy_types::pb::envoy::config::core::v3::Address;

use crate::envoy::address::{any_address, socket_address};
use crate::model::{IpPreference, MeshSpec, ServiceDiscovery, VirtualNodeSpec};

/// The preference of a node; the mesh's, if it has none of its own.
pub(super) fn preference(mesh: &MeshSpec, node: &VirtualNodeSpec) -> Option<IpPreference> {
    let own = match &node.service_discovery {
        Some(ServiceDiscovery::Dns(dns)) => dns.ip_preference,
        Some(ServiceDiscovery::AwsCloudMap(cloud_map)) => cloud_map.ip_preference,
        None => None,
    };
    own.or(mesh.ip_preference())
}

/// Which addresses are looked up.
pub(super) fn lookup_family(preference: Option<IpPreference>) -> DnsLookupFamily {
    match preference {
        None | Some(IpPreference::Ipv6Preferred) => DnsLookupFamily::Auto,
        Some(IpPreference::Ipv4Preferred) => DnsLookupFamily::V4Preferred,
        Some(IpPreference::Ipv4Only) => DnsLookupFamily::V4Only,
        Some(IpPreference::Ipv6Only) => DnsLookupFamily::V6Only,
    }
}

/// Where an Envoy listens at `port`: at every IPv4 address, and with any preference at every IPv6 address too.
pub(super) fn bind_address(preference: Option<IpPreference>, port: u16) -> Address {
    match preference {
        None => socket_address("0.0.0.0", port),
        Some(_) => any_address(port),
    }
}

/// Where an Envoy reaches its application.
pub(super) fn application_address(preference: Option<IpPreference>, port: u16) -> Address {
    match preference {
        Some(IpPreference::Ipv6Only | IpPreference::Ipv6Preferred) => socket_address("::1", port),
        None | Some(IpPreference::Ipv4Only | IpPreference::Ipv4Preferred) => {
            socket_address("127.0.0.1", port)
        }
    }
}
