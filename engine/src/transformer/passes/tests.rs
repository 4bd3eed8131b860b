//! Passes over a real store.

use std::sync::atomic::Ordering;

use legation_proto::id::{FragmentKey, FragmentKind};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::membership::{Member, Members};
use crate::model::{Definition, Kind, Metadata, Spec};
use crate::settings::Role;
use crate::store::contract::{Hooked, Slow};
use crate::store::{At, EmbeddedStore, Limits, Record};
use crate::transformer::fingerprint::Fingerprint;
use crate::transformer::linter::{Found, FoundByMesh};
use crate::transformer::transform::TransformError;

struct Setup {
    store: Arc<dyn Store>,
    passes: Passes,
    changes: Watch,
    done: watch::Receiver<Transaction>,
    _directory: TempDir,
}

impl Setup {
    async fn new() -> Self {
        Self::refusing_after(usize::MAX).await
    }

    /// The store refuses a batch of fragments after so many.
    async fn refusing_after(takes: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(directory.path()).unwrap();
        let hooks = Hooked::new(store);
        hooks.takes.store(takes, Ordering::Relaxed);
        let store: Arc<dyn Store> = Arc::new(hooks);
        let (passes, done) = Passes::new(Arc::clone(&store), Workers::start(2).unwrap());
        let (_, changes) = store.list_and_watch(DEFINITIONS).await.unwrap();
        Self { store, passes, changes, done, _directory: directory }
    }

    /// A pass over all meshes.
    async fn pass_over_all(&mut self) {
        self.passes.know(meshes_in(self.store.as_ref()).await.unwrap());
        self.passes.pass_over(self.passes.meshes.keys().cloned().collect()).await;
    }

    /// A pass over what changed since the last call.
    async fn pass_after_changes(&mut self) {
        let events = self.changes.next().await.unwrap();
        self.passes.pass_after(events).await;
    }

    async fn define(&self, id: ResourceId, spec: Value) -> Transaction {
        let batch = Batch::definitions("test", "Create").put(id.key(), definition(id, &spec).encode());
        self.store.commit(batch).await.unwrap()
    }

    async fn delete_mesh(&self) {
        let definitions = self.store.list(DEFINITIONS, At::Newest).await.unwrap().records;
        for part in definitions.chunks(self.store.limits().changes) {
            let batch = part.iter().fold(Batch::definitions("test", "Delete"), |batch, record| {
                batch.delete(Arc::clone(&record.key))
            });
            self.store.commit(batch).await.unwrap();
        }
    }

    async fn derived(&self) -> HashMap<Arc<str>, Bytes> {
        let records = self.store.list(keys::DERIVED, At::Newest).await.unwrap().records;
        records.into_iter().map(|record| (record.key, record.value)).collect()
    }
}

fn definition(id: ResourceId, spec: &Value) -> Definition {
    let spec = Spec::parse(id.kind(), spec).unwrap();
    Definition { id, spec, metadata: Metadata::created("uid".to_owned(), "000000000000", 0) }
}

fn service(mesh: &str, name: &str) -> FragmentKey {
    FragmentKey::virtual_service(&mesh.into(), name)
}

fn service_with_provider(node: &str) -> Value {
    json!({"provider": {"virtualNode": {"virtualNodeName": node}}})
}

#[tokio::test]
async fn a_large_mesh_comes_and_goes() {
    let mut setup = Setup::new().await;
    setup.define(ResourceId::mesh("m"), json!({})).await;
    let count = 2 * setup.store.limits().changes + 1;
    for number in 0..count {
        setup.define(ResourceId::virtual_node("m", number.to_string()), json!({})).await;
    }
    setup.pass_over_all().await;
    assert_eq!(setup.derived().await.len(), count + 1, "the fragments and the mark");
    setup.delete_mesh().await;
    setup.pass_over_all().await;
    assert_eq!(setup.derived().await, HashMap::new());
}

#[tokio::test]
async fn a_pass_that_changes_nothing_writes_nothing() {
    let mut setup = Setup::new().await;
    setup.define(ResourceId::mesh("m"), json!({})).await;
    setup.define(ResourceId::virtual_node("m", "n"), json!({})).await;
    setup.pass_over_all().await;
    let (_, mut watch) = setup.store.list_and_watch(keys::DERIVED).await.unwrap();
    setup.pass_over_all().await;
    let event = tokio::time::timeout(Duration::from_millis(100), watch.next()).await;
    assert!(event.is_err(), "{event:?}");
}

#[tokio::test]
async fn a_mesh_comes_and_goes_by_what_changed() {
    let mut setup = Setup::new().await;
    setup.pass_over_all().await;
    setup.define(ResourceId::mesh("m"), json!({})).await;
    let defined = setup.define(ResourceId::virtual_node("m", "n"), json!({})).await;
    setup.pass_after_changes().await;
    let derived = setup.derived().await;
    assert_eq!(derived.len(), 2, "the fragment and the mark");
    assert_eq!(derived[keys::transformed("m").as_str()], defined.to_string());
    setup.delete_mesh().await;
    setup.pass_after_changes().await;
    assert_eq!(setup.derived().await, HashMap::new());
    assert!(setup.passes.meshes.is_empty());
    let again = setup.define(ResourceId::mesh("m"), json!({})).await;
    setup.pass_after_changes().await;
    assert_eq!(setup.derived().await[keys::transformed("m").as_str()], again.to_string());
}

#[tokio::test]
async fn a_change_is_no_reason_to_look_at_other_meshes_and_the_clock_is() {
    let mut setup = Setup::new().await;
    for mesh in ["changed", "other"] {
        setup.define(ResourceId::mesh(mesh), json!({})).await;
        setup.define(ResourceId::virtual_node(mesh, "n"), json!({})).await;
    }
    setup.pass_over_all().await;
    setup.changes.next().await.unwrap();
    let whole = setup.derived().await;
    let lost: Vec<Arc<str>> = whole.keys().filter(|key| key.contains("/virtualNode/")).cloned().collect();
    assert_eq!(lost.len(), 2);
    let batch = lost.iter().fold(Batch::derived(), |batch, key| batch.delete(Arc::clone(key)));
    setup.store.commit(batch).await.unwrap();

    let listener = json!({"listeners": [{"portMapping": {"port": 80, "protocol": "http"}}]});
    setup.define(ResourceId::virtual_node("changed", "n"), listener).await;
    setup.pass_after_changes().await;
    let key = |mesh| keys::fragment(&FragmentKey { kind: FragmentKind::VirtualNode, ..service(mesh, "n") });
    let derived = setup.derived().await;
    assert!(derived.contains_key(key("changed").as_str()));
    assert!(!derived.contains_key(key("other").as_str()));
    setup.pass_over_all().await;
    let derived = setup.derived().await;
    assert_eq!(derived[key("other").as_str()], whole[key("other").as_str()]);
}

/// As it is after a worker has failed.
#[tokio::test]
async fn a_mesh_of_which_nothing_is_known_is_made_anew_with_its_next_change() {
    let mut setup = Setup::new().await;
    setup.define(ResourceId::mesh("m"), json!({})).await;
    setup.define(ResourceId::virtual_node("m", "lost"), json!({})).await;
    setup.pass_over_all().await;
    setup.changes.next().await.unwrap();
    let lost = keys::fragment(&FragmentKey { kind: FragmentKind::VirtualNode, ..service("m", "lost") });
    setup.store.commit(Batch::derived().delete(lost.as_str())).await.unwrap();
    setup.passes.mesh(&"m".into()).made = None;
    let defined = setup.define(ResourceId::virtual_node("m", "n"), json!({})).await;
    setup.pass_after_changes().await;
    let derived = setup.derived().await;
    assert!(derived.contains_key(lost.as_str()));
    assert_eq!(derived.len(), 3, "the fragments and the mark");
    assert_eq!(derived[keys::transformed("m").as_str()], defined.to_string());
}

#[tokio::test]
async fn a_change_that_nobody_told_of_is_seen_in_time() {
    let mut setup = Setup::new().await;
    setup.define(ResourceId::mesh("m"), json!({})).await;
    setup.define(ResourceId::virtual_node("m", "n"), json!({})).await;
    setup.define(ResourceId::virtual_node("m", "gone"), json!({})).await;
    setup.pass_over_all().await;
    let before = setup.derived().await;
    let listener = json!({"listeners": [{"portMapping": {"port": 80, "protocol": "http"}}]});
    setup.define(ResourceId::virtual_node("m", "n"), listener).await;
    let delete = Batch::definitions("test", "Delete").delete(ResourceId::virtual_node("m", "gone").key());
    let deleted = setup.store.commit(delete).await.unwrap();
    setup.pass_over_all().await;
    let after = setup.derived().await;
    assert_eq!((before.len(), after.len()), (3, 2));
    let key = keys::fragment(&FragmentKey { kind: FragmentKind::VirtualNode, ..service("m", "n") });
    assert_ne!(before[key.as_str()], after[key.as_str()]);
    assert_eq!(after[keys::transformed("m").as_str()], deleted.to_string(), "deletions are changes");
}

#[tokio::test]
async fn nothing_is_said_to_be_done_while_a_pass_that_failed_is_not_made_up_for() {
    let mut setup = Setup::refusing_after(1).await;
    setup.define(ResourceId::mesh("m"), json!({})).await;
    let count = 2 * setup.store.limits().changes;
    for number in 0..count {
        setup.define(ResourceId::virtual_node("m", number.to_string()), json!({})).await;
    }
    let (_, mut derived) = setup.store.list_and_watch(keys::DERIVED).await.unwrap();
    tokio::spawn(setup.passes.run());
    derived.next().await.unwrap();
    let other =
        setup.store.commit(Batch::definitions("test", "Create").put("definitions/referrer", "")).await;
    let other = other.unwrap();
    setup.done.wait_for(|done| *done >= other).await.unwrap();
    let derived = setup.store.list(keys::DERIVED, At::Newest).await.unwrap().records;
    assert_eq!(derived.len(), count + 1, "the fragments and the mark");
}

#[tokio::test]
async fn what_cannot_be_made_keeps_its_last_good_fragment() {
    let mut setup = Setup::new().await;
    setup.define(ResourceId::mesh("m"), json!({})).await;
    let listener = json!({"listeners": [{"portMapping": {"port": 80, "protocol": "http"}}]});
    setup.define(ResourceId::virtual_node("m", "n"), listener).await;
    setup.define(ResourceId::virtual_service("m", "good"), service_with_provider("n")).await;
    setup.define(ResourceId::virtual_service("m", "bad"), service_with_provider("n")).await;
    setup.pass_over_all().await;
    let before = setup.derived().await;

    setup.define(ResourceId::virtual_service("m", "bad"), service_with_provider("gone")).await;
    setup.define(ResourceId::mesh("m"), json!({"egressFilter": {"type": "ALLOW_ALL"}})).await;
    setup.changes.next().await.unwrap();
    setup.pass_over_all().await;
    let after = setup.derived().await;
    let key = |name| Arc::from(keys::fragment(&service("m", name)));
    assert_eq!(before.get(&key("bad")), after.get(&key("bad")));
    assert!(after.contains_key(&key("bad")));
    assert_ne!(before.get(&key("good")), after.get(&key("good")), "the others go on");
    assert_eq!(setup.passes.meshes["m"].problems().len(), 1, "{:?}", setup.passes.meshes);

    let key_of_bad = key("bad");
    setup.define(ResourceId::virtual_service("m", "bad"), service_with_provider("n")).await;
    setup.pass_after_changes().await;
    assert!(setup.passes.meshes["m"].problems().is_empty());
    assert_ne!(setup.derived().await.get(&key_of_bad), before.get(&key_of_bad), "of a newer definition");
}

/// A mesh in which every kind of definition makes a difference to a fragment.
fn mesh_of_all_kinds() -> Vec<(ResourceId, Value)> {
    let listener = json!({"portMapping": {"port": 80, "protocol": "http"}});
    let to_node = json!({"httpRoute": {
        "match": {"prefix": "/"}, "action": {"weightedTargets": [{"virtualNode": "n", "weight": 1}]}}});
    let to_service = json!({"httpRoute": {
        "match": {"prefix": "/"}, "action": {"target": {"virtualService": {"virtualServiceName": "s"}}}}});
    vec![
        (ResourceId::mesh("m"), json!({})),
        (ResourceId::virtual_node("m", "n"), json!({"listeners": [listener]})),
        (ResourceId::virtual_router("m", "r"), json!({"listeners": [listener]})),
        (ResourceId::route("m", "r", "x"), to_node),
        (
            ResourceId::virtual_service("m", "s"),
            json!({"provider": {"virtualRouter": {"virtualRouterName": "r"}}}),
        ),
        (ResourceId::virtual_gateway("m", "g"), json!({"listeners": [listener]})),
        (ResourceId::gateway_route("m", "g", "y"), to_service),
    ]
}

#[tokio::test]
async fn what_cannot_be_read_keeps_what_was_made_of_it() {
    let mut setup = Setup::new().await;
    for (id, spec) in mesh_of_all_kinds() {
        setup.define(id, spec).await;
    }
    setup.pass_after_changes().await;
    let fragments = async |setup: &Setup| {
        let mut derived = setup.derived().await;
        assert!(derived.remove(keys::transformed("m").as_str()).is_some(), "the mesh is there");
        derived
    };
    for (id, spec) in mesh_of_all_kinds() {
        let before = fragments(&setup).await;
        assert_eq!(before.len(), 3, "of a node, a service and a gateway");
        let unreadable = Batch::definitions("test", "Damage").put(id.key(), "{");
        setup.store.commit(unreadable).await.unwrap();
        setup.pass_after_changes().await;
        assert!(fragments(&setup).await == before, "{id}");
        let problems = setup.passes.meshes["m"].problems();
        let about = |error: &&TransformError| {
            error.to_string().contains(&id.path()) || id.kind() == Kind::VirtualNode
        };
        assert!(problems.values().filter(about).count() > 0, "{id}: {problems:?}");

        // one that has just started knows no more than that
        let (fresh, _) = Passes::new(Arc::clone(&setup.store), Workers::start(1).unwrap());
        setup.passes = fresh;
        setup.pass_over_all().await;
        assert!(fragments(&setup).await == before, "{id}");

        setup.define(id, spec).await;
        setup.pass_after_changes().await;
        assert!(setup.passes.meshes["m"].problems().is_empty());
    }
    let unreadable =
        Batch::definitions("test", "Damage").put(ResourceId::virtual_service("m", "s").key(), "{");
    setup.store.commit(unreadable).await.unwrap();
    setup.pass_after_changes().await;
    let delete = Batch::definitions("test", "Delete").delete(ResourceId::virtual_service("m", "s").key());
    setup.store.commit(delete).await.unwrap();
    setup.pass_after_changes().await;
    assert!(!fragments(&setup).await.contains_key(keys::fragment(&service("m", "s")).as_str()));
}

#[test]
fn only_what_is_small_as_far_as_is_known_is_made_where_the_pass_runs() {
    let check = |sizes: &[Option<usize>], expected: bool| {
        let order = |size: &Option<usize>| {
            (FragmentKey::virtual_service(&"m".into(), "s"), size.map(|size| Fingerprint::of(&vec![0; size])))
        };
        let orders: Vec<Order> = sizes.iter().map(order).collect();
        assert_eq!(are_made_here(&orders), expected, "{sizes:?}");
    };
    check(&[Some(1000)], true);
    check(&[Some(1000); 16], true);
    check(&[Some(1000); 17], false);
    check(&[Some(1000), None], false);
}

#[tokio::test]
async fn what_is_found_follows_the_passes() {
    async fn found(found: &mut watch::Receiver<Arc<FoundByMesh>>) -> Vec<String> {
        let patience = Duration::from_secs(60);
        tokio::time::timeout(patience, found.changed()).await.expect("nothing is found anew").unwrap();
        let found = found.borrow_and_update();
        let of_mesh =
            |(mesh, found): (&Arc<str>, &Found)| format!("{mesh}: {:?} {}", found.counts, found.first.len());
        found.iter().map(of_mesh).collect()
    }
    let setup = Setup::new().await;
    setup.define(ResourceId::mesh("m"), json!({})).await;
    setup.define(ResourceId::mesh("other"), json!({})).await;
    setup.define(ResourceId::virtual_service("m", "s"), json!({})).await;
    let Setup { store, passes, changes, done, _directory } = setup;
    drop((changes, done));
    let linter = passes.linter();
    let mut receiver = linter.found();
    tokio::spawn(linter.run());
    let running = tokio::spawn(passes.run());
    let mut last = Vec::new();
    while last.is_empty() {
        last = found(&mut receiver).await;
    }
    assert_eq!(last, ["m: {ServiceWithoutProvider: 1} 1"]);
    let define = |id: ResourceId, spec: Value| {
        let spec = Spec::parse(id.kind(), &spec).unwrap();
        let key = id.key();
        let metadata = Metadata::created("uid".to_owned(), "000000000000", 0);
        Batch::definitions("test", "Create").put(key, Definition { id, spec, metadata }.encode())
    };
    let backends: Vec<Value> = (0..150)
        .map(|index| json!({"virtualService": {"virtualServiceName": format!("gone{index}")}}))
        .collect();
    store
        .commit(define(ResourceId::virtual_node("other", "n"), json!({"backends": backends})))
        .await
        .unwrap();
    assert_eq!(
        found(&mut receiver).await,
        ["m: {ServiceWithoutProvider: 1} 1", "other: {BackendMissing: 150} 100"]
    );
    store
        .commit(Batch::definitions("test", "Delete").delete(ResourceId::virtual_service("m", "s").key()))
        .await
        .unwrap();
    assert_eq!(found(&mut receiver).await, ["other: {BackendMissing: 150} 100"]);
    // a mesh that is gone, with what lay in it
    let keys = [ResourceId::mesh("other").key(), ResourceId::virtual_node("other", "n").key()];
    let delete = keys.into_iter().fold(Batch::definitions("test", "Delete"), Batch::delete);
    store.commit(delete).await.unwrap();
    assert_eq!(found(&mut receiver).await, Vec::<String>::new());
    running.abort();
}

/// A queue of changes keeps the last of each key, and may be behind what was listed.
#[tokio::test]
async fn changes_that_are_told_late_or_in_part_are_taken_for_what_they_are() {
    let mut setup = Setup::new().await;
    setup.define(ResourceId::mesh("m"), json!({})).await;
    setup.pass_over_all().await;
    setup.changes.next().await.unwrap();
    let id = ResourceId::virtual_node("m", "n");
    let created = setup.define(id.clone(), json!({})).await;
    let old: Arc<str> = id.key().into();
    let Record { value, .. } = setup.store.get(&old).await.unwrap().unwrap();
    let delete = Batch::definitions("test", "Delete").delete(Arc::clone(&old));
    let deleted = setup.store.commit(delete).await.unwrap();
    // it came and went, and nobody tells that it came
    setup.pass_after_changes().await;
    let mark = keys::transformed("m");
    assert_eq!(setup.derived().await[mark.as_str()], deleted.to_string());

    let listener = json!({"listeners": [{"portMapping": {"port": 80, "protocol": "http"}}]});
    let newest = setup.define(id, listener).await;
    setup.pass_over_all().await;
    let before = setup.derived().await;
    assert_eq!(before[mark.as_str()], newest.to_string());
    let event = |value, transaction| Event { key: Arc::clone(&old), value, transaction };
    for late in [event(Some(value), created), event(None, deleted)] {
        setup.passes.pass_after(vec![late]).await;
        assert_eq!(setup.derived().await, before, "what was listed is newer");
    }
}

fn listener(port: u16) -> Value {
    json!({"listeners": [{"portMapping": {"port": port, "protocol": "http"}}]})
}

/// A store with meshes of one node each, and the passes over it.
async fn many_meshes(count: usize) -> (Arc<Hooked>, Passes, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(Hooked::new(EmbeddedStore::open(directory.path()).unwrap()));
    for number in 0..count {
        let mesh = format!("m{number:03}");
        let batch = Batch::definitions("test", "Create");
        let batch = [(ResourceId::mesh(&mesh), json!({})), (ResourceId::virtual_node(&mesh, "n"), json!({}))]
            .into_iter()
            .fold(batch, |batch, (id, spec)| batch.put(id.key(), definition(id, &spec).encode()));
        store.commit(batch).await.unwrap();
    }
    let (passes, _) = Passes::new(Arc::clone(&store) as Arc<dyn Store>, Workers::start(1).unwrap());
    (store, passes, directory)
}

/// Waits until there is such a record.
async fn until(store: &dyn Store, key: &str, has: impl Fn(&Record) -> bool) {
    let looking = async {
        while store.get(key).await.unwrap().is_none_or(|record| !has(&record)) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), looking).await.expect("it comes");
}

#[tokio::test]
async fn a_change_waits_for_no_survey() {
    let (store, passes, _directory) = many_meshes(1).await;
    store.slow.send_replace(Slow::Segments);
    tokio::spawn(passes.run());
    // until it watches nobody tells it
    let looking = async {
        for port in 1.. {
            let id = ResourceId::virtual_node("new", "n");
            let batch = Batch::definitions("test", "Update")
                .put(ResourceId::mesh("new").key(), definition(ResourceId::mesh("new"), &json!({})).encode())
                .put(id.key(), definition(id, &listener(port)).encode());
            store.commit(batch).await.unwrap();
            sleep(Duration::from_millis(20)).await;
            if store.get(&keys::transformed("new")).await.unwrap().is_some() {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), looking).await.expect("it is transformed");
    assert!(
        store.get(&keys::transformed("m000")).await.unwrap().is_none(),
        "nobody has looked which there are"
    );
    store.slow.send_replace(Slow::Nothing);
    until(store.as_ref(), &keys::transformed("m000"), |_| true).await;
}

#[tokio::test]
async fn a_change_does_not_wait_for_all_that_is_due() {
    const MESHES: usize = 200;
    let (store, passes, _directory) = many_meshes(MESHES).await;
    store.commits.lock().unwrap().clear();
    // right after the first fragments
    let id = ResourceId::virtual_node("m000", "n");
    let change = Batch::definitions("test", "Update");
    let change = change.put(id.key(), definition(id, &listener(80)).encode());
    *store.commits_next.lock().unwrap() = Some(change);
    tokio::spawn(passes.run());
    until(store.as_ref(), &keys::transformed(&format!("m{:03}", MESHES - 1)), |_| true).await;
    let node = FragmentKey { kind: FragmentKind::VirtualNode, ..service("m000", "n") };
    let commits = store.commits.lock().unwrap();
    let made = commits.iter().enumerate().filter(|(_, keys)| keys.contains(&keys::fragment(&node)));
    let made: Vec<usize> = made.map(|(place, _)| place).collect();
    assert_eq!(made.len(), 2, "at first, and after the change");
    assert!(made[1] - made[0] <= 2 * LOOKS_AT_ONCE, "{made:?}");
    assert!(commits.len() > MESHES, "and all that is due is done");
}

#[tokio::test]
async fn what_cannot_be_read_harms_no_other_mesh() {
    let mut setup = Setup::new().await;
    for mesh in ["bad", "good"] {
        setup.define(ResourceId::mesh(mesh), json!({})).await;
        setup.define(ResourceId::virtual_node(mesh, "n"), json!({})).await;
    }
    let damaged = Batch::definitions("test", "Damage")
        .put(ResourceId::virtual_node("bad", "damaged").key(), "{")
        .put("definitions/bad/nothing/that/is/known", "")
        .put("definitions/%ff/mesh", "");
    let newest = setup.store.commit(damaged).await.unwrap();
    setup.pass_over_all().await;
    let derived = setup.derived().await;
    for mesh in ["bad", "good"] {
        let node = FragmentKey { kind: FragmentKind::VirtualNode, ..service(mesh, "n") };
        assert!(derived.contains_key(keys::fragment(&node).as_str()), "{derived:?}");
    }
    assert_eq!(derived[keys::transformed("bad").as_str()], newest.to_string());

    // a mark that cannot be read is written again, or goes with its mesh
    for mesh in ["bad", "good"] {
        setup.store.commit(Batch::derived().put(keys::transformed(mesh), "?")).await.unwrap();
    }
    setup.pass_over_all().await;
    assert_eq!(setup.derived().await, derived);
    setup.store.commit(Batch::derived().put(keys::transformed("good"), "?")).await.unwrap();
    setup.delete_mesh().await;
    setup.pass_over_all().await;
    assert_eq!(setup.derived().await, HashMap::new());
}

/// Two transformers on one store; each believes what it is told of who is alive.
struct Two {
    setup: Setup,
    told: [watch::Sender<Arc<Members>>; 2],
    hosts: [Passes; 2],
}

const NAMES: [&str; 2] = ["a", "b"];

fn alive(names: &[&str]) -> Arc<Members> {
    let member = |name: &&str| Member::named(name, &[Role::Transformer]);
    Arc::new(names.iter().map(member).collect())
}

impl Two {
    /// They know of each other, and of these meshes, each of which has a node.
    async fn new(meshes: &[String]) -> Self {
        let setup = Setup::new().await;
        for mesh in meshes {
            setup.define(ResourceId::mesh(mesh), json!({})).await;
            setup.define(ResourceId::virtual_node(mesh, "n"), json!({})).await;
        }
        let told = NAMES.map(|_| watch::channel(alive(&NAMES)).0);
        let passes = |index: usize| {
            let (passes, _) = Passes::new(Arc::clone(&setup.store), Workers::start(1).unwrap());
            passes.with_share(Sharing::new(NAMES[index].into(), told[index].subscribe()))
        };
        let hosts = [passes(0), passes(1)];
        Self { setup, told, hosts }
    }

    /// A pass of this one over all that it believes to be its share.
    async fn pass(&mut self, index: usize) {
        let host = &mut self.hosts[index];
        host.know(meshes_in(self.setup.store.as_ref()).await.unwrap());
        host.pass_over(host.meshes.keys().cloned().collect()).await;
    }

    fn meshes_of(&self, index: usize) -> BTreeSet<Arc<str>> {
        self.hosts[index].meshes.keys().cloned().collect()
    }

    /// The ports of the listeners in the fragment of the node of a mesh.
    async fn has_port(&self, mesh: &str, port: u16) -> bool {
        let key = FragmentKey { kind: FragmentKind::VirtualNode, ..service(mesh, "n") };
        let derived = self.setup.derived().await;
        String::from_utf8_lossy(&derived[keys::fragment(&key).as_str()]).contains(&format!("http_{port}"))
    }

    async fn listen_at(&self, mesh: &str, port: u16) -> Vec<Event> {
        let listener = json!({"listeners": [{"portMapping": {"port": port, "protocol": "http"}}]});
        let id = ResourceId::virtual_node(mesh, "n");
        let key: Arc<str> = id.key().into();
        self.setup.define(id, listener).await;
        let Record { value, transaction, .. } = self.setup.store.get(&key).await.unwrap().unwrap();
        vec![Event { key, value: Some(value), transaction }]
    }
}

#[tokio::test]
async fn hosts_divide_the_meshes_and_take_over_those_of_one_that_goes() {
    let meshes: Vec<String> = (0..20).map(|number| format!("m{number}")).collect();
    let mut two = Two::new(&meshes).await;
    two.pass(0).await;
    two.pass(1).await;
    let [of_a, of_b] = [two.meshes_of(0), two.meshes_of(1)];
    assert!(of_a.is_disjoint(&of_b) && of_a.len() + of_b.len() == 20 && !of_a.is_empty() && !of_b.is_empty());
    let derived = two.setup.derived().await;
    assert_eq!(derived.len(), 60, "a fragment, a mark and a claim each");

    two.told[1].send_replace(alive(&["b"]));
    two.pass(1).await;
    assert_eq!(two.meshes_of(1).len(), 20);
    let after = two.setup.derived().await;
    for (key, value) in &derived {
        let is_claim = key.starts_with(keys::OWNERS);
        assert_eq!(after[key] != *value, is_claim && of_a.iter().any(|mesh| key.ends_with(&**mesh)), "{key}");
    }
    two.told[1].send_replace(alive(&NAMES));
    two.pass(1).await;
    assert_eq!(two.meshes_of(1), of_b, "and leave them to one that comes");
}

#[tokio::test]
async fn what_became_anothers_since_it_was_chosen_is_not_claimed() {
    let mut two = Two::new(&["m".to_owned()]).await;
    two.told[0].send_replace(alive(&["a"]));
    two.told[1].send_replace(alive(&["b"]));
    let host = &mut two.hosts[0];
    host.know(meshes_in(two.setup.store.as_ref()).await.unwrap());
    two.pass(1).await;
    let claimed = two.setup.derived().await;
    two.told[0].send_replace(alive(&["b"]));
    let host = &mut two.hosts[0];
    host.pass_over(vec!["m".into()]).await;
    assert!(host.meshes.is_empty(), "it is left");
    assert_eq!(two.setup.derived().await, claimed);
}

#[tokio::test]
async fn one_that_was_taken_for_dead_writes_no_more() {
    let mut two = Two::new(&["m".to_owned()]).await;
    // each believes that it is alone
    two.told[0].send_replace(alive(&["a"]));
    two.told[1].send_replace(alive(&["b"]));
    two.pass(0).await;
    let late = two.listen_at("m", 81).await;
    two.listen_at("m", 82).await;
    two.pass(1).await;
    assert!(two.has_port("m", 82).await);
    let before = two.setup.derived().await;

    two.hosts[0].pass_after(late).await;
    assert_eq!(two.setup.derived().await, before, "what it made of old definitions is not written");
    assert!(two.hosts[0].meshes["m"].is_behind, "and it knows that it is behind");

    // if it still believes so it takes the mesh again, with definitions as they are now
    two.pass(0).await;
    assert!(two.has_port("m", 82).await);
    let newest = two.listen_at("m", 83).await;
    two.hosts[1].pass_after(newest.clone()).await;
    assert!(two.has_port("m", 82).await, "now the other writes no more");
    two.hosts[0].pass_after(newest).await;
    assert!(two.has_port("m", 83).await);
}

#[tokio::test]
async fn what_was_deleted_while_nobody_looked_is_in_the_mark() {
    let mut two = Two::new(&["m".to_owned()]).await;
    two.told[0].send_replace(alive(&["a"]));
    two.told[1].send_replace(alive(&["b"]));
    two.pass(0).await;
    let id = ResourceId::virtual_node("m", "n");
    let deleted =
        two.setup.store.commit(Batch::definitions("test", "Delete").delete(id.key())).await.unwrap();
    two.pass(1).await;
    let derived = two.setup.derived().await;
    assert_eq!(derived[keys::transformed("m").as_str()], deleted.to_string());
    assert_eq!(derived.len(), 2, "the mark and the claim");
    let before = derived;
    two.pass(1).await;
    assert_eq!(two.setup.derived().await, before, "and nothing is written again");
}

#[tokio::test]
async fn a_mesh_that_goes_leaves_no_claim() {
    let mut two = Two::new(&["m".to_owned()]).await;
    two.told[0].send_replace(alive(&["a"]));
    two.pass(0).await;
    two.setup.delete_mesh().await;
    two.pass(0).await;
    assert_eq!(two.setup.derived().await, HashMap::new());
    assert!(two.hosts[0].meshes.is_empty());
}

#[tokio::test]
async fn one_fragment_that_the_store_does_not_take_harms_only_itself() {
    let mut setup = Setup::new().await;
    setup.define(ResourceId::mesh("m"), json!({})).await;
    setup.define(ResourceId::virtual_node("m", "good"), json!({})).await;
    let listener = |port| json!({"portMapping": {"port": port, "protocol": "http"}});
    let listeners: Vec<Value> = (1..3000).map(listener).collect();
    setup.define(ResourceId::virtual_node("m", "large"), json!({"listeners": listeners})).await;
    setup.pass_over_all().await;
    let problems = setup.passes.meshes["m"].problems();
    let told: Vec<String> = problems.iter().map(|(key, error)| format!("{key}: {error}")).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("large") && told[0].contains("and the store takes"), "{told:?}");
    assert_eq!(setup.derived().await.len(), 2, "the other fragment and the mark");
}

#[test]
fn what_is_written_is_divided_by_number_and_size() {
    let limits = Limits { changes: 3, batch_bytes: CLAIM_BYTES_MAX + 100, ..Limits::default() };
    let check = |sizes: &[usize], expected: &[usize]| {
        let change =
            |size: &usize| (Arc::from("k"), size.checked_sub(1).map(|size| Bytes::from(vec![0; size])));
        let parts = parts(sizes.iter().map(change).collect(), &limits);
        assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), expected, "{sizes:?}");
    };
    check(&[], &[]);
    check(&[1, 1, 1, 1], &[3, 1]);
    check(&[50, 50, 1], &[2, 1]);
    check(&[101, 1, 99], &[1, 2]);
    check(&[0, 0, 0, 0, 0, 0, 0], &[3, 3, 1]);
}
