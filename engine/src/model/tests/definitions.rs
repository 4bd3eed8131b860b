//! Records of the store.

use std::error::Error;

use serde_json::{Value, json};

use crate::model::shape::Path;
use crate::model::{DecodeError, Definition, Kind, Metadata, ResourceId, RouteKind, Spec, Tags};

fn definition() -> Definition {
    let route = json!({"action": {"weightedTargets": [{"virtualNode": "n", "port": 80, "weight": 1}]}});
    Definition {
        id: ResourceId::route("m", "r", "a"),
        spec: Spec::parse(Kind::Route, &json!({"tcpRoute": route})).unwrap(),
        metadata: Metadata::created("u".to_owned(), "123456789012", 1_700_000_000_123),
    }
}

#[test]
fn definitions_round_trip() {
    let definition = definition();
    let record = definition.encode();
    assert_eq!(Definition::decode(&definition.id, &record).unwrap(), definition);
    let record: Value = serde_json::from_slice(&record).unwrap();
    assert_eq!(record["spec"]["route"], definition.spec.to_json());
    assert_eq!(record["metadata"]["createdAtMs"], 1_700_000_000_123_i64);
}

#[test]
fn tags_round_trip() {
    let at = Path::root("tags");
    let id = definition().id;
    let tags = Tags::parse(&json!([{"key": "b", "value": ""}, {"key": "a", "value": "1"}]), &at).unwrap();
    assert_eq!(Tags::decode(&id, &tags.encode()).unwrap(), tags);
    assert_eq!(tags.encode(), br#"{"a":"1","b":""}"#, "in the order of their keys");
    let others = Tags::parse(&json!([{"key": "b", "value": "2"}, {"key": "c", "value": "3"}]), &at).unwrap();
    let merged = tags.with(&others).without(&["a".to_owned(), "x".to_owned()]);
    assert_eq!(merged.iter().collect::<Vec<_>>(), [("b", "2"), ("c", "3")]);
    assert!(Tags::decode(&id, b"[]").is_err());
}

#[test]
fn a_record_of_another_kind_is_refused() {
    let definition = definition();
    let other = ResourceId::virtual_node("m", "a");
    let error = Definition::decode(&other, &definition.encode()).unwrap_err();
    assert!(matches!(error, DecodeError::OtherKind { found: Kind::Route, .. }));
    assert_eq!(error.to_string(), r#"the record of virtual node "a" in mesh "m" is that of a route"#);
    let error = Definition::decode(&other, b"{}").unwrap_err();
    assert_eq!(error.to_string(), r#"the record of virtual node "a" in mesh "m" cannot be read"#);
    assert!(error.source().is_some());
}

#[test]
fn updates_count_up() {
    let created = Metadata::created("u".to_owned(), "123456789012", 5);
    let updated = created.updated(9);
    assert_eq!((created.version, created.created_at_ms, created.last_updated_at_ms), (1, 5, 5));
    assert_eq!((updated.version, updated.created_at_ms, updated.last_updated_at_ms), (2, 5, 9));
    assert_eq!((updated.uid, updated.mesh_owner), (created.uid, created.mesh_owner));
}

#[test]
fn a_route_has_its_kind_and_targets() {
    let Spec::Route(route) = definition().spec else { panic!("not a route") };
    let kind = route.kind().unwrap();
    assert!(matches!(kind, RouteKind::Tcp(_)));
    assert_eq!(kind.weighted_targets()[0].port.unwrap().to_u32(), 80);
    assert_eq!(kind.port(), None);
}
