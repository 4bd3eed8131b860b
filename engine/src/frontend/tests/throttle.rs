//! How often a caller may ask.

use std::num::NonZeroU32;

use axum::body::Body;
use axum::http::Request;
use serde_json::json;
use tower::ServiceExt;

use super::{Api, TempDir};
use crate::frontend::{FrontendSettings, Rates};

const THROTTLED: (u16, &str) = (429, "TooManyRequestsException");

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_ask_again() {
    let rates = Rates { reads: NonZeroU32::new(1), writes: NonZeroU32::new(1), ..Rates::default() };
    let api = Api::with_settings(FrontendSettings { rates, ..FrontendSettings::default() });
    let mut refusals = 0;
    // a second may pass between any two calls, on a machine that is slow enough
    for _ in 0..100 {
        let request = Request::get("/v20190125/meshes").body(Body::empty()).unwrap();
        let response = api.router.clone().oneshot(request).await.unwrap();
        if response.status() == THROTTLED.0 {
            let header = |name| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
            assert_eq!(header("retry-after").as_deref(), Some("1"));
            assert_eq!(header("x-amzn-errortype").as_deref(), Some(THROTTLED.1));
            refusals += 1;
        }
    }
    assert!(refusals > 0);
    // writes have a bucket of their own
    api.put("/meshes", &json!({"meshName": "m"})).await.ok();
}

#[tokio::test]
async fn what_is_throttled_changes_nothing() {
    let rates = Rates { reads: None, writes: NonZeroU32::new(1), ..Rates::default() };
    let api = Api::with_settings(FrontendSettings { rates, ..FrontendSettings::default() });
    let mut created = 0;
    for number in 0..100 {
        let answer = api.put("/meshes", &json!({"meshName": number.to_string()})).await;
        if answer.is_ok() {
            created += 1;
        } else {
            let message = answer.refused(THROTTLED.0, THROTTLED.1);
            assert!(message.contains("too many requests"), "{message}");
        }
    }
    assert!(created < 100);
    let listed = api.get("/meshes").await.ok();
    assert_eq!(listed["meshes"].as_array().unwrap().len(), created);
    assert_eq!(api.transaction().await, u64::try_from(created).unwrap());
}

#[tokio::test]
async fn there_may_be_no_limit() {
    let rates = Rates { reads: None, writes: None, ..Rates::default() };
    let dir = TempDir::new().unwrap();
    let api = Api::in_dir(dir.into(), FrontendSettings { rates, ..FrontendSettings::default() });
    for _ in 0..1000 {
        api.get("/meshes").await.ok();
    }
}
