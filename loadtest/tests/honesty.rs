//! The harness is honest: whatever a server does wrong is in what it reports, and nothing else.

#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

use std::time::Duration;

use clap::Parser;
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::listener::v3::filter::ConfigType;
use envoy_types::pb::envoy::config::listener::v3::{Filter, FilterChain, Listener};
use envoy_types::pb::envoy::config::route::v3::{RouteConfiguration, VirtualHost};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, Rds,
};
use envoy_types::pb::google::protobuf::Any;
use legation_loadtest::content::{Content, RecordedChange, RecordedNode, RecordedResource, Replacement};
use legation_loadtest::floor::faults::Faults;
use legation_loadtest::floor::{Kind, Settings, start};
use legation_loadtest::lab::{Lab, LabArgs};
use legation_loadtest::run::{Measure, Phase, Received, Run};
use legation_loadtest::scenario::Scenario;
use legation_loadtest::scenario::irrelevant_envoys::IrrelevantEnvoys;
use legation_proto::resource_type::ResourceType;
use legation_proto::response::Protocol;
use prost::Message;

/// Envoys that are connected, and of them consumers of the service that changes.
const ENVOYS: usize = 25;
const CONSUMERS: usize = 20;

/// Changes that are measured, after those that are not.
const CHANGES: usize = 100;
const WARM_UP: usize = 20;

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    lab: LabArgs,
    #[command(flatten)]
    scenario: IrrelevantEnvoys,
}

fn resource<M: Message>(
    resource_type: ResourceType,
    name: &str,
    version: &str,
    message: &M,
) -> RecordedResource {
    RecordedResource {
        type_url: resource_type.type_url().to_owned(),
        name: name.to_owned(),
        version: version.to_owned(),
        body: message.encode_to_vec(),
    }
}

/// Everybody has a cluster, a listener and routes; those of consumers carry the marker of service 0.
fn content() -> Content {
    let manager = HttpConnectionManager {
        route_specifier: Some(RouteSpecifier::Rds(Rds {
            route_config_name: "routes".to_owned(),
            ..Default::default()
        })),
        ..Default::default()
    };
    let manager = Any {
        type_url: "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
            .to_owned(),
        value: manager.encode_to_vec(),
    };
    let filter = Filter { config_type: Some(ConfigType::TypedConfig(manager)), ..Default::default() };
    let chain = FilterChain { filters: vec![filter], ..Default::default() };
    let listener = Listener { name: "listener".to_owned(), filter_chains: vec![chain], ..Default::default() };
    let routes = |domain: &str| {
        let virtual_host = VirtualHost { domains: vec![domain.to_owned()], ..Default::default() };
        RouteConfiguration {
            name: "routes".to_owned(),
            virtual_hosts: vec![virtual_host],
            ..Default::default()
        }
    };
    let routes_with =
        |domain: &str| resource(ResourceType::RouteConfiguration, "routes", domain, &routes(domain));
    let resources = vec![
        resource(
            ResourceType::Cluster,
            "cluster",
            "1",
            &Cluster { name: "cluster".to_owned(), ..Default::default() },
        ),
        resource(ResourceType::Listener, "listener", "1", &listener),
        routes_with("nothing"),
        routes_with("change-0-0"),
        routes_with("change-0-1"),
    ];
    let node = |number: usize| RecordedNode {
        id: format!("mesh/loadtest/virtualNode/node-{number}"),
        resources: vec![0, 1, if number < CONSUMERS { 3 } else { 2 }],
    };
    let variant = |resource| (0..CONSUMERS).map(|node| Replacement { node, resource }).collect();
    Content {
        resources,
        nodes: (0..ENVOYS).map(node).collect(),
        changes: vec![RecordedChange {
            name: "service-0".to_owned(),
            variants: vec![variant(3), variant(4)],
        }],
    }
}

/// What the harness reports of a server that does this wrong.
fn reported(kind: Kind, protocol: Protocol, faults: Faults) -> (Run, Phase) {
    let address = "127.0.0.1:0".parse().unwrap();
    let settings = Settings { kind, protocol, xds: address, hook: address };
    let content = content();
    let file = tempfile::NamedTempFile::new().unwrap();
    content.write(file.path()).unwrap();
    let server = start(&settings, &content, faults).unwrap();
    let arguments = [
        "test".to_owned(),
        "--quiet".to_owned(),
        format!("--xds={}", server.xds),
        format!("--hook=http://{}", server.hook),
        format!("--content={}", file.path().display()),
        format!("--protocol={}", protocol.as_str()),
        "--lost-after=2s".to_owned(),
        format!("--envoys={ENVOYS}"),
        format!("--few={ENVOYS}"),
        format!("--consumers={CONSUMERS}"),
        format!("--changes={CHANGES}"),
    ];
    let Arguments { lab, scenario } = Arguments::parse_from(arguments);
    let run = scenario.run(&mut Lab::new(lab).unwrap()).unwrap();
    let phase = run.phases[0].clone();
    (run, phase)
}

/// What is counted of so many pushes where nothing is wrong.
fn received(pushes: usize, received: Received) -> Received {
    let pushes = pushes as u64;
    Received { pushes, resources: pushes, bytes: received.bytes, ..Received::default() }
}

#[test]
fn of_a_server_that_does_nothing_wrong_nothing_is_reported() {
    for kind in [Kind::Tonic, Kind::H2] {
        for protocol in [Protocol::Delta, Protocol::Sotw] {
            let (run, phase) = reported(kind, protocol, Faults::default());
            assert_eq!(run.failures, [""; 0]);
            assert_eq!(phase.received, received(CHANGES * CONSUMERS, phase.received));
            assert_eq!((phase.envoys, phase.changes), (ENVOYS, CHANGES as u64));
            for (measure, count) in [
                (Measure::Call, CHANGES),
                (Measure::Receipt, CHANGES * CONSUMERS),
                (Measure::LastReceipt, CHANGES),
                (Measure::LastAck, CHANGES),
            ] {
                assert_eq!(phase.latencies[&measure].count, count as u64, "{measure:?}");
            }
            assert!(phase.received.bytes > 50 * phase.received.pushes, "{:?}", phase.received);
        }
    }
}

#[test]
fn a_dropped_push_is_reported_as_lost() {
    let drop_one_in = 1000;
    let (run, phase) = reported(Kind::H2, Protocol::Delta, Faults { drop_one_in, ..Faults::default() });
    let pushes = |changes: usize| (changes * CONSUMERS) as u64;
    let dropped = pushes(WARM_UP + CHANGES) / drop_one_in - pushes(WARM_UP) / drop_one_in;
    assert_eq!(dropped, 2, "this test is about something");
    assert_eq!(phase.received.lost, dropped);
    assert_eq!(phase.received.pushes, pushes(CHANGES) - dropped);
    assert_eq!((phase.received.redundant, phase.received.misdirected), (0, 0));
    let told = run.failures.iter().filter(|failure| failure.contains("reached 19 of 20 consumers"));
    // the scenario has a second phase like the first
    assert_eq!(told.count() as u64, pushes(2 * (WARM_UP + CHANGES)) / drop_one_in, "{:?}", run.failures);
}

#[test]
fn a_late_push_has_its_true_latency() {
    let delay = Duration::from_millis(60);
    let (run, phase) = reported(Kind::Tonic, Protocol::Delta, Faults { delay, ..Faults::default() });
    assert_eq!(run.failures, [""; 0]);
    assert_eq!(phase.received, received(CHANGES * CONSUMERS, phase.received));
    let delay = delay.as_secs_f64() * 1e3;
    for measure in [Measure::Receipt, Measure::LastReceipt, Measure::LastAck] {
        let quantiles = &phase.latencies[&measure].quantiles;
        let (_, shortest) = quantiles[0];
        assert!(shortest >= 0.99 * delay, "{measure:?}: {shortest} ms");
    }
    assert!(phase.latencies[&Measure::Call].p50 < delay, "the call is answered before");
}

#[test]
fn a_stream_that_is_ended_is_reported() {
    let end_one_in = 1000;
    let (run, phase) = reported(Kind::H2, Protocol::Delta, Faults { end_one_in, ..Faults::default() });
    assert!(phase.received.disconnects > 0, "{:?}", phase.received);
    assert_eq!(phase.received.sent_away, 0);
    let told = run.failures.iter().filter(|failure| failure.contains("without an announcement"));
    assert_eq!(told.count(), 2, "one a phase: {:?}", run.failures);
}

#[test]
fn a_push_to_one_that_does_not_consume_is_reported_as_misdirected() {
    let (run, phase) = reported(Kind::H2, Protocol::Delta, Faults { misdirect: true, ..Faults::default() });
    let pushes = CHANGES * CONSUMERS;
    assert_eq!(phase.received.misdirected, pushes as u64);
    assert_eq!(phase.received.pushes, 2 * pushes as u64);
    assert_eq!(phase.received.lost, 0);
    assert!(run.failures.iter().any(|failure| failure.contains("do not consume")), "{:?}", run.failures);
}

#[test]
fn a_push_that_is_sent_twice_is_reported_as_redundant() {
    let (run, phase) = reported(Kind::Tonic, Protocol::Sotw, Faults { twice: true, ..Faults::default() });
    let pushes = CHANGES * CONSUMERS;
    assert_eq!(phase.received.redundant, pushes as u64);
    assert_eq!(phase.received.pushes, 2 * pushes as u64);
    assert_eq!((phase.received.lost, phase.received.misdirected), (0, 0));
    assert!(run.failures.iter().any(|failure| failure.contains("redundant")), "{:?}", run.failures);
}
