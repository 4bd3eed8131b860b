//! Connection pools as circuit breakers.

use crate::envoy::cluster::Limits;
use crate::model::connection_pool::{
    HttpConnectionPool, RequestConnectionPool, TcpConnectionPool, VirtualGatewayConnectionPool,
    VirtualNodeConnectionPool,
};
use crate::model::shape::AtLeast;

/// The limits of a virtual node's listener.
pub(super) fn of_virtual_node(pool: Option<&VirtualNodeConnectionPool>) -> Limits {
    match pool {
        None => Limits::default(),
        Some(VirtualNodeConnectionPool::Http(pool)) => of_http(pool),
        Some(VirtualNodeConnectionPool::Http2(pool) | VirtualNodeConnectionPool::Grpc(pool)) => {
            of_requests(pool)
        }
        Some(VirtualNodeConnectionPool::Tcp(pool)) => of_tcp(pool),
    }
}

/// The limits of a virtual gateway's listener.
pub(super) fn of_virtual_gateway(pool: Option<&VirtualGatewayConnectionPool>) -> Limits {
    match pool {
        None => Limits::default(),
        Some(VirtualGatewayConnectionPool::Http(pool)) => of_http(pool),
        Some(VirtualGatewayConnectionPool::Http2(pool) | VirtualGatewayConnectionPool::Grpc(pool)) => {
            of_requests(pool)
        }
    }
}

fn of_http(pool: &HttpConnectionPool) -> Limits {
    let unlimited = Limits::default();
    Limits {
        connections: pool.max_connections.to_u32(),
        pending_requests: pool.max_pending_requests.map_or(unlimited.pending_requests, AtLeast::to_u32),
        ..unlimited
    }
}

fn of_requests(pool: &RequestConnectionPool) -> Limits {
    Limits { requests: pool.max_requests.to_u32(), ..Limits::default() }
}

fn of_tcp(pool: &TcpConnectionPool) -> Limits {
    Limits { connections: pool.max_connections.to_u32(), ..Limits::default() }
}
