//! The interface through which changes are made: that of `benches/peers/README.md`.

use std::future::ready;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, put};
use axum::serve::ListenerExt;
use tokio::net::TcpListener;

use super::fanout::{Changes, Fanout};

/// Serves it for ever.
pub(super) async fn serve(listener: TcpListener, fanout: Arc<Fanout>) {
    let router = Router::new()
        .route("/changes/{number}/variants/{variant}", put(change))
        .route("/healthz", get(|| ready("ok\n")))
        .fallback(|| ready((StatusCode::NOT_FOUND, "there is nothing here but /changes and /healthz\n")))
        .method_not_allowed_fallback(|| ready((StatusCode::METHOD_NOT_ALLOWED, "this is not done to it\n")))
        .with_state(Changes::new(fanout));
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true); // a connection that has ended already
    });
    let _ = axum::serve(listener, router).await; // it never ends
}

async fn change(
    State(changes): State<Changes>,
    Path((number, variant)): Path<(String, String)>,
) -> Result<StatusCode, (StatusCode, String)> {
    let (number, variant) = (position(&number)?, position(&variant)?);
    let chosen = changes
        .fanout
        .choose(number, variant)
        .map_err(|error| (StatusCode::NOT_FOUND, format!("{error}\n")))?;
    changes.make(chosen);
    Ok(StatusCode::NO_CONTENT)
}

fn position(text: &str) -> Result<usize, (StatusCode, String)> {
    text.parse().map_err(|_| (StatusCode::BAD_REQUEST, format!("`{text}` is not the position of anything\n")))
}
