//! What is done with the first line of a request: from its method, path and query to an operation and the names of a resource.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use http::{Request, StatusCode};
use legation::frontend::{Frontend, FrontendSettings, Rates, path, router};
use legation::model::{Definition, Kind, Metadata, ResourceId, Spec};
use legation::store::{
    At, Batch, CommitError, Kept, KeysWatch, LeaseId, Limits, Listing, Pruned, Reach, Record, Store,
    StoreError, Watch,
};
use legation_proto::v1::JournalEntry;
use legation_proto::version::Transaction;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tower::ServiceExt;

/// Of which segment of a path the name of the mesh is one.
const MESH_SEGMENT: usize = 3;

/// The API itself, over a store in which everything exists.
static API: LazyLock<Router> = LazyLock::new(|| {
    let rates = Rates { reads: None, writes: None, ..Rates::default() };
    router(Frontend::new(Arc::new(Everything), FrontendSettings { rates, ..FrontendSettings::default() }))
});

/// Takes the bytes for a request: a line for the method, one for the target, and then the body. It is answered, and what is told
/// of a resource is told of the one that its path names, by every path that names it.
pub(crate) fn check(bytes: &[u8]) {
    let mut lines = bytes.splitn(3, |byte| *byte == b'\n');
    let (Some(method), Some(target)) = (lines.next(), lines.next()) else { return };
    let body = lines.next().unwrap_or_default().to_vec();
    let Ok(request) = Request::builder().method(method).uri(target).body(Body::from(body)) else { return };
    let path = request.uri().path().to_owned();
    let (status, answer) = answer(request);
    assert!(!status.is_server_error(), "{status}: {answer}");
    if status == StatusCode::OK
        && let Some(arn) = answer["metadata"]["arn"].as_str()
    {
        check_resource(&path, arn, &answer);
    }
}

/// The resource with this ARN is what `path` names: nothing is created where everything exists.
fn check_resource(path: &str, arn: &str, told: &Value) {
    let id = ResourceId::from_arn(arn).expect("an answer has the ARN of a resource");
    let segments: Vec<_> = path.split('/').map(|segment| percent_decode_str(segment).decode_utf8()).collect();
    assert_eq!(segments[MESH_SEGMENT].as_deref(), Ok(id.mesh_name()));
    assert_eq!(segments[segments.len() - 1].as_deref(), Ok(id.name()));
    if let Some(parent) = id.parent_name() {
        assert_eq!(segments[segments.len() - 3].as_deref(), Ok(parent));
    }
    assert_eq!(told[id.kind().name_key()], id.name());
    let request = Request::get(path::item(&id)).body(Body::empty()).expect("the path of a resource is one");
    let (status, described) = answer(request);
    assert_eq!(status, StatusCode::OK, "{described}");
    assert_eq!(described["metadata"]["arn"], arn);
}

fn answer(request: Request<Body>) -> (StatusCode, Value) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let has_body = request.method() != "HEAD" && request.method() != "CONNECT";
        let Ok(response) = API.clone().oneshot(request).await;
        let status = response.status();
        let is_error_told = response.headers().contains_key("x-amzn-errortype");
        assert_eq!(is_error_told, !status.is_success(), "{status}");
        let body = to_bytes(response.into_body(), usize::MAX).await.expect("the answer is whole");
        let body =
            if has_body { serde_json::from_slice(&body).expect("the answer is JSON") } else { Value::Null };
        (status, body)
    })
}

/// A store in which everything exists, and nothing in anything; it forgets what is committed.
struct Everything;

#[async_trait]
impl Store for Everything {
    fn limits(&self) -> Limits {
        Limits::default()
    }

    fn reach(&self) -> Reach {
        Reach::default()
    }

    async fn newest(&self) -> Result<Transaction, StoreError> {
        Ok(1)
    }

    async fn list(&self, _: &str, _: At) -> Result<Listing, StoreError> {
        Ok(Listing { transaction: 1, records: Vec::new() })
    }

    async fn get(&self, key: &str) -> Result<Option<Record>, StoreError> {
        let Some(id) = ResourceId::from_key(key) else { return Ok(None) };
        let spec = match id.kind() {
            Kind::Route => {
                let targets = json!({"weightedTargets": [{"virtualNode": "n", "weight": 1}]});
                json!({"tcpRoute": {"action": targets}})
            }
            Kind::GatewayRoute => {
                let target = json!({"virtualService": {"virtualServiceName": "s"}});
                json!({"httpRoute": {"match": {"prefix": "/"}, "action": {"target": target}}})
            }
            Kind::VirtualGateway => json!({"listeners": [{"portMapping": {"port": 80, "protocol": "http"}}]}),
            _ => json!({}),
        };
        let spec = Spec::parse(id.kind(), &spec).expect("the specification is valid");
        let metadata = Metadata::created("uid".to_owned(), "000000000000", 0);
        let value = Definition { id, spec, metadata }.encode().into();
        Ok(Some(Record { key: key.into(), value, transaction: 1 }))
    }

    async fn get_all(&self, keys: &[Arc<str>]) -> Result<HashMap<Arc<str>, Record>, StoreError> {
        let mut records = HashMap::new();
        for key in keys {
            if let Some(record) = self.get(key).await? {
                records.insert(Arc::clone(key), record);
            }
        }
        Ok(records)
    }

    async fn commit(&self, _: Batch) -> Result<Transaction, CommitError> {
        Ok(2)
    }

    async fn list_and_watch(&self, _: &str) -> Result<(Listing, Watch), StoreError> {
        Err(StoreError::Closed)
    }

    async fn watch(&self, _: &str, _: Transaction) -> Result<Watch, StoreError> {
        Err(StoreError::Closed)
    }

    fn watch_keys(&self) -> KeysWatch {
        unreachable!("nobody watches")
    }

    async fn segments(&self, _: &str) -> Result<Vec<String>, StoreError> {
        Err(StoreError::Closed)
    }

    async fn journal(&self, _: Transaction, _: usize) -> Result<Vec<JournalEntry>, StoreError> {
        Ok(Vec::new())
    }

    async fn journal_before(&self, _: Transaction, _: usize) -> Result<Vec<JournalEntry>, StoreError> {
        Ok(Vec::new())
    }

    async fn journal_of(&self, _: &str, _: Transaction, _: usize) -> Result<Vec<JournalEntry>, StoreError> {
        Ok(Vec::new())
    }

    async fn oldest(&self) -> Result<Transaction, StoreError> {
        Ok(0)
    }

    async fn prune(&self, _: Kept) -> Result<Pruned, StoreError> {
        Err(StoreError::Closed)
    }

    async fn committed_at_ms(&self, _: Transaction) -> Result<Option<i64>, StoreError> {
        Ok(None)
    }

    async fn grant_lease(&self, _: Duration) -> Result<LeaseId, StoreError> {
        Err(StoreError::Closed)
    }

    async fn keep_alive(&self, _: LeaseId) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }

    async fn revoke(&self, _: LeaseId) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }
}
