//! How much traffic a listener lets through to its application at once.

use super::port_mapping::Protocol;
use super::shape::AtLeast;
use super::shape::declare::shape;

shape! {
    /// The limits of a virtual node's listener, by its protocol.
    pub union VirtualNodeConnectionPool {
        /// Of a gRPC listener.
        Grpc(RequestConnectionPool),
        /// Of an HTTP listener.
        Http(HttpConnectionPool),
        /// Of an HTTP/2 listener.
        Http2(RequestConnectionPool),
        /// Of a TCP listener.
        Tcp(TcpConnectionPool),
    }

    /// The limits of a virtual gateway's listener, by its protocol.
    pub union VirtualGatewayConnectionPool {
        /// Of a gRPC listener.
        Grpc(RequestConnectionPool),
        /// Of an HTTP listener.
        Http(HttpConnectionPool),
        /// Of an HTTP/2 listener.
        Http2(RequestConnectionPool),
    }

    /// Limits for a protocol with many requests in one connection: HTTP/2 and gRPC.
    pub struct RequestConnectionPool {
        /// How many requests may be in flight.
        pub max_requests: AtLeast<1>,
    }

    /// Limits for HTTP/1.1.
    pub struct HttpConnectionPool {
        /// How many connections may be open.
        pub max_connections: AtLeast<1>,
        /// How many requests may wait for a connection; 2147483647 if absent.
        pub max_pending_requests: Option<AtLeast<1>>,
    }

    /// Limits for TCP.
    pub struct TcpConnectionPool {
        /// How many connections may be open.
        pub max_connections: AtLeast<1>,
    }
}

impl VirtualNodeConnectionPool {
    /// The protocol of the listeners that these limits are for.
    pub fn protocol(&self) -> Protocol {
        match self {
            VirtualNodeConnectionPool::Grpc(_) => Protocol::Grpc,
            VirtualNodeConnectionPool::Http(_) => Protocol::Http,
            VirtualNodeConnectionPool::Http2(_) => Protocol::Http2,
            VirtualNodeConnectionPool::Tcp(_) => Protocol::Tcp,
        }
    }
}

impl VirtualGatewayConnectionPool {
    /// The protocol of the listeners that these limits are for.
    pub fn protocol(&self) -> Protocol {
        match self {
            VirtualGatewayConnectionPool::Grpc(_) => Protocol::Grpc,
            VirtualGatewayConnectionPool::Http(_) => Protocol::Http,
            VirtualGatewayConnectionPool::Http2(_) => Protocol::Http2,
        }
    }
}
