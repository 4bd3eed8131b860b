//! Routes that are never reached: what is found, and that no request ever reaches what is found.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::query_parameter_matcher::QueryParameterMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{
    HeaderMatcher, Route, RouteConfiguration, RouteMatch, VirtualHost,
};
use envoy_types::pb::envoy::r#type::matcher::v3::StringMatcher;
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use expect_test::expect;
use legation_proto::fragment::Routing;
use proptest::prelude::*;
use proptest::sample::select;
use prost::Message;
use regex::Regex;
use serde_json::{Value, json};

use super::{Code, check, lint, of, to_server, to_service, way, well};
use crate::model::{Kind, Spec};
use crate::transformer::tests::fixture::Definitions;
use crate::transformer::tests::render;

fn with_priority(mut route: Value, priority: u16) -> Value {
    route["priority"] = json!(priority);
    route
}

#[test]
fn unreachable_routes() {
    let route =
        |condition: Value, priority: u16| with_priority(of("httpRoute", &condition, &to_server()), priority);
    let two = |first: Value, second: Value| {
        well().route("router", "route", route(first, 1)).route("router", "second", route(second, 2))
    };
    let found = || expect!["unreachable-route virtualRouter/router/route/second spec.httpRoute.match"];
    check(two(json!({"prefix": "/"}), json!({"prefix": "/a"})), found());
    check(two(json!({"prefix": "/"}), json!({"prefix": "/", "method": "GET"})), found());
    check(two(json!({"prefix": "/a"}), json!({"prefix": "/"})), expect![""]);
    check(two(json!({"prefix": "/", "headers": [{"name": "x"}]}), json!({"prefix": "/"})), expect![""]);
    // without priorities the more specific one is tried first
    let plain = |condition: Value| of("httpRoute", &condition, &to_server());
    check(well().route("router", "second", plain(json!({"prefix": "/a"}))), expect![""]);
    // of equals the first by name
    check(
        well().route("router", "second", plain(json!({"prefix": "/"}))),
        expect!["unreachable-route virtualRouter/router/route/second spec.httpRoute.match"],
    );
    // what is taken at one port is not at another
    let ports = well().virtual_router("router", &[(80, "http"), (81, "http")]);
    check(
        ports.clone().route("router", "route", route(json!({"prefix": "/", "port": 80}), 1)).route(
            "router",
            "second",
            route(json!({"prefix": "/"}), 2),
        ),
        expect![""],
    );
    check(
        ports.route("router", "route", route(json!({"prefix": "/"}), 1)).route(
            "router",
            "second",
            route(json!({"prefix": "/", "port": 81}), 2),
        ),
        expect!["unreachable-route virtualRouter/router/route/second spec.httpRoute.match"],
    );
}

#[test]
fn of_routes_for_connections_only_the_first_is_reached() {
    let tcp = |port: Value| of("tcpRoute", &json!({"port": port}), &to_server());
    let router = |ports: &[(u16, &str)]| {
        Definitions::new().listening_node("server", &[(8080, "tcp")]).virtual_router("router", ports)
    };
    check(
        router(&[(80, "tcp")]).route("router", "a", tcp(json!(null))).route("router", "b", tcp(json!(null))),
        expect!["unreachable-route virtualRouter/router/route/b spec.tcpRoute.match"],
    );
    check(
        router(&[(80, "tcp")]).route("router", "a", tcp(json!(null))).route(
            "router",
            "b",
            with_priority(tcp(json!(null)), 7),
        ),
        expect!["unreachable-route virtualRouter/router/route/a spec.tcpRoute.match"],
    );
    check(
        router(&[(80, "tcp"), (81, "tcp")]).route("router", "a", tcp(json!(80))).route(
            "router",
            "b",
            tcp(json!(null)),
        ),
        expect![""],
    );
    // where one leads that is never reached makes no difference
    let nowhere = json!({"virtualNode": "server", "port": 1, "weight": 1});
    check(
        router(&[(80, "tcp")]).route("router", "a", tcp(json!(null))).route(
            "router",
            "b",
            of("tcpRoute", &json!({}), &[nowhere]),
        ),
        expect!["unreachable-route virtualRouter/router/route/b spec.tcpRoute.match"],
    );
}

#[test]
fn unreachable_gateway_routes() {
    let two = |first: Value, second: Value| {
        let route =
            |condition: &Value, priority| with_priority(way(condition, &to_service("service")), priority);
        well().gateway_route("gateway", "way", route(&first, 1)).gateway_route(
            "gateway",
            "zig",
            route(&second, 2),
        )
    };
    let found = || expect!["unreachable-route virtualGateway/gateway/gatewayRoute/zig spec.httpRoute.match"];
    check(two(json!({"prefix": "/"}), json!({"prefix": "/a"})), found());
    check(two(json!({"prefix": "/"}), json!({"hostname": {"exact": "h"}, "prefix": "/a"})), found());
    let on_host = |host: &str, prefix: &str| json!({"hostname": {"exact": host}, "prefix": prefix});
    check(two(on_host("h", "/"), on_host("H", "/a")), found());
    check(two(on_host("h", "/"), on_host("g", "/a")), expect![""]);
    // a prefix of a gateway route ends where a part of the path does
    check(two(json!({"prefix": "/a"}), json!({"prefix": "/ab"})), expect![""]);
    check(
        two(json!({"prefix": "/a"}), json!({"path": {"exact": "/a"}})),
        expect![[r#"
        unreachable-route virtualGateway/gateway/gatewayRoute/zig spec.httpRoute.match"#]],
    );
}

/// A request, as far as conditions look at it.
#[derive(Clone, Debug)]
struct Request {
    path: String,
    query: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
}

/// Whether Envoy would take the request for this one, by Envoy's documentation.
fn matches(condition: &RouteMatch, request: &Request) -> bool {
    let path = match condition.path_specifier.as_ref().unwrap() {
        PathSpecifier::Prefix(prefix) => request.path.starts_with(prefix),
        PathSpecifier::Path(path) => request.path == *path,
        PathSpecifier::SafeRegex(regex) => matches_whole(&regex.regex, &request.path),
        other => panic!("{other:?}"),
    };
    let is_grpc = request.headers.get("content-type").is_some_and(|value| value == "application/grpc");
    path && (condition.grpc.is_none() || is_grpc)
        && condition.headers.iter().all(|header| matches_header(header, request))
        && condition.query_parameters.iter().all(|parameter| {
            let value = request.query.get(&parameter.name);
            match parameter.query_parameter_match_specifier.as_ref().unwrap() {
                QueryParameterMatchSpecifier::PresentMatch(_) => value.is_some(),
                QueryParameterMatchSpecifier::StringMatch(text) => {
                    value.is_some_and(|value| matches_text(text, value))
                }
            }
        })
}

fn matches_header(header: &HeaderMatcher, request: &Request) -> bool {
    let value = request.headers.get(&header.name.to_ascii_lowercase());
    let specifier = header.header_match_specifier.as_ref().unwrap();
    if let HeaderMatchSpecifier::PresentMatch(is_present) = specifier {
        return (value.is_some() == *is_present) != header.invert_match;
    }
    let value = match value {
        Some(value) => value.as_str(),
        None if header.treat_missing_header_as_empty => "",
        None => return false,
    };
    let holds = match specifier {
        HeaderMatchSpecifier::StringMatch(text) => matches_text(text, value),
        HeaderMatchSpecifier::RangeMatch(range) => {
            value.parse().is_ok_and(|value: i64| (range.start..range.end).contains(&value))
        }
        other => panic!("{other:?}"),
    };
    holds != header.invert_match
}

fn matches_text(matcher: &StringMatcher, value: &str) -> bool {
    let fold = |text: &str| if matcher.ignore_case { text.to_ascii_lowercase() } else { text.to_owned() };
    let value = fold(value);
    match matcher.match_pattern.as_ref().unwrap() {
        MatchPattern::Exact(text) => value == fold(text),
        MatchPattern::Prefix(text) => value.starts_with(&fold(text)),
        MatchPattern::Suffix(text) => value.ends_with(&fold(text)),
        MatchPattern::Contains(text) => value.contains(&fold(text)),
        MatchPattern::SafeRegex(regex) => matches_whole(&regex.regex, &value),
        other => panic!("{other:?}"),
    }
}

fn matches_whole(regex: &str, text: &str) -> bool {
    thread_local! {
        /// They are few, and slow to compile.
        static COMPILED: RefCell<HashMap<String, Regex>> = RefCell::default();
    }
    COMPILED.with_borrow_mut(|compiled| {
        let compile = || Regex::new(&format!("^(?:{regex})$")).unwrap();
        compiled.entry(regex.to_owned()).or_insert_with(compile).is_match(text)
    })
}

/// The name of the route that takes the request.
fn taken_by(routes: &[Route], request: &Request) -> Option<String> {
    let route = routes.iter().find(|route| matches(route.r#match.as_ref().unwrap(), request))?;
    Some(route.name.clone())
}

fn path_condition() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => select(vec!["/", "/a", "/a/", "/ab", "/a/b"]).prop_map(|prefix| json!({"prefix": prefix})),
        1 => select(vec!["/a", "/a/b"]).prop_map(|exact| json!({"path": {"exact": exact}})),
        2 => select(vec!["/a.*", "/a/[a-z]*", ".*", "/a|/b", "/ab?", "(?i)/A"])
            .prop_map(|regex| json!({"path": {"regex": regex}})),
    ]
}

fn header_condition() -> impl Strategy<Value = Value> {
    let value = select(vec![
        json!(null),
        json!({"exact": "1"}),
        json!({"exact": "12"}),
        json!({"prefix": "1"}),
        json!({"suffix": "2"}),
        json!({"range": {"start": 1, "end": 12}}),
        json!({"range": {"start": 0, "end": 20}}),
        json!({"regex": "1.*"}),
    ]);
    (select(vec!["x", "X", "y"]), value, any::<bool>())
        .prop_map(|(name, value, invert)| json!({"name": name, "match": value, "invert": invert}))
}

/// The conditions of a route: few of many possible ones, so that often one covers another. Headers whose conditions exclude
/// each other are left out.
fn condition() -> impl Strategy<Value = Value> {
    let headers = prop::collection::vec(header_condition(), 0..3);
    let method = prop_oneof![3 => Just(json!(null)), 1 => select(vec![json!("GET"), json!("POST")])];
    let query = prop_oneof![
        4 => Just(json!(null)),
        1 => select(vec![json!([{"name": "q"}]), json!([{"name": "q", "match": {"exact": "1"}}])]),
    ];
    let port = prop_oneof![3 => Just(json!(null)), 1 => select(vec![json!(80), json!(81)])];
    (path_condition(), headers, method, query, port).prop_map(
        |(mut condition, headers, method, query, port)| {
            let with_headers = json!({"prefix": "/", "headers": headers});
            if Spec::parse(Kind::Route, &of("httpRoute", &with_headers, &to_server())).is_ok() {
                condition["headers"] = json!(headers);
            }
            condition["method"] = method;
            condition["queryParameters"] = query;
            condition["port"] = port;
            condition
        },
    )
}

fn priority() -> impl Strategy<Value = Value> {
    prop_oneof![Just(json!(null)), (0..3).prop_map(Value::from)]
}

fn request() -> impl Strategy<Value = Request> {
    let value = || select(vec!["", "1", "12", "2", "21", "7", "z"]);
    let headers = prop::collection::btree_map(select(vec!["x", "y"]), value(), 0..3);
    let paths = select(vec!["/", "/a", "/A", "/a/", "/ab", "/a/b", "/a/bc", "/abc", "/b", "/c/a"]);
    let query = prop::collection::btree_map(select(vec!["q", "r"]), value(), 0..2);
    let hosts = select(vec!["h", "H:80", "g.h", "g.h:1", "x:y", "other"]);
    (paths, headers, query, select(vec!["GET", "POST", "PUT"]), hosts).prop_map(
        |(path, headers, query, method, host)| {
            let owned = |map: BTreeMap<&str, &str>| -> BTreeMap<String, String> {
                map.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
            };
            let mut headers = owned(headers);
            headers.insert(":method".to_owned(), method.to_owned());
            headers.insert(":authority".to_owned(), host.to_owned());
            Request { path: path.to_owned(), query: owned(query), headers }
        },
    )
}

fn unreachable(definitions: &Definitions) -> BTreeSet<String> {
    let findings = lint(&definitions.collect());
    let of_code = findings.iter().filter(|finding| finding.code == Code::UnreachableRoute);
    of_code.map(|finding| finding.id.name().to_owned()).collect()
}

fn hostname() -> impl Strategy<Value = Value> {
    select(vec![
        json!(null),
        json!(null),
        json!({"exact": "h"}),
        json!({"exact": "H"}),
        json!({"suffix": "h"}),
        json!({"suffix": ".h"}),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_request_reaches_a_route_that_is_called_unreachable(
        routes in prop::collection::vec((condition(), priority()), 2..8),
        requests in prop::collection::vec(request(), 100),
    ) {
        let mut definitions = Definitions::new()
            .listening_node("server", &[(8080, "http")])
            .virtual_router("router", &[(80, "http"), (81, "http")])
            .provided_by_router("service", "router");
        for (index, (condition, priority)) in routes.iter().enumerate() {
            let mut route = of("httpRoute", condition, &to_server());
            route["priority"] = priority.clone();
            definitions = definitions.route("router", &format!("r{index}"), route);
        }
        let unreachable = unreachable(&definitions);
        for port in definitions.service("service").ports {
            let Routing::VirtualHost(part) = &port.routing else { panic!("no virtual host") };
            let routes = VirtualHost::decode(part.content()).unwrap().routes;
            for request in &requests {
                if let Some(taker) = taken_by(&routes, request) {
                    prop_assert!(!unreachable.contains(&taker), "{} takes {:?}", taker, request);
                }
            }
        }
    }

    #[test]
    fn no_request_reaches_a_gateway_route_that_is_called_unreachable(
        routes in prop::collection::vec((condition(), priority(), hostname()), 2..8),
        requests in prop::collection::vec(request(), 100),
    ) {
        let listeners = json!([super::listener(80, "http"), super::listener(81, "http")]);
        let mut definitions = well().virtual_gateway("gateway", json!({"listeners": listeners}));
        for (index, (condition, priority, hostname)) in routes.iter().enumerate() {
            let mut condition = condition.clone();
            condition["hostname"] = hostname.clone();
            let mut route = way(&condition, &to_service("service"));
            route["priority"] = priority.clone();
            definitions = definitions.gateway_route("gateway", &format!("r{index}"), route);
        }
        let unreachable = unreachable(&definitions);
        for resource in definitions.gateway("gateway").route_configurations {
            let configuration: RouteConfiguration = render::decoded(&resource);
            for request in &requests {
                if let Some(taker) = taken_by(&configuration.virtual_hosts[0].routes, request) {
                    prop_assert!(!unreachable.contains(&taker), "{} takes {:?}", taker, request);
                }
            }
        }
    }
}

/// The properties above say something: of many routers of that kind a good part has routes that are called unreachable.
#[test]
fn unreachable_routes_are_found_among_random_ones() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let routes = prop::collection::vec((condition(), priority()), 6);
    let mut found = 0;
    for _ in 0..100 {
        let routes = routes.new_tree(&mut runner).unwrap().current();
        let mut definitions = well().without(&crate::model::ResourceId::route("m", "router", "route"));
        for (index, (condition, priority)) in routes.iter().enumerate() {
            let mut route = of("httpRoute", condition, &to_server());
            route["priority"] = priority.clone();
            definitions = definitions.route("router", &format!("r{index}"), route);
        }
        found += unreachable(&definitions).len();
    }
    assert!(found > 50, "{found}");
}
