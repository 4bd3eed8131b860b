//! Whom the API lets in, and what that leaves behind.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Method, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_stream::StreamExt;
use tower::ServiceExt;

use super::{Answer, Api};
use crate::frontend::authentication::Authenticator;
use crate::frontend::authentication::tests::{SignedRequest, Signing, authenticator};
use crate::frontend::{Frontend, FrontendSettings, Rates, router};
use crate::store::Store;

/// The API for those who have a key.
fn guarded() -> Api {
    guarded_with(FrontendSettings::default())
}

fn guarded_with(settings: FrontendSettings) -> Api {
    let api = Api::new();
    let frontend = Frontend::new(api.store.clone(), settings);
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
async fn a_page_in_a_browser_changes_nothing_where_nobody_signs() {
    let set = r#"{"apply": [{"meshName": "m", "spec": {}}]}"#;
    let post = |headers: &[(&str, &str)]| {
        let request = Request::post("/legation/v1/transactions");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.body(Body::from(set)).unwrap()
    };
    let api = Api::new();
    let page = [("origin", "https://example.com"), ("content-type", "text/plain")];
    let answer = Answer::read(api.router.clone().oneshot(post(&page)).await.unwrap()).await;
    let message = answer.refused(403, "AccessDeniedException");
    assert!(message.contains("browsers"), "{message}");
    assert_eq!(api.transaction().await, 0);
    // a name that leads to this machine is known to be of another only where the API has an address of its own
    let local = Frontend::new(api.store.clone(), FrontendSettings::default())
        .with_authenticator(Authenticator::anonymous_and_local());
    let local = Api { router: router(local), ..api.clone() };
    let rebound = [("host", "example.com:8080")];
    let answer = Answer::read(local.router.clone().oneshot(post(&rebound)).await.unwrap()).await;
    answer.refused(403, "AccessDeniedException");
    assert_eq!(api.transaction().await, 0);
    Answer::read(local.router.clone().oneshot(post(&[("host", "localhost:8080")])).await.unwrap()).await.ok();
    Answer::read(api.router.clone().oneshot(post(&rebound)).await.unwrap()).await.ok();
    // who signs is no page
    let guarded = guarded();
    let create = signing(Method::PUT, "/meshes", r#"{"meshName": "m", "spec": {}}"#);
    let headers = vec![("origin".to_owned(), "https://example.com".to_owned())];
    assert_eq!(call(&guarded, Signing { headers, ..create }.sign()).await, (200, None));
}

#[tokio::test]
async fn who_is_refused_too_often_is_not_told_why_and_keeps_nobody_out() {
    let rates = Rates { refusals: NonZeroU32::MIN, ..Rates::default() };
    let api = guarded_with(FrontendSettings { rates, ..FrontendSettings::default() });
    let from = |address: &str, signing: Signing| {
        let mut request = signing.sign();
        let peer: SocketAddr = format!("{address}:4711").parse().unwrap();
        request.head.extensions.insert(ConnectInfo(peer));
        call(&api, request)
    };
    let right = || signing(Method::GET, "/meshes", "");
    let unknown = || Signing { id: "AKIDNONE", ..right() };
    let wrong = || Signing { secret: "not-that-of-alice", ..right() };
    let throttled = (429, Some("TooManyRequestsException".to_owned()));
    let told = |code: &str| (403, Some(code.to_owned()));
    assert_eq!(from("192.0.2.1", unknown()).await, told("UnrecognizedClientException"));
    // a second may pass between any two calls, on a machine that is slow enough
    let (mut of_unknown, mut of_wrong) = (Vec::new(), Vec::new());
    for _ in 0..100 {
        of_unknown.push(from("192.0.2.1", unknown()).await);
        of_wrong.push(from("192.0.2.1", wrong()).await);
        assert_eq!(from("192.0.2.1", right()).await, (200, None));
    }
    assert!(of_unknown.contains(&throttled), "unknown keys are not throttled");
    assert!(of_wrong.contains(&throttled), "wrong signatures are not throttled");
    assert_eq!(from("192.0.2.2", wrong()).await, told("InvalidSignatureException"));
}

#[tokio::test]
async fn bodies_have_bounded_room_together() {
    const BODY: usize = 4096;
    let api = Api::with_body_bytes_max(BODY);
    let small = || async { api.put("/meshes", &json!({"meshName": "m"})).await.status.as_u16() };
    assert_eq!(small().await, 200);
    // eight that are as large as that of a set may be, and of which the last byte does not come
    let unfinished = |_| {
        let part = Ok::<_, std::io::Error>(vec![b'x'; 16 * BODY - 1]);
        let body = Body::from_stream(tokio_stream::once(part).chain(tokio_stream::pending()));
        let api = api.clone();
        tokio::spawn(async move { api.call_anywhere("POST", "/legation/v1/transactions", body).await.status })
    };
    let waiting: Vec<_> = (0..8).map(unfinished).collect();
    let until = |status: u16| async move {
        while small().await != status {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let limit = Duration::from_secs(20);
    timeout(limit, until(503)).await.expect("there is room for everything");
    // what has no body needs no room
    api.get("/meshes").await.ok();
    for request in &waiting {
        assert!(!request.is_finished());
        request.abort();
    }
    timeout(limit, until(409)).await.expect("the room is not given back");
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
