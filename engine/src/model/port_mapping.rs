//! Ports and protocols.

use super::shape::Int;
use super::shape::declare::shape;

/// A TCP port.
pub type Port = Int<1, 65535>;

shape! {
    /// Where a virtual node or a virtual router listens.
    pub struct PortMapping {
        /// The port, unique among the listeners of its owner.
        pub port: Port,
        /// What is spoken there.
        pub protocol: Protocol,
    }

    /// What a virtual node or a virtual router speaks.
    pub enum Protocol {
        /// HTTP/1.1.
        Http = "http",
        /// Bytes.
        Tcp = "tcp",
        /// HTTP/2.
        Http2 = "http2",
        /// gRPC.
        Grpc = "grpc",
    }

    /// Where a virtual gateway listens.
    pub struct VirtualGatewayPortMapping {
        /// The port, unique among the listeners of its gateway.
        pub port: Port,
        /// What is spoken there.
        pub protocol: VirtualGatewayProtocol,
    }

    /// What a virtual gateway speaks: all but plain TCP.
    pub enum VirtualGatewayProtocol {
        /// HTTP/1.1.
        Http = "http",
        /// HTTP/2.
        Http2 = "http2",
        /// gRPC.
        Grpc = "grpc",
    }
}

impl Protocol {
    /// Whether it is carried by HTTP/2.
    pub fn is_http2(self) -> bool {
        matches!(self, Protocol::Http2 | Protocol::Grpc)
    }
}

impl From<VirtualGatewayProtocol> for Protocol {
    fn from(protocol: VirtualGatewayProtocol) -> Protocol {
        match protocol {
            VirtualGatewayProtocol::Http => Protocol::Http,
            VirtualGatewayProtocol::Http2 => Protocol::Http2,
            VirtualGatewayProtocol::Grpc => Protocol::Grpc,
        }
    }
}
