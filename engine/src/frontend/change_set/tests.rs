//! Tables of what a set does to a small mesh, and what is wrong with it.

use std::sync::atomic::{AtomicU64, Ordering};

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::*;
use crate::model::Kind;

const ACCOUNT: &str = "000000000000";

fn spec(kind: Kind, spec: &Value) -> Spec {
    Spec::parse(kind, spec).unwrap()
}

fn id(path: &str) -> ResourceId {
    ResourceId::from_path(&format!("mesh/{path}")).unwrap()
}

/// A resource whose specification refers to virtual nodes, a router or a service by these names.
fn spec_of(id: &ResourceId, refers_to: &[&str]) -> Spec {
    let listeners = json!({"listeners": [{"portMapping": {"port": 80, "protocol": "http"}}]});
    let value = match id.kind() {
        Kind::Mesh | Kind::VirtualNode => json!({}),
        Kind::VirtualRouter | Kind::VirtualGateway => listeners,
        Kind::Route => {
            let targets: Vec<Value> =
                refers_to.iter().map(|node| json!({"virtualNode": node, "weight": 1})).collect();
            json!({"httpRoute": {"match": {"prefix": "/"}, "action": {"weightedTargets": targets}}})
        }
        Kind::VirtualService => match refers_to {
            [] => json!({}),
            [router, ..] => json!({"provider": {"virtualRouter": {"virtualRouterName": router}}}),
        },
        Kind::GatewayRoute => {
            let target = json!({"virtualService": {"virtualServiceName": refers_to[0]}});
            json!({"httpRoute": {"match": {"prefix": "/"}, "action": {"target": target}}})
        }
    };
    spec(id.kind(), &value)
}

fn tagged(path: &str, refers_to: &[&str]) -> Tagged {
    let id = id(path);
    let metadata = Metadata::created(format!("uid-of-{path}"), ACCOUNT, 1000);
    let definition = Definition { spec: spec_of(&id, refers_to), id, metadata };
    Tagged { definition, tags: Tags::default() }
}

fn put(path: &str, refers_to: &[&str]) -> Change {
    let id = id(path);
    Change::Put { spec: spec_of(&id, refers_to), id, tags: None }
}

fn delete(path: &str) -> Change {
    Change::Delete { id: id(path) }
}

/// A mesh with nodes `a`, `b` and `c`, a router with a route to `a` and `b`, a service that it provides, and a gateway
/// with a route to that.
fn mesh() -> Vec<Tagged> {
    vec![
        tagged("m", &[]),
        tagged("m/virtualNode/a", &[]),
        tagged("m/virtualNode/b", &[]),
        tagged("m/virtualNode/c", &[]),
        tagged("m/virtualRouter/r", &[]),
        tagged("m/virtualRouter/r/route/x", &["a", "b"]),
        tagged("m/virtualService/s", &["r"]),
        tagged("m/virtualGateway/g", &[]),
        tagged("m/virtualGateway/g/gatewayRoute/y", &["s"]),
    ]
}

fn resolve(set: Vec<Change>) -> Result<Resolved, Refusal> {
    let uids = AtomicU64::new(0);
    let new_uid = || format!("new-{}", uids.fetch_add(1, Ordering::Relaxed));
    let making = Making { account: ACCOUNT, now_ms: 2000, new_uid: &new_uid };
    ChangeSet { changes: set }.resolve(&Current::of(&mesh(), 7), &making)
}

/// What a set does, what it requires and what it writes; or what is wrong with it.
fn check(set: Vec<Change>, expected: Expect) {
    let text = match resolve(set) {
        Ok(resolved) => describe(&resolved),
        Err(Refusal::Wrong(errors)) => errors.iter().map(|error| format!("wrong: {error}\n")).collect(),
        Err(Refusal::Damaged(error)) => panic!("{error}"),
    };
    expected.assert_eq(&text);
}

fn describe(resolved: &Resolved) -> String {
    let mut lines = Vec::new();
    for effect in &resolved.effects {
        let version = |tagged: &Option<Tagged>| {
            let metadata = tagged.as_ref().map(|found| &found.definition.metadata);
            metadata.map_or("-".to_owned(), |metadata| format!("{} v{}", metadata.uid, metadata.version))
        };
        let (before, after) = (version(&effect.before), version(&effect.after));
        let operations: Vec<String> = effect.operations().iter().map(ToString::to_string).collect();
        let (operations, id) = (operations.join("+"), &effect.id);
        lines.push(format!("{operations} {id}: {}, {before} -> {after}", effect.outcome.word()));
    }
    let mut rest: Vec<String> =
        resolved.preconditions.iter().map(|required| format!("if {required}")).collect();
    rest.extend(resolved.puts.iter().map(|(key, _)| format!("put {key}")));
    rest.extend(resolved.deletions.iter().map(|key| format!("delete {key}")));
    rest.sort();
    lines.extend(rest);
    lines.iter().map(|line| line.replace("definitions/m/", "") + "\n").collect()
}

#[test]
fn what_is_created_may_refer_to_what_comes_later() {
    check(
        vec![
            put("n/virtualRouter/r/route/x", &["a"]),
            put("n/virtualService/s", &["r"]),
            put("n/virtualRouter/r", &[]),
            put("n/virtualNode/a", &[]),
            put("n", &[]),
        ],
        expect![[r#"
            CreateRoute route "x" of virtual router "r" in mesh "n": created, - -> new-0 v1
            CreateVirtualService virtual service "s" in mesh "n": created, - -> new-1 v1
            CreateVirtualRouter virtual router "r" in mesh "n": created, - -> new-2 v1
            CreateVirtualNode virtual node "a" in mesh "n": created, - -> new-3 v1
            CreateMesh mesh "n": created, - -> new-4 v1
            if definitions/n/mesh must not exist
            if definitions/n/route/r/x must not exist
            if definitions/n/virtualNode/a must not exist
            if definitions/n/virtualRouter/r must not exist
            if definitions/n/virtualService/s must not exist
            put definitions/n/mesh
            put definitions/n/referrer/virtualNode/a/new-0
            put definitions/n/referrer/virtualRouter/r/new-1
            put definitions/n/route/r/x
            put definitions/n/virtualNode/a
            put definitions/n/virtualRouter/r
            put definitions/n/virtualService/s
        "#]],
    );
}

#[test]
fn what_is_needed_and_not_in_the_set_must_exist_when_it_is_committed() {
    check(
        vec![put("m/virtualRouter/r/route/x", &["a", "c"]), put("m/virtualRouter/r/route/z", &["b"])],
        expect![[r#"
            UpdateRoute route "x" of virtual router "r" in mesh "m": updated, uid-of-m/virtualRouter/r/route/x v1 -> uid-of-m/virtualRouter/r/route/x v2
            CreateRoute route "z" of virtual router "r" in mesh "m": created, - -> new-0 v1
            delete referrer/virtualNode/b/uid-of-m/virtualRouter/r/route/x
            if mesh must exist
            if route/r/x must have the expected value
            if route/r/z must not exist
            if virtualNode/b must exist
            if virtualNode/c must exist
            if virtualRouter/r must exist
            put referrer/virtualNode/b/new-0
            put referrer/virtualNode/c/uid-of-m/virtualRouter/r/route/x
            put route/r/x
            put route/r/z
        "#]],
    );
}

#[test]
fn what_is_as_it_should_be_is_not_written() {
    check(
        vec![put("m/virtualNode/a", &[]), put("m/virtualRouter/r/route/x", &["a", "b"])],
        expect![[r#"
            UpdateVirtualNode virtual node "a" in mesh "m": unchanged, uid-of-m/virtualNode/a v1 -> uid-of-m/virtualNode/a v1
            UpdateRoute route "x" of virtual router "r" in mesh "m": unchanged, uid-of-m/virtualRouter/r/route/x v1 -> uid-of-m/virtualRouter/r/route/x v1
            if route/r/x must have the expected value
            if virtualNode/a must have the expected value
        "#]],
    );
    assert!(resolve(vec![put("m/virtualNode/a", &[])]).unwrap().changes_nothing());
    assert!(!resolve(vec![put("m/virtualNode/z", &[])]).unwrap().changes_nothing());
}

#[test]
fn a_deletion_of_a_route_puts_its_router_again() {
    let router_put_again = |set: Vec<Change>| {
        let resolved = resolve(set).unwrap();
        let puts = resolved.puts.iter().filter(|(key, _)| key == "definitions/m/virtualRouter/r");
        let guards = resolved.preconditions.iter().filter(|required| {
            matches!(required, Precondition::Equal { key, .. } if key.as_ref() == "definitions/m/virtualRouter/r")
        });
        (puts.count(), guards.count())
    };
    assert_eq!(router_put_again(vec![delete("m/virtualRouter/r/route/x")]), (1, 1));
    assert_eq!(
        router_put_again(vec![delete("m/virtualRouter/r/route/x"), put("m/virtualRouter/r", &[])]),
        (1, 1)
    );
    let two = vec![
        delete("m/virtualRouter/r/route/x"),
        put("m/virtualRouter/r/route/x2", &["a"]),
        put("m/virtualService/s", &[]),
    ];
    assert_eq!(router_put_again(two), (1, 1));
    let with_router = vec![
        delete("m/virtualRouter/r/route/x"),
        put("m/virtualService/s", &[]),
        delete("m/virtualRouter/r"),
    ];
    assert_eq!(router_put_again(with_router), (0, 1), "it is deleted, not put");
}

#[test]
fn what_goes_may_need_what_goes() {
    check(
        vec![
            delete("m/virtualNode/a"),
            put("m/virtualService/s", &[]),
            delete("m/virtualRouter/r"),
            delete("m/virtualRouter/r/route/x"),
        ],
        expect![[r#"
            DeleteVirtualNode virtual node "a" in mesh "m": deleted, uid-of-m/virtualNode/a v1 -> -
            UpdateVirtualService virtual service "s" in mesh "m": updated, uid-of-m/virtualService/s v1 -> uid-of-m/virtualService/s v2
            DeleteVirtualRouter virtual router "r" in mesh "m": deleted, uid-of-m/virtualRouter/r v1 -> -
            DeleteRoute route "x" of virtual router "r" in mesh "m": deleted, uid-of-m/virtualRouter/r/route/x v1 -> -
            delete referrer/virtualNode/a/uid-of-m/virtualRouter/r/route/x
            delete referrer/virtualNode/b/uid-of-m/virtualRouter/r/route/x
            delete referrer/virtualRouter/r/uid-of-m/virtualService/s
            delete route/r/x
            delete tags/route/r/x
            delete tags/virtualNode/a
            delete tags/virtualRouter/r
            delete virtualNode/a
            delete virtualRouter/r
            if route/r/x must have the expected value
            if virtualNode/a must have the expected value
            if virtualRouter/r must have the expected value
            if virtualService/s must have the expected value
            if nothing may exist under referrer/route/r/x/
            if nothing under referrer/virtualNode/a/ may have changed since transaction 7
            if nothing under referrer/virtualRouter/r/ may have changed since transaction 7
            if nothing under route/r/ may have changed since transaction 7
            put virtualService/s
        "#]],
    );
}

#[test]
fn everything_that_is_wrong_is_told() {
    check(
        vec![
            delete("m/virtualNode/a"),
            delete("m/virtualRouter/r"),
            delete("m/virtualNode/gone"),
            put("m/virtualRouter/r/route/x", &["a", "none", "c"]),
            put("m/virtualRouter/q/route/z", &["c"]),
            put("n/virtualNode/a", &[]),
            put("m/virtualNode/c", &[]),
            delete("m/virtualNode/c"),
        ],
        expect![[r#"
            wrong: virtual node "c" in mesh "m": is changed twice; a set changes a resource once
            wrong: virtual router "r" in mesh "m": is in use by virtual service "s" in mesh "m"
            wrong: virtual node "gone" in mesh "m": does not exist
            wrong: route "x" of virtual router "r" in mesh "m": virtual router "r" in mesh "m" does not exist
            wrong: route "x" of virtual router "r" in mesh "m": spec.httpRoute.action.weightedTargets[0].virtualNode: virtual node "a" in mesh "m" does not exist
            wrong: route "x" of virtual router "r" in mesh "m": spec.httpRoute.action.weightedTargets[1].virtualNode: virtual node "none" in mesh "m" does not exist
            wrong: route "x" of virtual router "r" in mesh "m": spec.httpRoute.action.weightedTargets[2].virtualNode: virtual node "c" in mesh "m" does not exist
            wrong: route "z" of virtual router "q" in mesh "m": virtual router "q" in mesh "m" does not exist
            wrong: route "z" of virtual router "q" in mesh "m": spec.httpRoute.action.weightedTargets[0].virtualNode: virtual node "c" in mesh "m" does not exist
            wrong: virtual node "a" in mesh "n": mesh "n" does not exist
        "#]],
    );
}

#[test]
fn a_mesh_goes_with_everything_in_it_or_not_at_all() {
    let everything =
        || mesh().into_iter().map(|found| Change::Delete { id: found.definition.id }).collect::<Vec<_>>();
    let resolved = resolve(everything()).unwrap();
    assert!(resolved.puts.is_empty(), "nothing is put again that goes");
    let mut all_but_one = everything();
    all_but_one.retain(|change| change.id() != &id("m/virtualNode/c"));
    check(
        all_but_one,
        expect![[r#"
            wrong: mesh "m": is in use by virtual node "c" in mesh "m"
        "#]],
    );
}

fn tags(tags: &[(&str, &str)]) -> Tags {
    let tags: Vec<Value> = tags.iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
    Tags::parse(&json!(tags), &crate::model::Path::root("tags")).unwrap()
}

fn restore(path: &str, restored: Tags) -> Change {
    let id = id(path);
    Change::Restore { spec: spec_of(&id, &[]), id, tags: restored }
}

#[test]
fn what_is_restored_gets_its_tags_back() {
    let effect = |change| resolve(vec![change]).unwrap().effects.remove(0);
    let old = tags(&[("k", "old")]);
    let restored = effect(restore("m/virtualNode/a", old.clone()));
    let after = restored.after.unwrap();
    assert_eq!(
        (restored.outcome, after.definition.metadata.version),
        (Outcome::Updated, 1),
        "tags have no version"
    );
    assert_eq!(after.tags, old);

    let gone = effect(restore("m/virtualNode/gone", old.clone()));
    let after = gone.after.unwrap();
    assert_eq!((gone.outcome, after.definition.metadata.version), (Outcome::Created, 1));
    assert_eq!((after.definition.metadata.uid.as_str(), after.tags), ("new-0", old));
}

#[test]
fn what_is_put_gets_the_tags_that_are_told_and_keeps_its_own_otherwise() {
    let mut mesh = mesh();
    mesh[1].tags = tags(&[("k", "old")]);
    let effect = |told: Option<Tags>| {
        let Change::Put { id, spec, .. } = put("m/virtualNode/a", &[]) else { unreachable!() };
        let making = Making { account: ACCOUNT, now_ms: 2000, new_uid: &|| "new".to_owned() };
        let set = ChangeSet { changes: vec![Change::Put { id, spec, tags: told }] };
        let effect = set.resolve(&Current::of(&mesh, 7), &making).unwrap().effects.remove(0);
        let after = effect.after.unwrap();
        assert_eq!(after.definition.metadata.version, 1, "tags have no version");
        (effect.outcome, after.tags)
    };
    assert_eq!(effect(None), (Outcome::Unchanged, tags(&[("k", "old")])));
    assert_eq!(effect(Some(tags(&[("k", "old")]))), (Outcome::Unchanged, tags(&[("k", "old")])));
    assert_eq!(effect(Some(tags(&[("k", "new")]))), (Outcome::Updated, tags(&[("k", "new")])));
    assert_eq!(effect(Some(tags(&[]))), (Outcome::Updated, tags(&[])));
}

#[test]
fn tags_are_written_beside_their_definition() {
    let mut mesh = mesh();
    mesh[1].tags = tags(&[("k", "1"), ("gone", "")]);
    let set = vec![
        restore("m/virtualNode/a", tags(&[("k", "2")])),
        restore("m/virtualNode/b", tags(&[("k", "1")])),
        restore("m/virtualNode/c", tags(&[])),
        restore("m/virtualNode/new", tags(&[("k", "1")])),
    ];
    let making = Making { account: ACCOUNT, now_ms: 2000, new_uid: &|| "new".to_owned() };
    let set = ChangeSet { changes: set };
    let resolved = set.resolve(&Current::of(&mesh, 7), &making).unwrap();
    expect![[r#"
        TagResource+UntagResource virtual node "a" in mesh "m": updated, uid-of-m/virtualNode/a v1 -> uid-of-m/virtualNode/a v1
        TagResource virtual node "b" in mesh "m": updated, uid-of-m/virtualNode/b v1 -> uid-of-m/virtualNode/b v1
        UpdateVirtualNode virtual node "c" in mesh "m": unchanged, uid-of-m/virtualNode/c v1 -> uid-of-m/virtualNode/c v1
        CreateVirtualNode virtual node "new" in mesh "m": created, - -> new v1
        if mesh must exist
        if tags/virtualNode/a must have the expected value
        if tags/virtualNode/b must not exist
        if virtualNode/a must have the expected value
        if virtualNode/b must have the expected value
        if virtualNode/c must have the expected value
        if virtualNode/new must not exist
        put tags/virtualNode/a
        put tags/virtualNode/b
        put tags/virtualNode/new
        put virtualNode/new
    "#]]
    .assert_eq(&describe(&resolved));
    let bare = ChangeSet { changes: vec![restore("m/virtualNode/a", tags(&[]))] };
    let resolved = bare.resolve(&Current::of(&mesh, 7), &making).unwrap();
    assert_eq!(resolved.deletions, ["definitions/m/tags/virtualNode/a"]);
    assert_eq!(resolved.effects[0].operations(), [Operation::UntagResource]);
}
