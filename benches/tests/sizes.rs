//! How large definitions and fragments are, which docs/scaling.md calculates with:
//! `cargo test -p legation-benches --test sizes -- --nocapture` prints its table.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use legation::model::{Definition, Metadata, ResourceId, Spec};
use legation::transformer::definitions::MeshDefinitions;
use legation::transformer::transform::transform;
use legation_proto::id::{FragmentKey, FragmentKind};
use legation_proto::version::Transaction;
use serde_json::{Value, json};

const MESH: &str = "production";

/// What a table of docs/scaling.md says: something, and its bytes for 1, 2, 10 and 100 targets or backends.
const DOCUMENTED: [(&str, [Option<usize>; 4]); 6] = [
    ("fragment of a virtual service, by targets of its route", [Some(677), Some(1022), Some(3800), None]),
    ("fragment of a virtual node, by backends", [Some(1900), None, Some(2100), Some(4700)]),
    ("definition of a virtual node, by backends", [Some(425), None, Some(1100), Some(7600)]),
    ("definition of a route, by targets", [Some(445), Some(488), Some(832), None]),
    ("definition of a virtual router", [Some(278), None, None, None]),
    ("definition of a virtual service", [Some(298), None, None, None]),
];

const COUNTS: [usize; 4] = [1, 2, 10, 100];

/// A mesh of one service whose route has so many targets, and whose first target has so many backends.
struct Mesh(Vec<(Transaction, Definition)>);

impl Mesh {
    fn new(targets: usize, backends: usize) -> Self {
        let mut mesh = Self(Vec::new());
        mesh.add(ResourceId::mesh(MESH), &json!({}));
        let listeners = json!([{"portMapping": {"port": 8080, "protocol": "http"}}]);
        for number in 0..targets {
            let backends = if number == 0 { backends } else { 0 };
            let backends: Vec<Value> = (0..backends)
                .map(|backend| json!({"virtualService": {"virtualServiceName": service(backend)}}))
                .collect();
            let spec = json!({
                "listeners": listeners,
                "serviceDiscovery": {"dns": {"hostname": format!("{}.internal", node(number))}},
                "backends": backends,
            });
            mesh.add(ResourceId::virtual_node(MESH, node(number)), &spec);
        }
        let router = json!({"listeners": listeners});
        for number in 0..backends.max(1) {
            let name = service(number);
            mesh.add(ResourceId::virtual_router(MESH, &name), &router);
            mesh.add(ResourceId::route(MESH, &name, "all"), &route(targets));
            let provider = json!({"provider": {"virtualRouter": {"virtualRouterName": name}}});
            mesh.add(ResourceId::virtual_service(MESH, name), &provider);
        }
        mesh
    }

    fn add(&mut self, id: ResourceId, spec: &Value) {
        let spec = Spec::parse(id.kind(), spec).unwrap();
        let uid = "4d2b3f5e-8f0a-4c57-9d3c-1f6f0a1b2c3d".to_owned();
        let metadata = Metadata::created(uid, "123456789012", 1_700_000_000_000);
        let transaction = self.0.len() as Transaction + 1;
        self.0.push((transaction, Definition { id, spec, metadata }));
    }

    fn definition(&self, id: &ResourceId) -> usize {
        self.0.iter().find(|(_, definition)| definition.id == *id).unwrap().1.encode().len()
    }

    fn fragment(self, key: &FragmentKey) -> usize {
        let mut transformed = transform(&MeshDefinitions::collect(self.0).remove(MESH).unwrap());
        assert_eq!(transformed.problems, []);
        transformed.fragments.remove(key).unwrap().into_encoded().len()
    }
}

fn route(targets: usize) -> Value {
    let targets: Vec<Value> =
        (0..targets).map(|number| json!({"virtualNode": node(number), "weight": 10})).collect();
    json!({"httpRoute": {
        "match": {"prefix": "/"},
        "action": {"weightedTargets": targets},
        "retryPolicy": {
            "maxRetries": 2,
            "perRetryTimeout": {"unit": "ms", "value": 500},
            "httpRetryEvents": ["server-error", "gateway-error"],
        },
    }})
}

fn service(number: usize) -> String {
    format!("service-{number:05}.shop.internal")
}

fn node(number: usize) -> String {
    format!("node-{number:05}-a")
}

fn measured(what: &str, count: usize) -> usize {
    let mesh = MESH.into();
    match what {
        "fragment of a virtual service, by targets of its route" => {
            Mesh::new(count, 1).fragment(&FragmentKey::virtual_service(&mesh, &service(0)))
        }
        "fragment of a virtual node, by backends" => Mesh::new(1, count).fragment(&FragmentKey {
            mesh,
            kind: FragmentKind::VirtualNode,
            name: node(0).into(),
        }),
        "definition of a virtual node, by backends" => {
            Mesh::new(1, count).definition(&ResourceId::virtual_node(MESH, node(0)))
        }
        "definition of a route, by targets" => {
            Mesh::new(count, 1).definition(&ResourceId::route(MESH, service(0), "all"))
        }
        "definition of a virtual router" => {
            Mesh::new(1, 1).definition(&ResourceId::virtual_router(MESH, service(0)))
        }
        "definition of a virtual service" => {
            Mesh::new(1, 1).definition(&ResourceId::virtual_service(MESH, service(0)))
        }
        other => panic!("nobody measures {other}"),
    }
}

#[test]
fn definitions_and_fragments_are_as_large_as_the_documentation_says() {
    println!("| bytes | 1 target or backend | 2 | 10 | 100 |\n|---|---|---|---|---|");
    let mut wrong = Vec::new();
    for (what, documented) in DOCUMENTED {
        let mut row = String::new();
        for (count, documented) in COUNTS.into_iter().zip(documented) {
            let Some(documented) = documented else {
                row += " |";
                continue;
            };
            let found = measured(what, count);
            row += &format!(" {found} |");
            // a digit more or less in a name is no matter, a field more is
            if found.abs_diff(documented) * 20 > documented {
                wrong.push(format!("{what}, {count}: {found}, and not {documented}"));
            }
        }
        println!("| {what} |{row}");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
