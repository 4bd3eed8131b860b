//! What `legation lint` prints, with and without a control plane.

use std::fs;
use std::net::Ipv4Addr;
use std::sync::Arc;

use clap::Parser;
use expect_test::{Expect, expect};
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use ureq::http::Method;

use super::{LintArgs, show};
use crate::cli::apply;
use crate::cli::client::{ApiArgs, Client};
use crate::frontend::{Frontend, FrontendSettings, path, router};
use crate::store::EmbeddedStore;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: LintArgs,
}

const WELL: &str = "\
{meshName: m, spec: {}}
---
meshName: m
virtualNodeName: n
spec:
  listeners: [{portMapping: {port: 8080, protocol: http}}]
  serviceDiscovery: {dns: {hostname: n.local}}
---
{meshName: m, virtualRouterName: r, spec: {listeners: [{portMapping: {port: 80, protocol: http}}]}}
";

const ROUTE: &str = "\
meshName: m
virtualRouterName: r
routeName: x
spec: {httpRoute: {match: {prefix: /}, action: {weightedTargets: [{virtualNode: n, port: PORT, weight: 1}]}}}
";

fn check(dir: &TempDir, arguments: &[&str], expected: Expect) {
    let base = dir.path().display().to_string();
    let arguments: Vec<String> = arguments.iter().map(|argument| argument.replace("DIR", &base)).collect();
    let Line { args } = Line::try_parse_from(std::iter::once("lint".to_owned()).chain(arguments)).unwrap();
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let code = show(&args, &mut out, &mut errors);
    let text = |printed| String::from_utf8(printed).unwrap().replace(&base, "DIR");
    let errors: String = text(errors).lines().map(|line| format!("error: {line}\n")).collect();
    expected.assert_eq(&format!("{}{errors}exit code {code}\n", text(out)));
}

fn write(dir: &TempDir, name: &str, text: &str) {
    fs::write(dir.path().join(name), text).unwrap();
}

/// A control plane that has nothing yet, for as long as its runtime lives.
fn control_plane(dir: &TempDir) -> (Runtime, String) {
    let store = Arc::new(EmbeddedStore::open(&dir.path().join("data")).unwrap());
    let router = router(Frontend::new(store, FrontendSettings::default()));
    let runtime = Runtime::new().unwrap();
    let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    runtime.spawn(async move { axum::serve(listener, router).await });
    (runtime, endpoint)
}

/// A mesh that is misspelled in the documents is told once, and not only by `apply`.
#[test]
fn a_mesh_that_is_not_there() {
    let dir = TempDir::new().unwrap();
    write(&dir, "a.yaml", &WELL.replace("{meshName: m, spec: {}}\n---\n", ""));
    let expected = expect![[r#"
        DIR/a.yaml, document 1 (line 1): reference-missing: mesh/m/virtualNode/n: meshName: mesh "m" does not exist; create it first
        1 found in 2 documents
        exit code 1
    "#]];
    check(&dir, &["-f", "DIR"], expected);
    let (_runtime, endpoint) = control_plane(&dir);
    let expected = expect![[r#"
        DIR/a.yaml, document 1 (line 1): reference-missing: mesh/m/virtualNode/n: meshName: mesh "m" does not exist; create it first
        1 found in 2 documents
        exit code 1
    "#]];
    check(&dir, &["-f", "DIR/a.yaml", "--endpoint", &endpoint], expected);
}

#[test]
fn documents_alone() {
    let dir = TempDir::new().unwrap();
    write(&dir, "a.yaml", WELL);
    check(
        &dir,
        &["-f", "DIR/a.yaml"],
        expect![[r#"
        nothing was found in 3 documents
        exit code 0
    "#]],
    );
    write(&dir, "b.yaml", &ROUTE.replace("PORT", "8081"));
    check(
        &dir,
        &["-f", "DIR"],
        expect![[r#"
        DIR/b.yaml, document 1 (line 1): target-port-not-listened: mesh/m/virtualRouter/r/route/x: spec.httpRoute.action.weightedTargets[0].port: virtual node "n" in mesh "m" does not listen at port 8081, so that the virtual services of this router keep the routes that they had, whatever else changes; change the port, or add a listener to the node
        1 found in 4 documents
        exit code 1
    "#]],
    );
    check(
        &dir,
        &["-f", "DIR", "--allow", "target-port-not-listened"],
        expect![[r#"
        nothing was found in 4 documents
        exit code 0
    "#]],
    );
    check(
        &dir,
        &["-f", "DIR", "-o", "json"],
        expect![[r#"
            {
              "count": 1,
              "findings": [
                {
                  "code": "target-port-not-listened",
                  "severity": "warning",
                  "resource": "mesh/m/virtualRouter/r/route/x",
                  "path": "spec.httpRoute.action.weightedTargets[0].port",
                  "message": "virtual node \"n\" in mesh \"m\" does not listen at port 8081, so that the virtual services of this router keep the routes that they had, whatever else changes; change the port, or add a listener to the node",
                  "about": [
                    "mesh/m/virtualNode/n",
                    "mesh/m/virtualRouter/r"
                  ]
                }
              ]
            }
            exit code 1
        "#]],
    );
    write(&dir, "b.yaml", &ROUTE.replace("PORT", "8080"));
    check(
        &dir,
        &["-f", "DIR", "-o", "json"],
        expect![[r#"
        {
          "count": 0,
          "findings": []
        }
        exit code 0
    "#]],
    );
}

#[test]
fn what_the_documents_lack() {
    let dir = TempDir::new().unwrap();
    write(&dir, "b.yaml", &ROUTE.replace("PORT", "8080"));
    check(
        &dir,
        &["-f", "DIR/b.yaml"],
        expect![[r#"
            DIR/b.yaml, document 1 (line 1): reference-missing: mesh/m/virtualRouter/r/route/x: meshName: mesh "m" does not exist; create it first
            DIR/b.yaml, document 1 (line 1): reference-missing: mesh/m/virtualRouter/r/route/x: virtualRouterName: virtual router "r" in mesh "m" does not exist; create it first
            2 found in 1 documents
            exit code 1
        "#]],
    );
}

#[test]
fn what_cannot_be_used() {
    let dir = TempDir::new().unwrap();
    write(&dir, "a.yaml", "{meshName: m, spec: {}, oops: 1}\n");
    write(&dir, "b.yaml", &ROUTE.replace("PORT", "0"));
    write(&dir, "c.yaml", "# nothing\n");
    check(
        &dir,
        &["-f", "DIR/a.yaml", "DIR/b.yaml", "DIR/gone.yaml"],
        expect![[r#"
        error: DIR/a.yaml, document 1 (line 1): oops: is not a key here; known keys are meshName, virtualNodeName, virtualRouterName, routeName, virtualServiceName, virtualGatewayName, gatewayRouteName, spec, tags, clientToken
        error: DIR/gone.yaml: cannot be read: No such file or directory (os error 2)
        exit code 2
    "#]],
    );
    check(
        &dir,
        &["-f", "DIR/b.yaml"],
        expect![[r#"
        error: DIR/b.yaml, document 1 (line 1): route "x" of virtual router "r" in mesh "m": spec.httpRoute.action.weightedTargets[0].port: 0 is not in 1..=65535
        exit code 2
    "#]],
    );
    check(
        &dir,
        &["-f", "DIR/c.yaml"],
        expect![[r#"
        error: there is no document in what -f names
        exit code 2
    "#]],
    );
    write(&dir, "b.yaml", &ROUTE.replace("PORT", "1"));
    check(
        &dir,
        &["-f", "DIR/b.yaml", "--endpoint", "http://127.0.0.1:1"],
        expect![[r#"
            error: http://127.0.0.1:1 was not reached: io: Connection refused (os error 111)
            exit code 2
        "#]],
    );
    assert!(Line::try_parse_from(["lint", "-f", "x", "--allow", "nothing"]).is_err());
}

#[test]
fn documents_on_top_of_what_a_control_plane_has() {
    let dir = TempDir::new().unwrap();
    let (_runtime, endpoint) = control_plane(&dir);
    write(&dir, "a.yaml", WELL);
    let api = ApiArgs { endpoint: endpoint.clone(), ca_certificate: None };
    let documents = apply::documents(&[dir.path().join("a.yaml").display().to_string()]).unwrap();
    let changes = json!({"apply": documents.iter().map(|document| &document.json).collect::<Vec<_>>()});
    Client::new(&api).unwrap().request(Method::POST, path::TRANSACTIONS, &[], Some(&changes)).unwrap();
    write(&dir, "b.yaml", &ROUTE.replace("PORT", "8080"));
    check(
        &dir,
        &["-f", "DIR/b.yaml", "--endpoint", &endpoint],
        expect![[r#"
        nothing was found in 1 documents
        exit code 0
    "#]],
    );
    write(&dir, "b.yaml", &ROUTE.replace("PORT", "8081"));
    check(
        &dir,
        &["-f", "DIR/b.yaml", "--endpoint", &endpoint],
        expect![[r#"
        DIR/b.yaml, document 1 (line 1): target-port-not-listened: mesh/m/virtualRouter/r/route/x: spec.httpRoute.action.weightedTargets[0].port: virtual node "n" in mesh "m" does not listen at port 8081, so that the virtual services of this router keep the routes that they had, whatever else changes; change the port, or add a listener to the node
        1 found in 1 documents
        exit code 1
    "#]],
    );
    write(&dir, "b.yaml", &ROUTE.replace("PORT", "0"));
    check(
        &dir,
        &["-f", "DIR/b.yaml", "--endpoint", &endpoint],
        expect![[r#"
        error: route "x" of virtual router "r" in mesh "m": spec.httpRoute.action.weightedTargets[0].port: 0 is not in 1..=65535
        exit code 2
    "#]],
    );
}
