//! Whom the API lets in, and what that leaves behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use axum::body::Body;
use axum::http::{Method, Request};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

use super::Api;
use crate::frontend::authentication::tests::{SignedRequest, Signing, authenticator};
use crate::frontend::{Frontend, FrontendSettings, router};
use crate::store::Store;

/// The API for those who have a key.
fn guarded() -> Api {
    let api = Api::new();
    let frontend = Frontend::new(api.store.clone(), FrontendSettings::default());
    Api { router: router(frontend.with_authenticator(authenticator())), ..api }
}

/// The status and the type of the answer.
async fn call(api: &Api, request: SignedRequest) -> (u16, Option<String>) {
    let request = Request::from_parts(request.head, Body::from(request.body));
    let response = api.router.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap();
    (status, body["code"].as_str().map(str::to_owned))
}

fn signing(method: Method, path: &str, body: &str) -> Signing {
    Signing {
        method,
        uri: format!("/v20190125{path}"),
        body: body.as_bytes().to_vec(),
        time: SystemTime::now(),
        ..Signing::default()
    }
}

#[tokio::test]
async fn the_journal_names_who_signed() {
    let api = guarded();
    let create = signing(Method::PUT, "/meshes", r#"{"meshName": "m", "spec": {}}"#);
    assert_eq!(call(&api, create.sign()).await, (200, None));
    let journal = api.store.journal(0, 10).await.unwrap();
    assert_eq!(journal.iter().map(|entry| entry.author.as_str()).collect::<Vec<_>>(), ["alice"]);
}

#[tokio::test]
async fn who_is_not_let_in_changes_nothing_and_learns_nothing() {
    let api = guarded();
    let before = api.transaction().await;
    let invalid = || (403, Some("InvalidSignatureException".to_owned()));
    for (method, path, body) in [
        (Method::PUT, "/meshes", r#"{"meshName": "m", "spec": {}}"#),
        // of none of these is anything told that is found in the path, in the query or in the body
        (Method::PUT, "/meshes", "{"),
        (Method::PUT, "/meshes/m%FF", "{}"),
        (Method::GET, "/meshes?limit=x", ""),
        (Method::GET, "/meshes/m?meshOwner=111122223333", ""),
        (Method::DELETE, "/meshes/none", ""),
    ] {
        let signing = Signing { secret: "not-that-of-alice", ..signing(method, path, body) };
        assert_eq!(call(&api, signing.sign()).await, invalid(), "{path}");
        let mut unsigned = signing.sign();
        unsigned.head.headers.remove("authorization");
        let missing = (403, Some("MissingAuthenticationTokenException".to_owned()));
        assert_eq!(call(&api, unsigned).await, missing, "{path}");
    }
    assert_eq!(api.transaction().await, before);
    assert_eq!(api.store.journal(0, 10).await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_body_of_somebody_unknown_is_not_kept() {
    let api = guarded();
    let read = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&read);
    let parts = (0..100).map(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        Ok::<_, std::io::Error>(vec![b'x'; 1 << 20])
    });
    let request =
        Request::put("/v20190125/meshes").body(Body::from_stream(tokio_stream::iter(parts))).unwrap();
    assert_eq!(api.router.clone().oneshot(request).await.unwrap().status().as_u16(), 403);
    let read = read.load(Ordering::Relaxed);
    assert!(read <= 3, "{read} MiB were read");
}
