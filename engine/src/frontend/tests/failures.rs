//! What the client is told when it is not to blame, and what is counted.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use legation_proto::v1::JournalEntry;
use legation_proto::version::Transaction;
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{Api, gateway_route_spec, gateway_spec, route_spec, router_spec};
use crate::frontend::{Frontend, FrontendSettings, Operation, router};
use crate::model::Kind;
use crate::store::{
    At, Batch, CommitError, Kept, KeysWatch, LeaseId, Limits, Listing, Precondition, Pruned, Reach, Record,
    Store, StoreError, Watch,
};

/// A store that always says this.
struct Failing {
    read: Result<Option<Record>, StoreError>,
    commit: CommitError,
}

#[async_trait]
impl Store for Failing {
    fn limits(&self) -> Limits {
        Limits::default()
    }

    fn reach(&self) -> Reach {
        unreachable!("no test asks for it")
    }

    async fn newest(&self) -> Result<Transaction, StoreError> {
        unreachable!("no test asks for it")
    }

    async fn list(&self, _: &str, _: At) -> Result<Listing, StoreError> {
        // a record for each kind, of which a list takes those that are its own
        let keys =
            ["m/mesh", "m/virtualNode/x", "m/virtualRouter/x", "m/virtualService/x", "m/virtualGateway/x"];
        let keys = keys.into_iter().chain(["m/route/x/x", "m/gatewayRoute/x/x"]);
        let record =
            |record: &Record, key| Record { key: format!("definitions/{key}").into(), ..record.clone() };
        let read = self.read.as_ref().map_err(Clone::clone)?.as_ref();
        let records = read.map_or_else(Vec::new, |found| keys.map(|key| record(found, key)).collect());
        Ok(Listing { transaction: 1, records })
    }

    async fn get(&self, _: &str) -> Result<Option<Record>, StoreError> {
        self.read.clone()
    }

    async fn get_all(&self, keys: &[Arc<str>]) -> Result<HashMap<Arc<str>, Record>, StoreError> {
        let found = self.read.clone()?;
        Ok(keys.iter().filter_map(|key| Some((Arc::clone(key), found.clone()?))).collect())
    }

    async fn commit(&self, _: Batch) -> Result<Transaction, CommitError> {
        Err(self.commit.clone())
    }

    async fn list_and_watch(&self, _: &str) -> Result<(Listing, Watch), StoreError> {
        unreachable!("no test watches")
    }

    async fn watch(&self, _: &str, _: Transaction) -> Result<Watch, StoreError> {
        unreachable!("no test watches")
    }

    fn watch_keys(&self) -> KeysWatch {
        unreachable!("no test watches")
    }

    async fn segments(&self, _: &str) -> Result<Vec<String>, StoreError> {
        unreachable!("no test asks for segments")
    }

    async fn journal(&self, _: Transaction, _: usize) -> Result<Vec<JournalEntry>, StoreError> {
        unreachable!("no test reads the journal")
    }

    async fn journal_before(&self, _: Transaction, _: usize) -> Result<Vec<JournalEntry>, StoreError> {
        unreachable!("no test reads the journal")
    }

    async fn journal_of(&self, _: &str, _: Transaction, _: usize) -> Result<Vec<JournalEntry>, StoreError> {
        unreachable!("no test reads the journal")
    }

    async fn oldest(&self) -> Result<Transaction, StoreError> {
        unreachable!("no test reads the journal")
    }

    async fn prune(&self, _: Kept) -> Result<Pruned, StoreError> {
        unreachable!("no test prunes")
    }

    async fn committed_at_ms(&self, _: Transaction) -> Result<Option<i64>, StoreError> {
        unreachable!("no test asks for the time of a commit")
    }

    async fn grant_lease(&self, _: Duration) -> Result<LeaseId, StoreError> {
        unreachable!("no test has a lease")
    }

    async fn keep_alive(&self, _: LeaseId) -> Result<(), StoreError> {
        unreachable!("no test has a lease")
    }

    async fn revoke(&self, _: LeaseId) -> Result<(), StoreError> {
        unreachable!("no test has a lease")
    }
}

/// Status and body of the answer to the creation of a mesh.
async fn create_mesh(store: Failing) -> (u16, Value) {
    let router = router(Frontend::new(Arc::new(store), FrontendSettings::default()));
    let body = json!({"meshName": "m"}).to_string();
    let request = Request::put("/v20190125/meshes").body(Body::from(body)).unwrap();
    let response = router.oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

fn on_fire() -> StoreError {
    StoreError::Storage(Arc::new(std::io::Error::other("secret disk on fire")))
}

fn conflict() -> CommitError {
    let key = "definitions/m/mesh".into();
    CommitError::Conflict { precondition: Precondition::Absent { key } }
}

#[tokio::test]
async fn the_client_is_not_told_what_is_wrong_with_the_store() {
    let damaged = StoreError::Damaged { detail: "secret".to_owned() };
    let record = Record { key: "definitions/m/mesh".into(), value: "secret".into(), transaction: 1 };
    let unavailable = (503, "ServiceUnavailableException");
    let internal = (500, "InternalServerErrorException");
    for (read, commit, expected) in [
        (Err(on_fire()), conflict(), unavailable),
        (Ok(None), CommitError::Store(on_fire()), unavailable),
        (Ok(None), CommitError::Store(StoreError::Closed), unavailable),
        (Ok(None), conflict(), unavailable),
        (Err(damaged.clone()), conflict(), internal),
        (Ok(None), CommitError::Store(damaged), internal),
    ] {
        let (status, body) = create_mesh(Failing { read, commit }).await;
        assert_eq!((status, body["code"].as_str().unwrap()), expected);
        assert!(!body.to_string().contains("secret"), "{body}");
    }
    let store = Failing { read: Ok(Some(record)), commit: conflict() };
    let router = router(Frontend::new(Arc::new(store), FrontendSettings::default()));
    let request = Request::get("/v20190125/meshes/m").body(Body::empty()).unwrap();
    assert_eq!(router.oneshot(request).await.unwrap().status(), 500);
}

/// Method, path and body of every operation; what exists or should be created is called `x`, in a mesh `m`.
fn every_operation() -> Vec<(Operation, &'static str, String, Value)> {
    let in_mesh = |collection| format!("/meshes/m/{collection}");
    let arn = "arn%3Aaws%3Aappmesh%3Aus-east-1%3A000000000000%3Amesh%2Fm";
    let collections = [
        ("/meshes".to_owned(), json!({}), "m"),
        (in_mesh("virtualNodes"), json!({}), "x"),
        (in_mesh("virtualRouters"), router_spec(), "x"),
        (in_mesh("virtualRouter/x/routes"), route_spec(&["x"]), "x"),
        (in_mesh("virtualServices"), json!({}), "x"),
        (in_mesh("virtualGateways"), gateway_spec(), "x"),
        (in_mesh("virtualGateway/x/gatewayRoutes"), gateway_route_spec("x"), "x"),
    ];
    let mut all = vec![
        (
            Operation::TagResource,
            "PUT",
            format!("/tag?resourceArn={arn}"),
            json!({"tags": [{"key": "k", "value": ""}]}),
        ),
        (Operation::UntagResource, "PUT", format!("/untag?resourceArn={arn}"), json!({"tagKeys": ["k"]})),
        (Operation::ListTagsForResource, "GET", format!("/tags?resourceArn={arn}"), Value::Null),
    ];
    for (kind, (collection, spec, name)) in Kind::ALL.into_iter().zip(collections) {
        let item = format!("{collection}/{name}");
        let create = json!({kind.name_key(): name, "spec": spec});
        all.extend([
            (Operation::Create(kind), "PUT", collection.clone(), create),
            (Operation::List(kind), "GET", collection, Value::Null),
            (Operation::Update(kind), "PUT", item.clone(), json!({"spec": spec})),
            (Operation::Describe(kind), "GET", item.clone(), Value::Null),
            (Operation::Delete(kind), "DELETE", item, Value::Null),
        ]);
    }
    all
}

/// Status and code of the answer to each operation over a store that reads this.
async fn answers(read: Result<Option<Record>, StoreError>) -> Vec<(Operation, u16, String)> {
    let store = Failing { read, commit: conflict() };
    let router = router(Frontend::new(Arc::new(store), FrontendSettings::default()));
    let mut answers = Vec::new();
    for (operation, method, path, body) in every_operation() {
        let request = Request::builder().method(method).uri(format!("/v20190125{path}"));
        let request = request.body(Body::from(body.to_string())).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let code = response.headers().get("x-amzn-errortype");
        let code = code.map_or("OK".to_owned(), |code| code.to_str().unwrap().to_owned());
        answers.push((operation, response.status().as_u16(), code));
    }
    answers
}

#[tokio::test]
async fn every_operation_tells_that_the_store_fails() {
    let operations: Vec<Operation> = every_operation().iter().map(|(operation, ..)| *operation).collect();
    assert_eq!(operations.len(), Operation::all().count());
    assert!(Operation::all().all(|operation| operations.contains(&operation)));
    for (operation, status, code) in answers(Err(on_fire())).await {
        assert_eq!((status, code.as_str()), (503, "ServiceUnavailableException"), "{operation}");
    }
    let damaged = StoreError::Damaged { detail: "secret".to_owned() };
    for (operation, status, code) in answers(Err(damaged)).await {
        assert_eq!((status, code.as_str()), (500, "InternalServerErrorException"), "{operation}");
    }
}

#[tokio::test]
async fn who_reads_a_damaged_definition_is_told() {
    let record = Record { key: "definitions/m/mesh".into(), value: "secret".into(), transaction: 1 };
    for (operation, status, code) in answers(Ok(Some(record))).await {
        let expected = match operation {
            // it is there, whatever it is
            Operation::Create(_) => (409, "ConflictException"),
            _ => (500, "InternalServerErrorException"),
        };
        assert_eq!((status, code.as_str()), expected, "{operation}");
    }
}

#[tokio::test]
async fn requests_are_counted_by_operation_and_code() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let api = Api::with_mesh().await;
    api.put("/meshes", &json!({"meshName": "m"})).await;
    api.put("/meshes/m/virtualNodes/a", &json!({"spec": {"x": 1}})).await;
    api.get("/meshes/m/virtualRouter/r/routes").await;
    api.delete("/meshes/m/virtualGateways/g").await;
    api.get("/elsewhere/m").await;
    let rendered = recorder.handle().render();
    let mut counters: Vec<&str> =
        rendered.lines().filter(|line| line.starts_with("legation_api_requests_total")).collect();
    counters.sort_unstable();
    assert_eq!(
        counters,
        [
            r#"legation_api_requests_total{operation="CreateMesh",code="ConflictException"} 1"#,
            r#"legation_api_requests_total{operation="CreateMesh",code="OK"} 1"#,
            r#"legation_api_requests_total{operation="CreateVirtualGateway",code="OK"} 1"#,
            r#"legation_api_requests_total{operation="CreateVirtualNode",code="OK"} 2"#,
            r#"legation_api_requests_total{operation="CreateVirtualRouter",code="OK"} 1"#,
            r#"legation_api_requests_total{operation="DeleteVirtualGateway",code="OK"} 1"#,
            r#"legation_api_requests_total{operation="ListRoutes",code="OK"} 1"#,
            r#"legation_api_requests_total{operation="Unknown",code="UnknownOperationException"} 1"#,
            r#"legation_api_requests_total{operation="UpdateVirtualNode",code="BadRequestException"} 1"#,
        ]
    );
    assert!(
        rendered.contains(r#"legation_api_request_seconds_count{operation="ListRoutes"} 1"#),
        "{rendered}"
    );
}
