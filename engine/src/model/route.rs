//! A route: which of a virtual router's requests go to which virtual nodes.

use super::matching::{HeaderMatch, HttpMethod, HttpPathMatch, HttpQueryParameter, HttpScheme, Priority};
use super::port_mapping::{Port, Protocol};
use super::retry::{GrpcRetryPolicy, HttpRetryPolicy};
use super::shape::declare::shape;
use super::shape::{Int, List, Text};
use super::timeout::{RequestTimeout, TcpTimeout};

shape! {
    /// What a route is: exactly one of the four routes, and its rank.
    pub struct RouteSpec {
        /// For gRPC requests.
        pub grpc_route: Option<GrpcRoute>,
        /// For HTTP/2 requests.
        pub http2_route: Option<HttpRoute>,
        /// For HTTP requests.
        pub http_route: Option<HttpRoute>,
        /// Its rank among the routes of its router: lower ones are tried first.
        pub priority: Option<Priority>,
        /// For TCP connections.
        pub tcp_route: Option<TcpRoute>,
    }

    /// A route for HTTP or HTTP/2 requests.
    pub struct HttpRoute {
        /// Where the requests go.
        pub action: RouteAction,
        /// Which requests it is for.
        pub r#match: HttpRouteMatch,
        /// When a request is tried again.
        pub retry_policy: Option<HttpRetryPolicy>,
        /// How long things may take.
        pub timeout: Option<RequestTimeout>,
    }

    /// Which requests an HTTP route is for: all conditions must hold, and one is on the path.
    pub struct HttpRouteMatch {
        /// On headers.
        pub headers: Option<List<HeaderMatch, 1, 10>>,
        /// On the method.
        pub method: Option<HttpMethod>,
        /// On the path; instead of `prefix`.
        pub path: Option<HttpPathMatch>,
        /// On the router's port.
        pub port: Option<Port>,
        /// What the path starts with; instead of `path`. Starts with `/`, and `/` is for every request.
        pub prefix: Option<String>,
        /// On query parameters.
        pub query_parameters: Option<List<HttpQueryParameter, 1, 10>>,
        /// On the scheme.
        pub scheme: Option<HttpScheme>,
    }

    /// A route for gRPC requests.
    pub struct GrpcRoute {
        /// Where the requests go.
        pub action: RouteAction,
        /// Which requests it is for.
        pub r#match: GrpcRouteMatch,
        /// When a request is tried again.
        pub retry_policy: Option<GrpcRetryPolicy>,
        /// How long things may take.
        pub timeout: Option<RequestTimeout>,
    }

    /// Which requests a gRPC route is for: all conditions must hold.
    pub struct GrpcRouteMatch {
        /// On metadata.
        pub metadata: Option<List<HeaderMatch, 1, 10>>,
        /// On the method; with `service_name` only.
        pub method_name: Option<Text<1, 50>>,
        /// On the router's port.
        pub port: Option<Port>,
        /// On the service, with its package.
        pub service_name: Option<String>,
    }

    /// A route for TCP connections.
    pub struct TcpRoute {
        /// Where the connections go.
        pub action: RouteAction,
        /// Which connections it is for; all if absent.
        pub r#match: Option<TcpRouteMatch>,
        /// How long things may take.
        pub timeout: Option<TcpTimeout>,
    }

    /// Which connections a TCP route is for.
    pub struct TcpRouteMatch {
        /// On the router's port.
        pub port: Option<Port>,
    }

    /// Where requests or connections go.
    pub struct RouteAction {
        /// To these, in proportion to their weights, which are not all zero.
        pub weighted_targets: List<WeightedTarget, 1, 10>,
    }

    /// A virtual node that gets a share.
    pub struct WeightedTarget {
        /// The node's port; its only one if absent.
        pub port: Option<Port>,
        /// The node's name.
        pub virtual_node: Text<1, 255>,
        /// Its share, relative to the other targets'.
        pub weight: Int<0, 100>,
    }
}

/// The one of the four routes that a [`RouteSpec`] has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteKind<'a> {
    /// For HTTP requests.
    Http(&'a HttpRoute),
    /// For HTTP/2 requests.
    Http2(&'a HttpRoute),
    /// For gRPC requests.
    Grpc(&'a GrpcRoute),
    /// For TCP connections.
    Tcp(&'a TcpRoute),
}

impl RouteSpec {
    /// The one route that it has. A specification that was validated always has one.
    pub fn kind(&self) -> Option<RouteKind<'_>> {
        None.or(self.http_route.as_ref().map(RouteKind::Http))
            .or(self.http2_route.as_ref().map(RouteKind::Http2))
            .or(self.grpc_route.as_ref().map(RouteKind::Grpc))
            .or(self.tcp_route.as_ref().map(RouteKind::Tcp))
    }
}

impl<'a> RouteKind<'a> {
    /// Where its requests or connections go.
    pub fn weighted_targets(self) -> &'a [WeightedTarget] {
        match self {
            RouteKind::Http(route) | RouteKind::Http2(route) => &route.action.weighted_targets,
            RouteKind::Grpc(route) => &route.action.weighted_targets,
            RouteKind::Tcp(route) => &route.action.weighted_targets,
        }
    }

    /// What it is for.
    pub fn protocol(self) -> Protocol {
        match self {
            RouteKind::Http(_) => Protocol::Http,
            RouteKind::Http2(_) => Protocol::Http2,
            RouteKind::Grpc(_) => Protocol::Grpc,
            RouteKind::Tcp(_) => Protocol::Tcp,
        }
    }

    /// The member of the specification that it is, such as `httpRoute`.
    pub fn member(self) -> &'static str {
        match self {
            RouteKind::Http(_) => "httpRoute",
            RouteKind::Http2(_) => "http2Route",
            RouteKind::Grpc(_) => "grpcRoute",
            RouteKind::Tcp(_) => "tcpRoute",
        }
    }

    /// The router's port that it is for; any if absent.
    pub fn port(self) -> Option<Port> {
        match self {
            RouteKind::Http(route) | RouteKind::Http2(route) => route.r#match.port,
            RouteKind::Grpc(route) => route.r#match.port,
            RouteKind::Tcp(route) => route.r#match.as_ref().and_then(|condition| condition.port),
        }
    }
}
