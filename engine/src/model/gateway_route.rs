//! A gateway route: which of a virtual gateway's requests go to which virtual service.

use super::matching::{HeaderMatch, HttpMethod, HttpPathMatch, HttpQueryParameter, Priority};
use super::port_mapping::{Port, Protocol};
use super::shape::declare::shape;
use super::shape::{List, Text};

shape! {
    /// What a gateway route is: exactly one of the three routes, and its rank.
    pub struct GatewayRouteSpec {
        /// For gRPC requests.
        pub grpc_route: Option<GrpcGatewayRoute>,
        /// For HTTP/2 requests.
        pub http2_route: Option<HttpGatewayRoute>,
        /// For HTTP requests.
        pub http_route: Option<HttpGatewayRoute>,
        /// Its rank among the routes of its gateway: lower ones are tried first.
        pub priority: Option<Priority>,
    }

    /// A gateway route for HTTP or HTTP/2 requests.
    pub struct HttpGatewayRoute {
        /// Where the requests go.
        pub action: HttpGatewayRouteAction,
        /// Which requests it is for.
        pub r#match: HttpGatewayRouteMatch,
    }

    /// Where HTTP requests go, and what is changed in them.
    pub struct HttpGatewayRouteAction {
        /// What is changed in them.
        pub rewrite: Option<HttpGatewayRouteRewrite>,
        /// Where they go.
        pub target: GatewayRouteTarget,
    }

    /// What is changed in HTTP requests. The path is rewritten as it was matched.
    pub struct HttpGatewayRouteRewrite {
        /// The host.
        pub hostname: Option<GatewayRouteHostnameRewrite>,
        /// The path, where the route matches by `path`.
        pub path: Option<HttpGatewayRoutePathRewrite>,
        /// The prefix, where the route matches by `prefix`.
        pub prefix: Option<HttpGatewayRoutePrefixRewrite>,
    }

    /// What becomes of the host.
    pub struct GatewayRouteHostnameRewrite {
        /// Whether it becomes the virtual service's name, as it does if absent.
        pub default_target_hostname: Option<Toggle>,
    }

    /// What becomes of the whole path.
    pub struct HttpGatewayRoutePathRewrite {
        /// It becomes this. Starts with `/`.
        pub exact: Option<Text<1, 255>>,
    }

    /// What becomes of the matched prefix: exactly one of the two.
    pub struct HttpGatewayRoutePrefixRewrite {
        /// Whether it becomes `/`, as it does if there is no prefix rewrite at all.
        pub default_prefix: Option<Toggle>,
        /// It becomes this. Starts and ends with `/`.
        pub value: Option<Text<1, 255>>,
    }

    /// Whether something is done.
    pub enum Toggle {
        /// It is.
        Enabled = "ENABLED",
        /// It is not.
        Disabled = "DISABLED",
    }

    /// Where requests go.
    pub struct GatewayRouteTarget {
        /// The port of the virtual service's provider; its only one if absent.
        pub port: Option<Port>,
        /// The virtual service.
        pub virtual_service: GatewayRouteVirtualService,
    }

    /// The virtual service to which requests go.
    pub struct GatewayRouteVirtualService {
        /// Its name.
        pub virtual_service_name: Text<1, 255>,
    }

    /// Which requests an HTTP gateway route is for: all conditions must hold.
    pub struct HttpGatewayRouteMatch {
        /// On headers.
        pub headers: Option<List<HeaderMatch, 1, 10>>,
        /// On the host.
        pub hostname: Option<GatewayRouteHostnameMatch>,
        /// On the method.
        pub method: Option<HttpMethod>,
        /// On the path; instead of `prefix`.
        pub path: Option<HttpPathMatch>,
        /// On the gateway's port.
        pub port: Option<Port>,
        /// What the path starts with; instead of `path`. Starts with `/`.
        pub prefix: Option<String>,
        /// On query parameters.
        pub query_parameters: Option<List<HttpQueryParameter, 1, 10>>,
    }

    /// What the host of a request must be: exactly one of the two.
    pub struct GatewayRouteHostnameMatch {
        /// Exactly this.
        pub exact: Option<Text<1, 253>>,
        /// Something that ends so.
        pub suffix: Option<Text<1, 253>>,
    }

    /// A gateway route for gRPC requests.
    pub struct GrpcGatewayRoute {
        /// Where the requests go.
        pub action: GrpcGatewayRouteAction,
        /// Which requests it is for.
        pub r#match: GrpcGatewayRouteMatch,
    }

    /// Where gRPC requests go, and what is changed in them.
    pub struct GrpcGatewayRouteAction {
        /// What is changed in them.
        pub rewrite: Option<GrpcGatewayRouteRewrite>,
        /// Where they go.
        pub target: GatewayRouteTarget,
    }

    /// What is changed in gRPC requests.
    pub struct GrpcGatewayRouteRewrite {
        /// The host.
        pub hostname: Option<GatewayRouteHostnameRewrite>,
    }

    /// Which requests a gRPC gateway route is for: all conditions must hold.
    pub struct GrpcGatewayRouteMatch {
        /// On the host.
        pub hostname: Option<GatewayRouteHostnameMatch>,
        /// On metadata.
        pub metadata: Option<List<HeaderMatch, 1, 10>>,
        /// On the gateway's port.
        pub port: Option<Port>,
        /// On the service, with its package.
        pub service_name: Option<String>,
    }
}

/// The one of the three routes that a [`GatewayRouteSpec`] has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GatewayRouteKind<'a> {
    /// For HTTP requests.
    Http(&'a HttpGatewayRoute),
    /// For HTTP/2 requests.
    Http2(&'a HttpGatewayRoute),
    /// For gRPC requests.
    Grpc(&'a GrpcGatewayRoute),
}

impl GatewayRouteSpec {
    /// The one route that it has. A specification that was validated always has one.
    pub fn kind(&self) -> Option<GatewayRouteKind<'_>> {
        None.or(self.http_route.as_ref().map(GatewayRouteKind::Http))
            .or(self.http2_route.as_ref().map(GatewayRouteKind::Http2))
            .or(self.grpc_route.as_ref().map(GatewayRouteKind::Grpc))
    }
}

impl<'a> GatewayRouteKind<'a> {
    /// Where its requests go.
    pub fn target(self) -> &'a GatewayRouteTarget {
        match self {
            GatewayRouteKind::Http(route) | GatewayRouteKind::Http2(route) => &route.action.target,
            GatewayRouteKind::Grpc(route) => &route.action.target,
        }
    }

    /// What it is for.
    pub fn protocol(self) -> Protocol {
        match self {
            GatewayRouteKind::Http(_) => Protocol::Http,
            GatewayRouteKind::Http2(_) => Protocol::Http2,
            GatewayRouteKind::Grpc(_) => Protocol::Grpc,
        }
    }

    /// The member of the specification that it is, such as `httpRoute`.
    pub fn member(self) -> &'static str {
        match self {
            GatewayRouteKind::Http(_) => "httpRoute",
            GatewayRouteKind::Http2(_) => "http2Route",
            GatewayRouteKind::Grpc(_) => "grpcRoute",
        }
    }

    /// The host that it is for; any if absent.
    pub fn hostname(self) -> Option<&'a GatewayRouteHostnameMatch> {
        match self {
            GatewayRouteKind::Http(route) | GatewayRouteKind::Http2(route) => route.r#match.hostname.as_ref(),
            GatewayRouteKind::Grpc(route) => route.r#match.hostname.as_ref(),
        }
    }

    /// The gateway's port that it is for; any if absent.
    pub fn port(self) -> Option<Port> {
        match self {
            GatewayRouteKind::Http(route) | GatewayRouteKind::Http2(route) => route.r#match.port,
            GatewayRouteKind::Grpc(route) => route.r#match.port,
        }
    }
}
