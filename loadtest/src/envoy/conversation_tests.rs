//! Conversations of an Envoy in both forms, decoded with the generated types.

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, DiscoveryType};
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::config::listener::v3::filter::ConfigType;
use envoy_types::pb::envoy::config::listener::v3::{Filter, FilterChain, Listener};
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3 as manager;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, Resource,
};
use envoy_types::pb::google::protobuf::Any;
use legation_proto::resource_type::ResourceType;
use legation_proto::response::Protocol;
use prost::Message;

use super::requests::Requests;
use super::{Envoy, Verdict};

/// A resource of a type; its name may be followed by `>` and the name of what it refers to.
fn any(resource_type: ResourceType, text: &str) -> (String, Any) {
    let (name, refers_to) = text.split_once('>').unwrap_or((text, ""));
    let name = name.to_owned();
    let value = match resource_type {
        ResourceType::Cluster => {
            let mut cluster = Cluster { name: name.clone(), ..Default::default() };
            if !refers_to.is_empty() {
                let eds = DiscoveryType::Eds.into();
                cluster.cluster_discovery_type = Some(ClusterDiscoveryType::Type(eds));
                cluster.eds_cluster_config.get_or_insert_default().service_name = refers_to.to_owned();
            }
            cluster.encode_to_vec()
        }
        ResourceType::Listener => {
            let rds = manager::Rds { route_config_name: refers_to.to_owned(), ..Default::default() };
            let route_specifier = Some(manager::http_connection_manager::RouteSpecifier::Rds(rds));
            let manager = manager::HttpConnectionManager { route_specifier, ..Default::default() };
            let any = Any {
                type_url: "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.\
                           HttpConnectionManager"
                    .to_owned(),
                value: manager.encode_to_vec(),
            };
            let filter = Filter { config_type: Some(ConfigType::TypedConfig(any)), ..Default::default() };
            let chain = FilterChain { filters: vec![filter], ..Default::default() };
            Listener { name: name.clone(), filter_chains: vec![chain], ..Default::default() }.encode_to_vec()
        }
        ResourceType::Endpoints => {
            ClusterLoadAssignment { cluster_name: name.clone(), ..Default::default() }.encode_to_vec()
        }
        _ => RouteConfiguration { name: name.clone(), ..Default::default() }.encode_to_vec(),
    };
    (name, Any { type_url: resource_type.type_url().to_owned(), value })
}

/// An Envoy, and what it has said as lines: `cds +name -name have name=version @version #nonce !code`.
struct Conversation {
    protocol: Protocol,
    envoy: Envoy,
}

impl Conversation {
    fn new(protocol: Protocol) -> Self {
        Self { protocol, envoy: Envoy::new(protocol, "id", true) }
    }

    fn open(&mut self) -> Vec<String> {
        let mut requests = Requests::default();
        self.envoy.open(&mut requests);
        self.lines(&requests)
    }

    /// What is said to a response of resources, or `-name` for what is removed. Whether it was news, first.
    fn receive(
        &mut self,
        resource_type: ResourceType,
        version: &str,
        nonce: &str,
        resources: &[&str],
        verdict: Verdict,
    ) -> Vec<String> {
        let (removed, present): (Vec<&str>, Vec<&str>) =
            resources.iter().partition(|resource| resource.starts_with('-'));
        let anys = present.iter().map(|text| any(resource_type, text));
        let (type_url, nonce) = (resource_type.type_url().to_owned(), nonce.to_owned());
        let response = match self.protocol {
            Protocol::Delta => DeltaDiscoveryResponse {
                type_url,
                nonce,
                resources: anys
                    .map(|(name, any)| Resource {
                        name,
                        version: version.to_owned(),
                        resource: Some(any),
                        ..Default::default()
                    })
                    .collect(),
                removed_resources: removed.iter().map(|name| name[1..].to_owned()).collect(),
                ..Default::default()
            }
            .encode_to_vec(),
            Protocol::Sotw => DiscoveryResponse {
                type_url,
                nonce,
                version_info: version.to_owned(),
                resources: anys.map(|(_, any)| any).collect(),
                ..Default::default()
            }
            .encode_to_vec(),
        };
        let mut requests = Requests::default();
        let learned = self.envoy.receive(&response, verdict, &mut requests).expect("well-formed");
        assert_eq!(learned.resource_type, Some(resource_type));
        assert_eq!(learned.resources, present.len() as u64);
        let mut lines = self.lines(&requests);
        lines.insert(0, if learned.news { "news" } else { "no news" }.to_owned());
        lines
    }

    fn accept(
        &mut self,
        resource_type: ResourceType,
        version: &str,
        nonce: &str,
        resources: &[&str],
    ) -> Vec<String> {
        self.receive(resource_type, version, nonce, resources, Verdict::Accept)
    }

    fn lines(&self, requests: &Requests) -> Vec<String> {
        requests
            .iter()
            .map(|bytes| match self.protocol {
                Protocol::Delta => delta_line(&DeltaDiscoveryRequest::decode(bytes).expect("a request")),
                Protocol::Sotw => sotw_line(&DiscoveryRequest::decode(bytes).expect("a request")),
            })
            .collect()
    }
}

fn label(type_url: &str) -> &'static str {
    ResourceType::from_type_url(type_url).expect("a known type").label()
}

fn delta_line(request: &DeltaDiscoveryRequest) -> String {
    let mut words = vec![label(&request.type_url).to_owned()];
    words.extend(request.node.iter().map(|node| format!("node={}", node.id)));
    words.extend(request.resource_names_subscribe.iter().map(|name| format!("+{name}")));
    words.extend(request.resource_names_unsubscribe.iter().map(|name| format!("-{name}")));
    let mut versions: Vec<_> = request.initial_resource_versions.iter().collect();
    versions.sort();
    words.extend(versions.into_iter().map(|(name, version)| format!("{name}={version}")));
    finish(words, &request.response_nonce, request.error_detail.as_ref().map(|status| status.code))
}

fn sotw_line(request: &DiscoveryRequest) -> String {
    let mut words = vec![label(&request.type_url).to_owned()];
    words.extend(request.node.iter().map(|node| format!("node={}", node.id)));
    words.extend(request.resource_names.iter().map(|name| format!("+{name}")));
    if !request.version_info.is_empty() {
        words.push(format!("@{}", request.version_info));
    }
    finish(words, &request.response_nonce, request.error_detail.as_ref().map(|status| status.code))
}

fn finish(mut words: Vec<String>, nonce: &str, code: Option<i32>) -> String {
    if !nonce.is_empty() {
        words.push(format!("#{nonce}"));
    }
    words.extend(code.map(|code| format!("!{code}")));
    words.join(" ")
}

use ResourceType::{Cluster as Cds, Endpoints as Eds, Listener as Lds, RouteConfiguration as Rds};

#[test]
fn delta_from_nothing_to_everything_and_again() {
    let mut envoy = Conversation::new(Protocol::Delta);
    assert_eq!(envoy.open(), ["cds node=id", "lds"]);
    assert_eq!(envoy.accept(Cds, "1", "a", &["c1>e1", "c2>e2", "c3"]), ["news", "cds #a", "eds +e1 +e2"]);
    assert_eq!(envoy.accept(Lds, "1", "b", &["l1>r1"]), ["news", "lds #b", "rds +r1"]);
    assert!(!envoy.envoy.has_everything());
    assert_eq!(envoy.accept(Eds, "1", "c", &["e1"]), ["news", "eds #c"]);
    assert_eq!(envoy.accept(Rds, "1", "d", &["r1"]), ["news", "rds #d"]);
    assert!(!envoy.envoy.has_everything(), "e2 is not answered");
    assert_eq!(envoy.accept(Eds, "1", "e", &["-e2"]), ["news", "eds #e"]);
    assert!(envoy.envoy.has_everything(), "there is no e2");

    assert_eq!(envoy.accept(Rds, "1", "f", &["r1"]), ["no news", "rds #f"]);
    assert_eq!(envoy.accept(Rds, "2", "g", &["r1"]), ["news", "rds #g"]);
    assert_eq!(envoy.accept(Cds, "2", "h", &["c1>e3"]), ["news", "cds #h", "eds +e3 -e1"]);
    assert!(!envoy.envoy.has_everything());
    assert_eq!(envoy.accept(Eds, "1", "i", &["e3"]), ["news", "eds #i"]);
    assert_eq!(envoy.accept(Cds, "", "j", &["-c1"]), ["news", "cds #j", "eds -e3"]);
    assert_eq!(envoy.accept(Cds, "", "k", &["-c1"]), ["no news", "cds #k"]);
    assert_eq!(envoy.accept(Cds, "2", "l", &["c4>e2"]), ["news", "cds #l"], "e2 is asked for already");

    assert_eq!(envoy.open(), ["cds node=id c2=1 c3=1 c4=2", "eds +e2", "lds l1=1", "rds +r1 r1=2",]);
    assert!(envoy.envoy.has_everything());
}

#[test]
fn sotw_from_nothing_to_everything_and_again() {
    let mut envoy = Conversation::new(Protocol::Sotw);
    assert_eq!(envoy.open(), ["cds node=id", "lds"]);
    assert_eq!(envoy.accept(Cds, "1", "a", &["c1>e1", "c2>e2"]), ["news", "cds @1 #a", "eds +e1 +e2"]);
    assert_eq!(envoy.accept(Lds, "1", "b", &["l1>r1"]), ["news", "lds @1 #b", "rds +r1"]);
    assert_eq!(envoy.accept(Eds, "1", "c", &["e1"]), ["news", "eds +e1 +e2 @1 #c"]);
    assert_eq!(envoy.accept(Rds, "1", "d", &["r1"]), ["news", "rds +r1 @1 #d"]);
    assert!(!envoy.envoy.has_everything());
    assert_eq!(envoy.accept(Eds, "2", "e", &["e1", "e2"]), ["news", "eds +e1 +e2 @2 #e"]);
    assert!(envoy.envoy.has_everything());

    let same = ["c1>e1", "c2>e2"];
    assert_eq!(envoy.accept(Cds, "2", "f", &same), ["no news", "cds @2 #f"], "the content is the same");
    assert_eq!(envoy.accept(Cds, "3", "g", &["c2>e2"]), ["news", "cds @3 #g", "eds +e2 @2 #e"]);
    assert_eq!(envoy.accept(Eds, "3", "h", &["e2"]), ["no news", "eds +e2 @3 #h"]);
    let names: Vec<_> = envoy.envoy.contents().into_iter().map(|resource| resource.name).collect();
    assert_eq!(names, ["c2", "e2", "l1", "r1"]);
    assert_eq!(envoy.open(), ["cds node=id @3", "eds +e2 @3", "lds @1", "rds +r1 @1"]);
}

#[test]
fn what_is_rejected_changes_nothing() {
    for (protocol, nack, ack) in
        [(Protocol::Delta, "cds #b !3", "cds #c"), (Protocol::Sotw, "cds @1 #b !3", "cds @3 #c")]
    {
        let mut envoy = Conversation::new(protocol);
        envoy.open();
        envoy.accept(Cds, "1", "a", &["c1>e1"]);
        let before = envoy.envoy.contents();
        assert_eq!(envoy.receive(Cds, "2", "b", &["c2>e2"], Verdict::Reject), ["no news", nack]);
        assert_eq!(envoy.envoy.contents(), before);
        let after = envoy.accept(Cds, "3", "c", &["c1>e1", "c2"]);
        assert_eq!(after, ["news", ack]);
    }
}

#[test]
fn what_is_malformed_or_unknown_is_not_answered() {
    for protocol in [Protocol::Delta, Protocol::Sotw] {
        let mut envoy = Envoy::new(protocol, "id", false);
        let mut requests = Requests::default();
        for bytes in [&b"\x12\x7f"[..], b"\x12"] {
            assert!(envoy.receive(bytes, Verdict::Accept, &mut requests).is_err());
        }
        let unknown =
            DiscoveryResponse { type_url: "type.googleapis.com/other".to_owned(), ..Default::default() };
        let learned = envoy.receive(&unknown.encode_to_vec(), Verdict::Accept, &mut requests);
        assert_eq!(learned.expect("well-formed").resource_type, None);
        assert!(requests.is_empty());
    }
}

#[test]
fn an_empty_answer_is_an_answer() {
    for protocol in [Protocol::Delta, Protocol::Sotw] {
        let mut envoy = Conversation::new(protocol);
        envoy.open();
        envoy.accept(Cds, "1", "a", &[]);
        assert!(!envoy.envoy.has_everything());
        envoy.accept(Lds, "1", "b", &[]);
        assert!(envoy.envoy.has_everything());
    }
}
