//! Tags of resources of every kind.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{Answer, Api, gateway_route_spec, gateway_spec, route_spec, router_spec};
use crate::store::{At, Store};
use crate::transformer::passes::Passes;
use crate::transformer::workers::Workers;

const ARNS: &str = "arn:aws:appmesh:us-east-1:000000000000:";
const A: &str = "mesh/m/virtualNode/a";

fn escaped(arn: &str) -> String {
    percent_encoding::utf8_percent_encode(arn, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// Tags in the form of the wire.
fn tags(pairs: &[(&str, &str)]) -> Value {
    pairs.iter().map(|(key, value)| json!({"key": key, "value": value})).collect()
}

impl Api {
    async fn tag(&self, resource: &str, pairs: &[(&str, &str)]) -> Answer {
        let path = format!("/tag?resourceArn={}", escaped(&format!("{ARNS}{resource}")));
        self.put(&path, &json!({"tags": tags(pairs)})).await
    }

    async fn untag(&self, resource: &str, keys: &[&str]) -> Answer {
        let path = format!("/untag?resourceArn={}", escaped(&format!("{ARNS}{resource}")));
        self.put(&path, &json!({"tagKeys": keys})).await
    }

    async fn tags_of(&self, resource: &str) -> Answer {
        self.get(&format!("/tags?resourceArn={}", escaped(&format!("{ARNS}{resource}")))).await
    }

    /// Calls, and expects a refusal that changes nothing.
    async fn refuses(&self, answer: impl Future<Output = Answer>, status: u16, code: &str) -> String {
        let before = (self.transaction().await, self.records().await);
        let message = answer.await.refused(status, code);
        assert_eq!((self.transaction().await, self.records().await), before);
        message
    }
}

#[tokio::test]
async fn every_kind_has_tags() {
    let api = Api::with_mesh().await;
    for (collection, name_key, name, spec, resource) in [
        ("/meshes", "meshName", "t", json!({}), "mesh/t"),
        ("/meshes/m/virtualNodes", "virtualNodeName", "t/t", json!({}), "mesh/m/virtualNode/t/t"),
        ("/meshes/m/virtualRouters", "virtualRouterName", "t", router_spec(), "mesh/m/virtualRouter/t"),
        ("/meshes/m/virtualServices", "virtualServiceName", "t é", json!({}), "mesh/m/virtualService/t é"),
        ("/meshes/m/virtualGateways", "virtualGatewayName", "t", gateway_spec(), "mesh/m/virtualGateway/t"),
        (
            "/meshes/m/virtualRouter/r/routes",
            "routeName",
            "t",
            route_spec(&["a"]),
            "mesh/m/virtualRouter/r/route/t",
        ),
        (
            "/meshes/m/virtualGateway/g/gatewayRoutes",
            "gatewayRouteName",
            "t",
            gateway_route_spec("t é"),
            "mesh/m/virtualGateway/g/gatewayRoute/t",
        ),
    ] {
        let body = json!({name_key: name, "spec": spec, "tags": tags(&[("b", "1"), ("a", "")])});
        let created = api.put(collection, &body).await.ok();
        assert_eq!(created["metadata"]["arn"], format!("{ARNS}{resource}"));
        assert_eq!(api.tags_of(resource).await.ok(), json!({"tags": tags(&[("a", ""), ("b", "1")])}));

        assert_eq!(api.tag(resource, &[("b", "2"), ("c", "3")]).await.ok(), json!({}));
        let expected = tags(&[("a", ""), ("b", "2"), ("c", "3")]);
        assert_eq!(api.tags_of(resource).await.ok(), json!({"tags": expected}));
        assert_eq!(api.untag(resource, &["a", "c", "never"]).await.ok(), json!({}));
        assert_eq!(api.tags_of(resource).await.ok(), json!({"tags": tags(&[("b", "2")])}));

        let item = format!("{collection}/{}", escaped(name));
        assert_eq!(api.get(&item).await.ok(), created, "a change of tags is no update");
        let same = (api.transaction().await, api.tag(resource, &[("b", "2")]).await.ok()).0;
        api.untag(resource, &["never"]).await.ok();
        assert_eq!(api.transaction().await, same, "what is so already takes no transaction");
    }
}

#[tokio::test]
async fn tags_go_with_their_resource() {
    let api = Api::with_mesh().await;
    api.tag(A, &[("k", "v")]).await.ok();
    api.tag("mesh/m", &[("k", "v")]).await.ok();
    let entry = api.store.journal(0, 100).await.unwrap().pop().unwrap();
    assert_eq!((entry.operation.as_str(), entry.author.as_str()), ("TagResource", "anonymous"));
    api.delete("/meshes/m/virtualNodes/a").await.ok();
    let message = api.tags_of(A).await.refused(404, "NotFoundException");
    assert!(message.contains("virtual node \"a\""), "{message}");
    api.put("/meshes/m/virtualNodes", &json!({"virtualNodeName": "a", "spec": {}})).await.ok();
    assert_eq!(api.tags_of(A).await.ok(), json!({"tags": []}), "a new resource has none of the old one's");

    // tags are not in the way of deleting a mesh, and nothing is left over
    for path in ["virtualNodes/a", "virtualNodes/b", "virtualRouters/r", "virtualGateways/g"] {
        api.delete(&format!("/meshes/m/{path}")).await.ok();
    }
    api.delete("/meshes/m").await.ok();
    assert_eq!(api.records().await, []);
}

#[tokio::test]
async fn at_most_50_tags() {
    const TOO_MANY: &str = "TooManyTagsException";
    let api = Api::with_mesh().await;
    let keys: Vec<String> = (0..51).map(|number| format!("k{number:02}")).collect();
    let pairs: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "v")).collect();
    api.tag(A, &pairs[..50]).await.ok();
    let message = api.refuses(api.tag(A, &pairs[50..]), 400, TOO_MANY).await;
    assert!(message.contains("51 tags"), "{message}");
    api.refuses(api.tag("mesh/m", &pairs), 400, TOO_MANY).await;
    // to replace one is to add none
    api.tag(A, &[("k00", "other")]).await.ok();
    api.untag(A, &["k00"]).await.ok();
    api.tag(A, &pairs[50..]).await.ok();

    let body = json!({"virtualNodeName": "n", "spec": {}, "tags": tags(&pairs)});
    let create = api.put("/meshes/m/virtualNodes", &body);
    let message = api.refuses(create, 400, "BadRequestException").await;
    assert!(message.contains("tags: has 51 items"), "{message}");
}

#[tokio::test]
async fn tags_are_listed_in_pages() {
    let api = Api::with_mesh().await;
    api.tag(A, &[("d", "4"), ("b", "2"), ("é", "5"), ("a", "1"), ("c", "3")]).await.ok();
    let list = |parameters: String| {
        let arn = escaped(&format!("{ARNS}{A}"));
        let api = api.clone();
        async move { api.get(&format!("/tags?resourceArn={arn}{parameters}")).await }
    };
    let page = list("&limit=2".to_owned()).await.ok();
    assert_eq!(page["tags"], tags(&[("a", "1"), ("b", "2")]));
    let token = page["nextToken"].as_str().unwrap();
    api.untag(A, &["b", "d"]).await.ok();
    let page = list(format!("&limit=2&nextToken={token}")).await.ok();
    assert_eq!(page, json!({"tags": tags(&[("c", "3"), ("é", "5")])}));
    for limit in ["0", "51", "x"] {
        let message = list(format!("&limit={limit}")).await.refused(400, "BadRequestException");
        assert!(message.contains("1..=50"), "{message}");
    }
    list("&nextToken=made-up".to_owned()).await.refused(400, "BadRequestException");
    let of_b = format!("/tags?nextToken={token}&resourceArn={}", escaped(&format!("{ARNS}mesh/m")));
    api.get(&of_b).await.refused(400, "BadRequestException");
}

#[tokio::test]
async fn requests_that_are_none() {
    let api = Api::with_mesh().await;
    for (body, part) in [
        (json!({}), "tags: is required"),
        (json!({"tags": null}), "tags: is required"),
        (json!({"tags": {}}), "tags: is an object"),
        (json!({"tags": [{"key": "k"}]}), "tags[0].value: is required"),
        (json!({"tags": [{"key": "", "value": ""}]}), "tags[0].key: has 0 characters"),
        (json!({"tags": [{"key": "k".repeat(129), "value": ""}]}), "tags[0].key: has 129 characters"),
        (json!({"tags": [{"key": "k", "value": "v".repeat(257)}]}), "tags[0].value: has 257 characters"),
        (json!({"tags": tags(&[("k", "1"), ("k", "2")])}), "tags[1].key"),
        (json!({"tags": [], "clientToken": "t"}), "clientToken: is not a field here"),
    ] {
        let path = format!("/tag?resourceArn={}", escaped(&format!("{ARNS}{A}")));
        let message = api.refuses(api.put(&path, &body), 400, "BadRequestException").await;
        assert!(message.contains(part), "{message}");
    }
    let path = format!("/untag?resourceArn={}", escaped(&format!("{ARNS}{A}")));
    let keys: Vec<String> = (0..51).map(|number| number.to_string()).collect();
    for (body, part) in [
        (json!({}), "tagKeys: is required"),
        (json!({"tagKeys": "k"}), "tagKeys"),
        (json!({"tagKeys": [""]}), "tagKeys[0]"),
        (json!({"tagKeys": keys}), "tagKeys: has 51 items"),
        (json!({"tags": []}), "tags: is not a field here"),
    ] {
        let message = api.refuses(api.put(&path, &body), 400, "BadRequestException").await;
        assert!(message.contains(part), "{message}");
    }
}

#[tokio::test]
async fn arns_are_read_strictly() {
    let api = Api::with_mesh().await;
    let list = |arn: &str| {
        let (path, api) = (format!("/tags?resourceArn={}", escaped(arn)), api.clone());
        async move { api.get(&path).await }
    };
    let message = api.get("/tags").await.refused(400, "BadRequestException");
    assert!(message.contains("resourceArn: is required"), "{message}");
    for arn in [
        "",
        "x",
        "mesh/m",
        "arn:aws:appmesh:us-east-1:000000000000",
        "arn:aws:appmesh:us-east-1:000000000000:m",
        "arn:aws:appmesh:us-east-1:000000000000:mesh/",
        "arn:aws:appmesh:us-east-1:000000000000:mesh/m/virtualNodes/a",
        "arn:aws:appmesh:us-east-1:000000000000:mesh/m/virtualNode/",
        "arn:aws:appmesh:us-east-1:000000000000:mesh/m/route/a",
        "arn:aws:ec2:us-east-1:000000000000:mesh/m",
        "urn:aws:appmesh:us-east-1:000000000000:mesh/m",
    ] {
        let message = list(arn).await.refused(400, "BadRequestException");
        assert!(message.contains("resourceArn"), "{arn}: {message}");
    }
    for (arn, part) in [
        ("arn:aws:appmesh:us-east-1:111111111111:mesh/m", "000000000000:mesh/m"),
        ("arn:aws:appmesh:eu-west-1:000000000000:mesh/m", "us-east-1"),
        ("arn:aws-cn:appmesh:us-east-1:000000000000:mesh/m", "arn:aws:"),
        ("arn:aws:appmesh:us-east-1:000000000000:mesh/n", "mesh \"n\" does not exist"),
        ("arn:aws:appmesh:us-east-1:000000000000:mesh/n/virtualNode/a", "mesh \"n\" does not exist"),
        ("arn:aws:appmesh:us-east-1:000000000000:mesh/m/virtualNode/A", "virtual node \"A\""),
        ("arn:aws:appmesh:us-east-1:000000000000:mesh/m/virtualRouter/x/route/y", "virtual router \"x\""),
    ] {
        let message = list(arn).await.refused(404, "NotFoundException");
        assert!(message.contains(part), "{arn}: {message}");
        let path = format!("/tag?resourceArn={}", escaped(arn));
        let body = json!({"tags": tags(&[("k", "v")])});
        api.refuses(api.put(&path, &body), 404, "NotFoundException").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_change_of_tags_and_no_update_is_lost() {
    const WRITERS: usize = 40;
    let api = Api::with_mesh().await;
    api.tag(A, &[("gone", "")]).await.ok();
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let api = api.clone();
        writers.spawn(async move {
            let spec = json!({"listeners": [{"portMapping": {"port": writer + 1, "protocol": "http"}}]});
            api.put("/meshes/m/virtualNodes/a", &json!({"spec": spec})).await.ok();
            api.tag(A, &[(&format!("k{writer}"), "v")]).await.ok();
            if writer == 0 {
                api.untag(A, &["gone"]).await.ok();
            }
        });
    }
    writers.join_all().await;
    let listed = api.tags_of(A).await.ok();
    let listed: BTreeSet<&str> =
        listed["tags"].as_array().unwrap().iter().map(|tag| tag["key"].as_str().unwrap()).collect();
    let expected: Vec<String> = (0..WRITERS).map(|writer| format!("k{writer}")).collect();
    assert_eq!(listed, expected.iter().map(String::as_str).collect());
    let version = api.get("/meshes/m/virtualNodes/a").await.ok()["metadata"]["version"].clone();
    assert_eq!(version, WRITERS + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_does_not_exist_is_never_tagged() {
    let api = Api::with_mesh().await;
    for _ in 0..25 {
        let (tagging, deleting) = (api.clone(), api.clone());
        let tagged = tokio::spawn(async move { tagging.tag(A, &[("k", "v")]).await });
        let deleted = tokio::spawn(async move { deleting.delete("/meshes/m/virtualNodes/a").await });
        let (tagged, deleted) = (tagged.await.unwrap(), deleted.await.unwrap());
        deleted.ok();
        if !tagged.is_ok() {
            tagged.refused(404, "NotFoundException");
        }
        assert!(!api.records().await.iter().any(|record| record.key.contains("/tags/")));
        api.put("/meshes/m/virtualNodes", &json!({"virtualNodeName": "a", "spec": {}})).await.ok();
    }
}

/// Fragments carry the transactions of what they are made of, so they would differ if tags were part of definitions.
#[tokio::test]
async fn a_change_of_tags_changes_no_fragment() {
    let api = Api::with_mesh().await;
    let mut node = router_spec();
    node["serviceDiscovery"] = json!({"dns": {"hostname": "n.local"}});
    for name in ["a", "b"] {
        api.put(&format!("/meshes/m/virtualNodes/{name}"), &json!({"spec": node})).await.ok();
    }
    let body = json!({"routeName": "x", "spec": route_spec(&["a", "b"])});
    api.put("/meshes/m/virtualRouter/r/routes", &body).await.ok();
    let provider = json!({"provider": {"virtualRouter": {"virtualRouterName": "r"}}});
    api.put("/meshes/m/virtualServices", &json!({"virtualServiceName": "s", "spec": provider})).await.ok();
    let derived = async || api.store.list("derived/", At::Newest).await.unwrap().records;

    let (passes, mut done) = Passes::new(api.store.clone(), Workers::start(1).unwrap());
    let running = tokio::spawn(passes.run());
    let reached = api.transaction().await;
    done.wait_for(|done| *done >= reached).await.unwrap();
    let before = derived().await;
    assert_eq!(before.len(), 5, "fragments of two nodes, a gateway and a service, and the mark of the mesh");

    let (_, mut watch) = api.store.list_and_watch("derived/").await.unwrap();
    for resource in ["mesh/m", A, "mesh/m/virtualRouter/r", "mesh/m/virtualRouter/r/route/x"] {
        api.tag(resource, &[("k", "v")]).await.ok();
    }
    api.untag(A, &["k"]).await.ok();
    let reached = api.transaction().await;
    done.wait_for(|done| *done >= reached).await.unwrap();
    assert_eq!(derived().await, before);
    running.abort();

    // neither does a pass over everything, as after a restart, make anything else
    let (passes, mut done) = Passes::new(api.store.clone(), Workers::start(1).unwrap());
    let running = tokio::spawn(passes.run());
    done.wait_for(|done| *done >= reached).await.unwrap();
    assert_eq!(derived().await, before);
    let quiet = tokio::time::timeout(std::time::Duration::from_millis(50), watch.next()).await;
    assert!(quiet.is_err(), "no fragment is written: {quiet:?}");
    running.abort();
}
