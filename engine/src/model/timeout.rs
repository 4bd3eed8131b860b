//! How long a request or a connection may take. Zero disables a timeout; absent ones take App Mesh's
//! defaults, 15 seconds for a request and 300 seconds of idleness.

use super::duration::Duration;
use super::port_mapping::Protocol;
use super::shape::declare::shape;

shape! {
    /// The timeouts of HTTP, HTTP/2 and gRPC (`HttpTimeout` and `GrpcTimeout` of the API).
    pub struct RequestTimeout {
        /// For how long a connection may be idle.
        pub idle: Option<Duration>,
        /// How long a request may take.
        pub per_request: Option<Duration>,
    }

    /// The timeouts of TCP.
    pub struct TcpTimeout {
        /// For how long a connection may be idle.
        pub idle: Option<Duration>,
    }

    /// The timeouts of a virtual node's listener, by its protocol.
    pub union ListenerTimeout {
        /// Of a gRPC listener.
        Grpc(RequestTimeout),
        /// Of an HTTP listener.
        Http(RequestTimeout),
        /// Of an HTTP/2 listener.
        Http2(RequestTimeout),
        /// Of a TCP listener.
        Tcp(TcpTimeout),
    }
}

impl ListenerTimeout {
    /// The protocol of the listeners that these timeouts are for.
    pub fn protocol(&self) -> Protocol {
        match self {
            ListenerTimeout::Grpc(_) => Protocol::Grpc,
            ListenerTimeout::Http(_) => Protocol::Http,
            ListenerTimeout::Http2(_) => Protocol::Http2,
            ListenerTimeout::Tcp(_) => Protocol::Tcp,
        }
    }
}
