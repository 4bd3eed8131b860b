//! Where the endpoints of a virtual node are found.

use super::shape::Text;
use super::shape::declare::shape;

shape! {
    /// Where the endpoints of a virtual node are found.
    pub union ServiceDiscovery {
        /// In AWS Cloud Map.
        AwsCloudMap(AwsCloudMapServiceDiscovery),
        /// In DNS.
        Dns(DnsServiceDiscovery),
    }

    /// Endpoints in AWS Cloud Map.
    pub struct AwsCloudMapServiceDiscovery {
        /// What an instance must have; anything if absent.
        pub attributes: Option<Vec<AwsCloudMapInstanceAttribute>>,
        /// Which addresses are used.
        pub ip_preference: Option<IpPreference>,
        /// The namespace.
        pub namespace_name: Text<1, 1024>,
        /// The service in it.
        pub service_name: Text<1, 1024>,
    }

    /// What an instance in AWS Cloud Map must have.
    pub struct AwsCloudMapInstanceAttribute {
        /// The attribute's name: visible ASCII characters.
        pub key: Text<1, 255>,
        /// The attribute's value: visible ASCII characters, and blanks after the first.
        pub value: Text<1, 1024>,
    }

    /// Endpoints in DNS.
    pub struct DnsServiceDiscovery {
        /// The name to resolve.
        pub hostname: String,
        /// Which addresses are used.
        pub ip_preference: Option<IpPreference>,
        /// What an answer means; a load balancer if absent.
        pub response_type: Option<DnsResponseType>,
    }

    /// What the addresses in an answer of DNS are.
    pub enum DnsResponseType {
        /// A load balancer's: any one will do.
        LoadBalancer = "LOADBALANCER",
        /// All the endpoints there are.
        Endpoints = "ENDPOINTS",
    }

    /// Which IP addresses are used.
    pub enum IpPreference {
        /// IPv6, and IPv4 where there is none.
        Ipv6Preferred = "IPv6_PREFERRED",
        /// IPv4, and IPv6 where there is none.
        Ipv4Preferred = "IPv4_PREFERRED",
        /// IPv4 only.
        Ipv4Only = "IPv4_ONLY",
        /// IPv6 only.
        Ipv6Only = "IPv6_ONLY",
    }
}
