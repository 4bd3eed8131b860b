use std::fs;
use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use expect_test::{Expect, expect};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::document::parse_all;
use super::report::Report;
use super::{ApplyArgs, apply};
use crate::cli::client::ApiArgs;
use crate::cli::confirm::Consent;
use crate::cli::text::Text;
use crate::frontend::{Frontend, FrontendSettings, Rates, router};
use crate::store::EmbeddedStore;

/// What a text is parsed to, a line a document.
fn check(name: &str, text: &str, expected: Expect) {
    let parsed = parse_all(&Text { name: name.to_owned(), text: text.to_owned() });
    let lines: Vec<String> = parsed
        .iter()
        .map(|document| match document {
            Ok(document) => {
                let mut body = document.create_body();
                // the order of members says nothing
                body.sort_all_objects();
                format!("{}: {} {body}", document.place, document.id)
            }
            Err(error) => format!("{}: {}", error.place, error.problem),
        })
        .collect();
    expected.assert_eq(&lines.join("\n"));
}

#[test]
fn name_keys_say_what_it_is() {
    check(
        "all.yaml",
        "\
# a comment
---
meshName: m
spec: {}
---
meshName: m
virtualNodeName: n
spec: {listeners: []}
tags: [{key: k, value: v}]
---
meshName: m
virtualServiceName: s.local
spec: {}
---
{meshName: m, virtualRouterName: r, spec: {}}
---
meshName: m
virtualRouterName: r
routeName: x
clientToken: t
spec: {}
---
meshName: m
virtualGatewayName: g
spec: {}
---
---
meshName: m
virtualGatewayName: g
gatewayRouteName: x
spec: {}
...
",
        expect![[r#"
            all.yaml, document 1 (line 3): mesh "m" {"meshName":"m","spec":{}}
            all.yaml, document 2 (line 6): virtual node "n" in mesh "m" {"spec":{"listeners":[]},"tags":[{"key":"k","value":"v"}],"virtualNodeName":"n"}
            all.yaml, document 3 (line 11): virtual service "s.local" in mesh "m" {"spec":{},"virtualServiceName":"s.local"}
            all.yaml, document 4 (line 15): virtual router "r" in mesh "m" {"spec":{},"virtualRouterName":"r"}
            all.yaml, document 5 (line 17): route "x" of virtual router "r" in mesh "m" {"routeName":"x","spec":{}}
            all.yaml, document 6 (line 23): virtual gateway "g" in mesh "m" {"spec":{},"virtualGatewayName":"g"}
            all.yaml, document 7 (line 28): gateway route "x" of virtual gateway "g" in mesh "m" {"gatewayRouteName":"x","spec":{}}"#]],
    );
}

#[test]
fn what_is_no_document() {
    check(
        "bad.yaml",
        "\
meshName: m
spec: {}
extra: 1
---
virtualNodeName: n
spec: {}
---
meshName: m
routeName: x
spec: {}
---
meshName: m
virtualNodeName: n
virtualRouterName: r
spec: {}
---
meshName: m
virtualNodeName: 7
spec: {}
---
meshName: a/b
spec: {}
---
meshName: m
---
just text
---
meshName: m
meshName: n
spec: {}
---
meshName: fine
spec: {}
",
        expect![[r#"
            bad.yaml, document 1 (line 1): extra: is not a key here; known keys are meshName, virtualNodeName, virtualRouterName, routeName, virtualServiceName, virtualGatewayName, gatewayRouteName, spec, tags, clientToken
            bad.yaml, document 2 (line 5): meshName: is required
            bad.yaml, document 3 (line 8): virtualRouterName: is required for a route
            bad.yaml, document 4 (line 12): meshName, virtualNodeName, virtualRouterName name no one resource
            bad.yaml, document 5 (line 17): virtualNodeName: 7 is not a string
            bad.yaml, document 6 (line 21): meshName: has a /, which the name of a mesh may not have
            bad.yaml, document 7 (line 24): mesh "m": spec: is required
            bad.yaml, document 8 (line 26): is not an object
            bad.yaml, document 9: cannot be parsed: duplicate mapping key: meshName not allowed here at line 29, column 1
            bad.yaml, document 10 (line 32): mesh "fine" {"meshName":"fine","spec":{}}"#]],
    );
}

#[test]
fn yaml_that_breaks_off() {
    check(
        "broken.yaml",
        "meshName: m\nspec: {}\n---\nmeshName: [\n---\nmeshName: n\nspec: {}\n",
        expect![[r#"
            broken.yaml, document 1 (line 1): mesh "m" {"meshName":"m","spec":{}}
            broken.yaml, document 2: cannot be parsed: unclosed bracket '[' at line 4, column 11; nothing of this file was read beyond it"#]],
    );
    check(
        "tabs.yaml",
        "meshName: m\nspec:\n\ta: 1\n",
        expect![
            "tabs.yaml, document 1: cannot be parsed: tabs disallowed within this context (block indentation) at line 3, column 2; nothing of this file was read beyond it"
        ],
    );
    check("empty.yaml", "# nothing\n", expect![[""]]);
}

#[test]
fn json_in_all_forms() {
    check(
        "one.json",
        r#"{"meshName": "m", "spec": {}}"#,
        expect![[r#"one.json, document 1 (line 1): mesh "m" {"meshName":"m","spec":{}}"#]],
    );
    check(
        "twice.json",
        r#"{"meshName": "m", "spec": {}, "spec": {}}"#,
        expect![[
            r#"twice.json, document 1: cannot be parsed: the key "spec" is repeated at line 1 column 41; nothing of this file was read beyond it"#
        ]],
    );
    let list = "\n[{\"meshName\": \"m\", \"spec\": {}},\n {\"meshName\": \"n\"}, 7]";
    check(
        "list.json",
        list,
        expect![[r#"
        list.json, document 1: mesh "m" {"meshName":"m","spec":{}}
        list.json, document 2: mesh "n": spec: is required
        list.json, document 3: is not an object"#]],
    );
    let several =
        "{\"meshName\": \"m\", \"spec\": {}}\n\n\t{\"meshName\": \"n\", \"spec\": {}}\n{\"meshName\": ";
    check(
        "several.json",
        several,
        expect![[r#"
            several.json, document 1 (line 1): mesh "m" {"meshName":"m","spec":{}}
            several.json, document 2 (line 3): mesh "n" {"meshName":"n","spec":{}}
            several.json, document 3: cannot be parsed: EOF while parsing a value at line 4 column 13; nothing of this file was read beyond it"#]],
    );
    let on_standard_input = "{\"meshName\": \"m\", \"spec\": {}}\n{\"meshName\": \"n\", \"spec\": {}}\n";
    check(
        "standard input",
        on_standard_input,
        expect![[r#"
        standard input, document 1 (line 1): mesh "m" {"meshName":"m","spec":{}}
        standard input, document 2 (line 2): mesh "n" {"meshName":"n","spec":{}}"#]],
    );
    check(
        "standard input",
        "{meshName: m, spec: {}}",
        expect![[r#"standard input, document 1 (line 1): mesh "m" {"meshName":"m","spec":{}}"#]],
    );
    check(
        "a.yaml",
        "- {meshName: m, spec: {}}\n- {meshName: n, spec: {}}",
        expect![[r#"
            a.yaml, document 1: mesh "m" {"meshName":"m","spec":{}}
            a.yaml, document 2: mesh "n" {"meshName":"n","spec":{}}"#]],
    );
}

/// The API on a port of its own, and a directory for files.
struct Setup {
    _runtime: Runtime,
    endpoint: String,
    files: TempDir,
    _data: TempDir,
}

impl Setup {
    fn new() -> Setup {
        Setup::with_rates(Rates::default())
    }

    fn with_rates(rates: Rates) -> Setup {
        let data = TempDir::new().unwrap();
        let store = Arc::new(EmbeddedStore::open(data.path()).unwrap());
        let router = router(Frontend::new(store, FrontendSettings { rates, ..FrontendSettings::default() }));
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let endpoint = format!("http://{}/", listener.local_addr().unwrap());
        runtime.spawn(async move { axum::serve(listener, router).await });
        Setup { _runtime: runtime, endpoint, files: TempDir::new().unwrap(), _data: data }
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.files.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// What applying these files prints, and the exit code.
    fn check(&self, files: &[&str], expected: Expect) {
        check_apply(&self.endpoint, self.files.path(), files, expected);
    }

    /// Applies these files, all of which must be taken.
    fn check_silently(&self, files: &[&str]) {
        let args = args(&self.endpoint, self.files.path(), files);
        let (mut out, mut errors) = (Vec::new(), Vec::new());
        let ask = |_: &str| -> Consent { unreachable!("nothing is deleted") };
        let code = apply(&args, &mut Report::new(&mut out, false), &mut Report::new(&mut errors, false), ask);
        assert_eq!(code, 0, "{}", String::from_utf8_lossy(&out));
    }
}

fn check_apply(endpoint: &str, dir: &Path, files: &[&str], expected: Expect) {
    check_with(&args(endpoint, dir, files), dir, Consent::NobodyToAsk, expected);
}

fn args(endpoint: &str, dir: &Path, files: &[&str]) -> ApplyArgs {
    let path = |file: &&str| dir.join(file).display().to_string();
    let api = ApiArgs { endpoint: endpoint.to_owned(), ca_certificate: None };
    ApplyArgs { files: files.iter().map(path).collect(), prune: false, yes: false, atomic: false, api }
}

/// What is printed, what is asked and answered with `consent`, and the exit code.
fn check_with(args: &ApplyArgs, dir: &Path, consent: Consent, expected: Expect) {
    let (mut out, mut errors, mut asked) = (Vec::new(), Vec::new(), String::new());
    let ask = |question: &str| {
        asked = format!("asked: {question} {consent:?}\n");
        consent
    };
    let code = apply(args, &mut Report::new(&mut out, false), &mut Report::new(&mut errors, false), ask);
    let text = |printed| String::from_utf8(printed).unwrap().replace(&dir.display().to_string(), "DIR");
    let errors: String = text(errors).lines().map(|line| format!("error: {line}\n")).collect();
    expected.assert_eq(&format!("{}{errors}{asked}exit code {code}\n", text(out)));
}

const ROUTE: &str = "\
meshName: m
virtualRouterName: r
routeName: x
spec: {httpRoute: {match: {prefix: /}, action: {weightedTargets: [{virtualNode: n, weight: 1}]}}}
";
const REST: &str = "\
{meshName: m, virtualServiceName: s, spec: {provider: {virtualRouter: {virtualRouterName: r}}}}
---
{meshName: m, virtualRouterName: r, spec: {listeners: [{portMapping: {port: 80, protocol: http}}]}}
---
{meshName: m, virtualNodeName: n, spec: {}}
---
{meshName: m, spec: {}}
";

#[test]
fn files_are_applied_in_the_order_of_dependency() {
    let setup = Setup::new();
    setup.write("mesh/a-route.yml", ROUTE);
    setup.write("mesh/below/rest.yaml", REST);
    setup.write("mesh/notes.txt", "not: [for us");
    setup.write("mesh/.hidden.yaml", "not: [for us");
    setup.check(
        &["mesh"],
        expect![[r#"
        created   mesh "m"
        created   virtual node "n" in mesh "m"
        created   virtual router "r" in mesh "m"
        created   route "x" of virtual router "r" in mesh "m"
        created   virtual service "s" in mesh "m"
        5 created, 0 updated, 0 unchanged, 0 failed
        error: warning   target-without-listeners: mesh/m/virtualRouter/r/route/x: spec.httpRoute.action.weightedTargets[0].virtualNode: virtual node "n" in mesh "m" has no listeners, so that the virtual services of this router keep the routes that they had, whatever else changes; add a listener to the node, or remove the target
        exit code 0
    "#]],
    );
    setup.check(
        &["mesh"],
        expect![[r#"
        unchanged mesh "m"
        unchanged virtual node "n" in mesh "m"
        unchanged virtual router "r" in mesh "m"
        unchanged route "x" of virtual router "r" in mesh "m"
        unchanged virtual service "s" in mesh "m"
        0 created, 0 updated, 5 unchanged, 0 failed
        error: warning   target-without-listeners: mesh/m/virtualRouter/r/route/x: spec.httpRoute.action.weightedTargets[0].virtualNode: virtual node "n" in mesh "m" has no listeners, so that the virtual services of this router keep the routes that they had, whatever else changes; add a listener to the node, or remove the target
        exit code 0
    "#]],
    );
    setup.write("mesh/a-route.yml", &ROUTE.replace("weight: 1", "weight: 2"));
    setup.check(
        &["mesh"],
        expect![[r#"
        unchanged mesh "m"
        unchanged virtual node "n" in mesh "m"
        unchanged virtual router "r" in mesh "m"
        updated   route "x" of virtual router "r" in mesh "m"
        unchanged virtual service "s" in mesh "m"
        0 created, 1 updated, 4 unchanged, 0 failed
        error: warning   target-without-listeners: mesh/m/virtualRouter/r/route/x: spec.httpRoute.action.weightedTargets[0].virtualNode: virtual node "n" in mesh "m" has no listeners, so that the virtual services of this router keep the routes that they had, whatever else changes; add a listener to the node, or remove the target
        exit code 0
    "#]],
    );
}

#[test]
fn a_client_token_does_not_keep_what_others_have_made_of_it() {
    let setup = Setup::new();
    let node = |hostname: &str| {
        format!(
            "{{meshName: m, virtualNodeName: n, clientToken: t, spec: {{serviceDiscovery: {{dns: {{hostname: {hostname}}}}}}}}}\n"
        )
    };
    for (name, hostname) in
        [("created.yaml", "a.local"), ("ours.yaml", "b.local"), ("theirs.yaml", "c.local")]
    {
        setup.write(name, &format!("{{meshName: m, spec: {{}}}}\n---\n{}", node(hostname)));
        setup.check_silently(&[name]);
    }
    // the same request, with the same token, as the one before the last
    setup.check(
        &["ours.yaml"],
        expect![[r#"
            unchanged mesh "m"
            updated   virtual node "n" in mesh "m"
            0 created, 1 updated, 1 unchanged, 0 failed
            exit code 0
        "#]],
    );
    setup.check(
        &["ours.yaml"],
        expect![[r#"
            unchanged mesh "m"
            unchanged virtual node "n" in mesh "m"
            0 created, 0 updated, 2 unchanged, 0 failed
            exit code 0
        "#]],
    );
}

#[test]
fn tags_become_what_the_files_say() {
    let setup = Setup::new();
    let with = |tags: &str| format!("{{meshName: m, spec: {{}}, tags: {tags}}}\n");
    let summary = |is_atomic: bool, expected: &str| {
        let args = ApplyArgs { atomic: is_atomic, ..args(&setup.endpoint, setup.files.path(), &["m.yaml"]) };
        let mut out = Vec::new();
        let ask = |_: &str| -> Consent { unreachable!("nothing is deleted") };
        apply(&args, &mut Report::new(&mut out, false), &mut Report::new(&mut Vec::new(), false), ask);
        let out = String::from_utf8(out).unwrap();
        assert!(out.contains(expected), "{out}");
    };
    for is_atomic in [false, true] {
        let (here, there) = if is_atomic { ("atomic", "again") } else { ("single", "first") };
        setup.write("m.yaml", &with(&format!("[{{key: team, value: {here}}}, {{key: {there}, value: ''}}]")));
        summary(is_atomic, if is_atomic { "1 updated" } else { "1 created" });
        summary(is_atomic, "1 unchanged");
        setup.write("m.yaml", &with(&format!("[{{key: team, value: other-{here}}}]")));
        summary(is_atomic, "1 updated");
        summary(!is_atomic, "1 unchanged");
        setup.write("m.yaml", "{meshName: m, spec: {}}\n");
        summary(is_atomic, "1 unchanged");
        setup.write("m.yaml", &with("[{key: team}, 7]"));
        summary(is_atomic, "1 failed");
        setup.write("m.yaml", &with("[]"));
        summary(is_atomic, "1 updated");
        summary(!is_atomic, "1 unchanged");
    }
}

#[test]
fn who_is_throttled_waits_for_the_next_turn() {
    let rate = NonZeroU32::new(3);
    let setup = Setup::with_rates(Rates { reads: rate, writes: rate, ..Rates::default() });
    setup.write("mesh/route.yaml", ROUTE);
    setup.write("mesh/rest.yaml", REST);
    setup.check_silently(&["mesh"]);
}

#[test]
fn thousands_of_documents_may_stand_in_one_file() {
    let node = |index| format!("---\nmeshName: m\nvirtualNodeName: n{index}\nspec: {{}}\n");
    let text: String = (0..3000).map(node).collect();
    let parsed = parse_all(&Text { name: "a.yaml".to_owned(), text });
    assert_eq!(parsed.iter().filter(|document| document.is_ok()).count(), 3000);
    assert_eq!(parsed.len(), 3000);
}

#[test]
fn half_of_it_is_good() {
    let setup = Setup::new();
    let bad_node = "---\n{meshName: m, virtualNodeName: bad, spec: {listeners: [{portMapping: {port: 0, protocol: x}}]}}\n";
    let bad_route = "---\n{meshName: m, virtualRouterName: gone, routeName: y, spec: {tcpRoute: {action: {weightedTargets: [{virtualNode: n, weight: 1}]}}}}\n";
    setup.write("a.yaml", &format!("{REST}{bad_node}{bad_route}"));
    setup.check(&["a.yaml"], expect![[r#"
        created   mesh "m"
        created   virtual node "n" in mesh "m"
        failed    virtual node "bad" in mesh "m" (DIR/a.yaml, document 5 (line 9)):
                    spec.listeners[0].portMapping.port: 0 is not in 1..=65535
                    spec.listeners[0].portMapping.protocol: "x" is not one of http, tcp, http2, grpc
        created   virtual router "r" in mesh "m"
        failed    route "y" of virtual router "gone" in mesh "m" (DIR/a.yaml, document 6 (line 11)): virtual router "gone" in mesh "m" does not exist
        created   virtual service "s" in mesh "m"
        4 created, 0 updated, 0 unchanged, 2 failed
        error: what is above as created, updated or deleted stays; correct the rest and apply again, which goes on from there
        exit code 1
    "#]]);
}

#[test]
fn what_cannot_be_read_is_corrected_first() {
    let setup = Setup::new();
    setup.write("a.yaml", REST);
    setup.write("b.yaml", "{meshName: m, spec: {}, oops: 1}\n---\n{meshName: other, spec: {}}\n");
    setup.write("c.yaml", "{meshName: m, spec: {}}\n");
    setup.check(&["a.yaml", "b.yaml", "c.yaml", "missing.yaml"], expect![[r#"
        error: failed    DIR/b.yaml, document 1 (line 1): oops: is not a key here; known keys are meshName, virtualNodeName, virtualRouterName, routeName, virtualServiceName, virtualGatewayName, gatewayRouteName, spec, tags, clientToken
        error: failed    DIR/missing.yaml: cannot be read: No such file or directory (os error 2)
        error: failed    DIR/c.yaml, document 1 (line 1): mesh "m" is defined already by DIR/a.yaml, document 4 (line 7)
        error: nothing was applied; 5 other documents wait for this to be corrected
        exit code 2
    "#]]);
    setup.check(
        &["a.yaml"],
        expect![[r#"
        created   mesh "m"
        created   virtual node "n" in mesh "m"
        created   virtual router "r" in mesh "m"
        created   virtual service "s" in mesh "m"
        4 created, 0 updated, 0 unchanged, 0 failed
        error: warning   provider-without-routes: mesh/m/virtualService/s: spec.provider.virtualRouter.virtualRouterName: virtual router "r" in mesh "m" has no route for port 80 (http), so that what comes in there is answered with 404 or closed; add a route for it
        exit code 0
    "#]],
    );
}

#[test]
fn there_is_nothing_to_apply_or_nobody_to_ask() {
    let setup = Setup::new();
    setup.write("empty/x.yaml", "# nothing");
    setup.check(
        &["empty"],
        expect![[r#"
            error: there is no document in what -f names
            exit code 2
        "#]],
    );
    setup.write("rest.yaml", REST);
    let dir = setup.files.path();
    check_apply(
        "http://127.0.0.1:1",
        dir,
        &["rest.yaml"],
        expect![[r#"
            failed    mesh "m" (DIR/rest.yaml, document 4 (line 7)): http://127.0.0.1:1 was not reached: io: Connection refused (os error 111)
            failed    virtual node "n" in mesh "m": not tried, since the endpoint was not reached
            failed    virtual router "r" in mesh "m": not tried, since the endpoint was not reached
            failed    virtual service "s" in mesh "m": not tried, since the endpoint was not reached
            0 created, 0 updated, 0 unchanged, 4 failed
            error: what is above as created, updated or deleted stays; correct the rest and apply again, which goes on from there
            exit code 1
        "#]],
    );
}

/// The mesh of [`ROUTE`] and [`REST`] without the router: the service is provided by the node.
const WITHOUT_ROUTER: &str = "\
{meshName: m, virtualServiceName: s, spec: {provider: {virtualNode: {virtualNodeName: n}}}}
---
{meshName: m, virtualNodeName: n, spec: {}}
";

impl Setup {
    /// A setup in which the mesh is applied, with something in another mesh, and files that want less of it.
    fn with_less() -> Setup {
        let setup = Setup::new();
        setup.write("all/rest.yaml", REST);
        setup.write("all/route.yaml", ROUTE);
        setup.write("all/gateway.yaml", "\
{meshName: m, virtualGatewayName: g, spec: {listeners: [{portMapping: {port: 80, protocol: http}}]}}
---
{meshName: m, virtualGatewayName: g, gatewayRouteName: y, spec: {httpRoute: {match: {prefix: /}, action: {target: {virtualService: {virtualServiceName: s}}}}}}
---
{meshName: other, spec: {}}
---
{meshName: other, virtualNodeName: n, spec: {}}
");
        setup.check_silently(&["all"]);
        setup.write("less.yaml", WITHOUT_ROUTER);
        setup
    }

    fn prune(&self, atomic: bool, consent: Consent, expected: Expect) {
        let args =
            ApplyArgs { prune: true, atomic, ..args(&self.endpoint, self.files.path(), &["less.yaml"]) };
        check_with(&args, self.files.path(), consent, expected);
    }
}

#[test]
fn what_no_file_has_is_deleted_once_somebody_agrees() {
    let setup = Setup::with_less();
    setup.prune(
        false,
        Consent::NobodyToAsk,
        expect![[r#"
        error: in no file, and to be deleted:
        error:   gateway route "y" of virtual gateway "g" in mesh "m"
        error:   virtual gateway "g" in mesh "m"
        error:   route "x" of virtual router "r" in mesh "m"
        error:   virtual router "r" in mesh "m"
        error: nothing was applied: there is no terminal to ask at; say --yes
        asked: Delete these 4 resources? NobodyToAsk
        exit code 2
    "#]],
    );
    setup.prune(
        false,
        Consent::Refused,
        expect![[r#"
        error: in no file, and to be deleted:
        error:   gateway route "y" of virtual gateway "g" in mesh "m"
        error:   virtual gateway "g" in mesh "m"
        error:   route "x" of virtual router "r" in mesh "m"
        error:   virtual router "r" in mesh "m"
        error: nothing was applied: it was not agreed to
        asked: Delete these 4 resources? Refused
        exit code 1
    "#]],
    );
    setup.prune(
        false,
        Consent::Given,
        expect![[r#"
        unchanged virtual node "n" in mesh "m"
        updated   virtual service "s" in mesh "m"
        deleted   gateway route "y" of virtual gateway "g" in mesh "m"
        deleted   virtual gateway "g" in mesh "m"
        deleted   route "x" of virtual router "r" in mesh "m"
        deleted   virtual router "r" in mesh "m"
        0 created, 1 updated, 4 deleted, 1 unchanged, 0 failed
        error: in no file, and to be deleted:
        error:   gateway route "y" of virtual gateway "g" in mesh "m"
        error:   virtual gateway "g" in mesh "m"
        error:   route "x" of virtual router "r" in mesh "m"
        error:   virtual router "r" in mesh "m"
        error: warning   provider-without-listeners: mesh/m/virtualService/s: spec.provider.virtualNode.virtualNodeName: virtual node "n" in mesh "m" has no listeners, so that every request for the service fails; add a listener to the node
        asked: Delete these 4 resources? Given
        exit code 0
    "#]],
    );
    setup.prune(
        false,
        Consent::NobodyToAsk,
        expect![[r#"
        unchanged virtual node "n" in mesh "m"
        unchanged virtual service "s" in mesh "m"
        0 created, 0 updated, 0 deleted, 2 unchanged, 0 failed
        error: warning   provider-without-listeners: mesh/m/virtualService/s: spec.provider.virtualNode.virtualNodeName: virtual node "n" in mesh "m" has no listeners, so that every request for the service fails; add a listener to the node
        exit code 0
    "#]],
    );
    // the other mesh is named by no file
    setup.check(
        &["all"],
        expect![[r#"
        unchanged mesh "other"
        unchanged mesh "m"
        unchanged virtual node "n" in mesh "other"
        unchanged virtual node "n" in mesh "m"
        created   virtual router "r" in mesh "m"
        created   route "x" of virtual router "r" in mesh "m"
        updated   virtual service "s" in mesh "m"
        created   virtual gateway "g" in mesh "m"
        created   gateway route "y" of virtual gateway "g" in mesh "m"
        4 created, 1 updated, 4 unchanged, 0 failed
        error: warning   target-without-listeners: mesh/m/virtualRouter/r/route/x: spec.httpRoute.action.weightedTargets[0].virtualNode: virtual node "n" in mesh "m" has no listeners, so that the virtual services of this router keep the routes that they had, whatever else changes; add a listener to the node, or remove the target
        exit code 0
    "#]],
    );
}

#[test]
fn everything_is_one_transaction() {
    let setup = Setup::with_less();
    setup.prune(
        true,
        Consent::Given,
        expect![[r#"
        unchanged virtual node "n" in mesh "m"
        updated   virtual service "s" in mesh "m"
        deleted   gateway route "y" of virtual gateway "g" in mesh "m"
        deleted   virtual gateway "g" in mesh "m"
        deleted   route "x" of virtual router "r" in mesh "m"
        deleted   virtual router "r" in mesh "m"
        0 created, 1 updated, 4 deleted, 1 unchanged, 0 failed
        error: in no file, and to be deleted:
        error:   gateway route "y" of virtual gateway "g" in mesh "m"
        error:   virtual gateway "g" in mesh "m"
        error:   route "x" of virtual router "r" in mesh "m"
        error:   virtual router "r" in mesh "m"
        error: warning   provider-without-listeners: mesh/m/virtualService/s: spec.provider.virtualNode.virtualNodeName: virtual node "n" in mesh "m" has no listeners, so that every request for the service fails; add a listener to the node
        asked: Delete these 4 resources? Given
        exit code 0
    "#]],
    );
    setup.prune(
        true,
        Consent::Given,
        expect![[r#"
        unchanged virtual node "n" in mesh "m"
        unchanged virtual service "s" in mesh "m"
        0 created, 0 updated, 0 deleted, 2 unchanged, 0 failed
        error: warning   provider-without-listeners: mesh/m/virtualService/s: spec.provider.virtualNode.virtualNodeName: virtual node "n" in mesh "m" has no listeners, so that every request for the service fails; add a listener to the node
        exit code 0
    "#]],
    );
    setup.write(
        "less.yaml",
        &format!("{WITHOUT_ROUTER}---\n{ROUTE}---\n{{meshName: m, virtualNodeName: new, spec: {{}}}}\n"),
    );
    setup.prune(true, Consent::Given, expect![[r#"
        failed    the transaction: route "x" of virtual router "r" in mesh "m": virtual router "r" in mesh "m" does not exist
        0 created, 0 updated, 0 deleted, 0 unchanged, 1 failed
        error: nothing was applied: it is one transaction, all of it or none
        exit code 1
    "#]]);
}

#[test]
fn nothing_is_deleted_where_not_all_could_be_applied() {
    let setup = Setup::with_less();
    setup.write("less.yaml", &format!("{WITHOUT_ROUTER}---\n{ROUTE}"));
    setup.prune(false, Consent::Given, expect![[r#"
        unchanged virtual node "n" in mesh "m"
        unchanged route "x" of virtual router "r" in mesh "m"
        updated   virtual service "s" in mesh "m"
        deleted   gateway route "y" of virtual gateway "g" in mesh "m"
        deleted   virtual gateway "g" in mesh "m"
        failed    virtual router "r" in mesh "m": virtual router "r" in mesh "m" is in use by route "x" of virtual router "r" in mesh "m"
        0 created, 1 updated, 2 deleted, 2 unchanged, 1 failed
        error: in no file, and to be deleted:
        error:   gateway route "y" of virtual gateway "g" in mesh "m"
        error:   virtual gateway "g" in mesh "m"
        error:   virtual router "r" in mesh "m"
        error: what is above as created, updated or deleted stays; correct the rest and apply again, which goes on from there
        asked: Delete these 3 resources? Given
        exit code 1
    "#]]);
    setup.write("less.yaml", &WITHOUT_ROUTER.replace("virtualNodeName: n}}", "virtualNodeName: gone}}"));
    setup.prune(false, Consent::Given, expect![[r#"
        unchanged virtual node "n" in mesh "m"
        failed    virtual service "s" in mesh "m" (DIR/less.yaml, document 1 (line 1)): spec.provider.virtualNode.virtualNodeName: virtual node "gone" in mesh "m" does not exist
        failed    route "x" of virtual router "r" in mesh "m": not deleted, since not everything could be applied
        failed    virtual router "r" in mesh "m": not deleted, since not everything could be applied
        0 created, 0 updated, 0 deleted, 1 unchanged, 3 failed
        error: in no file, and to be deleted:
        error:   route "x" of virtual router "r" in mesh "m"
        error:   virtual router "r" in mesh "m"
        error: what is above as created, updated or deleted stays; correct the rest and apply again, which goes on from there
        asked: Delete these 2 resources? Given
        exit code 1
    "#]]);
}
