//! Socket addresses and endpoints.

use envoy_types::pb::envoy::config::core::v3::{Address, SocketAddress, address, socket_address};
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint,
};

/// The address of `host`, an IP address or a name to resolve, at `port`.
pub fn socket_address(host: &str, port: u16) -> Address {
    wrap(SocketAddress {
        address: host.to_owned(),
        port_specifier: Some(socket_address::PortSpecifier::PortValue(port.into())),
        ..SocketAddress::default()
    })
}

/// Every address of this host at `port`, of IPv6 and of IPv4.
pub fn any_address(port: u16) -> Address {
    wrap(SocketAddress {
        address: "::".to_owned(),
        port_specifier: Some(socket_address::PortSpecifier::PortValue(port.into())),
        ipv4_compat: true,
        ..SocketAddress::default()
    })
}

fn wrap(socket_address: SocketAddress) -> Address {
    Address { address: Some(address::Address::SocketAddress(socket_address)) }
}

/// The endpoints of `cluster`: just this one.
pub fn one_endpoint(cluster: &str, address: Address) -> ClusterLoadAssignment {
    let endpoint = Endpoint { address: Some(address), ..Endpoint::default() };
    ClusterLoadAssignment {
        endpoints: vec![LocalityLbEndpoints {
            lb_endpoints: vec![LbEndpoint {
                host_identifier: Some(lb_endpoint::HostIdentifier::Endpoint(endpoint)),
                ..LbEndpoint::default()
            }],
            ..LocalityLbEndpoints::default()
        }],
        ..no_endpoints(cluster)
    }
}

/// The endpoints of `cluster`: none.
pub fn no_endpoints(cluster: &str) -> ClusterLoadAssignment {
    ClusterLoadAssignment { cluster_name: cluster.to_owned(), ..ClusterLoadAssignment::default() }
}
