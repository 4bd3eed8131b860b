use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::render::{Render, summary};
use super::usage_code;
use crate::cli::changes::Renderer;

fn plan() -> Value {
    let list = |count: u32| json!({"count": count, "resources": []});
    let routes = |name: &str| json!({"virtual_hosts": [{"name": name}]});
    let content = |weight: u32| json!({"spec": {"weight": weight}, "metadata": {"version": weight}});
    json!({
        "transaction": 8, "ifTransaction": 7,
        "changes": [
            {"change": "updated", "resource": "mesh/m/virtualRouter/r/route/x", "before": content(1), "after": content(2)},
        ],
        "fragments": [],
        "nodes": [
            {"node": "mesh/m/virtualNode/a", "change": "updated", "envoys": 3, "responses": 2, "bytes": 2000, "problems": ["it lacks b"],
             "types": {
                 "cds": {"added": list(1), "updated": list(0), "removed": list(2), "responses": 1, "bytes": 1500},
                 "rds": {"added": list(0), "updated": list(1), "removed": list(0), "responses": 1, "bytes": 500}},
             "configuration": [{"type": "rds", "name": "r", "change": "updated", "before": routes("b"), "after": routes("c")}]},
            {"node": "mesh/m/virtualNode/b", "change": "deleted", "envoys": 1, "responses": 0, "bytes": 0, "problems": [], "types": {}},
        ],
        "problems": ["mesh/m/virtualService/s: it has no listeners"],
        "summary": {"resources": 1, "nodes": 2, "nodesDetailed": 2, "nodesOfMeshes": 40, "envoys": 4, "bytes": 6000,
            "bytesEachMin": 2000, "bytesEachMax": 2000, "isConfigurationComplete": true},
    })
}

fn check(plan: &Value, expected: Expect) {
    let render = Render { renderer: Renderer::new(false), node: None, is_atomic: true };
    expected.assert_eq(&render.plan(plan));
}

#[test]
fn a_plan_tells_resources_nodes_and_configuration() {
    check(
        &plan(),
        expect![[r#"
          updated mesh/m/virtualRouter/r/route/x, version 1 -> 2
            @@ -1,2 +1,2 @@
             spec:
            -  weight: 1
            +  weight: 2

         NODE                  CHANGE   ENVOYS  CDS             RDS        BYTES EACH    BYTES
         mesh/m/virtualNode/a  updated       3  +1 -2, 1.5 KiB  ~1, 500 B     2.0 KiB  5.9 KiB
         mesh/m/virtualNode/b  deleted       1  -               -                 0 B      0 B

        configuration of Envoys of mesh/m/virtualNode/a
          updated RDS r
            @@ -1,2 +1,2 @@
             virtual_hosts:
            -- name: b
            +- name: c

        mesh/m/virtualService/s: it has no listeners
        mesh/m/virtualNode/a would lack something: it lacks b

        1 resource changes; 2 of 40 virtual nodes, 4 Envoys, 2.0 KiB each
    "#]],
    );
}

#[test]
fn what_is_unknown_or_nothing_is_told() {
    let mut unknown = plan();
    unknown["summary"]["envoys"] = Value::Null;
    unknown["summary"]["bytesEachMax"] = json!(3_500_000);
    assert_eq!(
        summary(&unknown),
        "1 resource changes; 2 of 40 virtual nodes, an unknown number of Envoys, 2.0 KiB to 3.3 MiB each\n"
    );
    let nothing =
        json!({"changes": [], "nodes": [], "problems": [], "summary": {"resources": 0, "nodes": 0}});
    check(
        &nothing,
        expect![[r#"
        only ? virtual nodes are shown in detail

        nothing changes; no Envoy is sent anything
    "#]],
    );
}

#[test]
fn resources_that_are_applied_one_by_one_may_be_sent_one_by_one() {
    let mut plan = plan();
    let change = plan["changes"][0].clone();
    let rendered =
        |plan: &Value, is_atomic| Render { renderer: Renderer::new(false), node: None, is_atomic }.plan(plan);
    assert!(!rendered(&plan, false).contains("--atomic"), "there is only one");
    plan["changes"].as_array_mut().unwrap().push(change);
    assert!(rendered(&plan, false).contains("--atomic"));
    assert!(!rendered(&plan, true).contains("--atomic"));
}

#[test]
fn with_the_flag_a_wrong_usage_is_no_change() {
    let code = |words: &[&str], code| usage_code(words.iter().map(std::ffi::OsString::from), code);
    assert_eq!(code(&["legation", "plan", "--exit-code", "--wrong"], 2), 1);
    assert_eq!(code(&["legation", "plan", "--wrong"], 2), 2);
    assert_eq!(code(&["legation", "plan", "--exit-code", "--help"], 0), 0);
}

#[test]
fn a_node_that_is_not_concerned_is_said_to_be() {
    let render =
        Render { renderer: Renderer::new(false), node: Some("mesh/m/virtualNode/x"), is_atomic: true };
    let plan = json!({"changes": [], "nodes": [], "problems": [], "summary": {"resources": 0}});
    let text = render.plan(&plan);
    assert!(text.starts_with("nothing changes for Envoys of mesh/m/virtualNode/x\n\n"), "{text}");
}
