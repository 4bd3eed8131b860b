//! Asks other hosts, without a thread for each: a bounded number at once, each for a bounded time.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::client::Timeouts;
use crate::membership::Member;

/// How long a host may take: those who ask for all wait for the slowest.
const TIMEOUTS: Timeouts = Timeouts { connect: Duration::from_secs(2), answer: Duration::from_secs(4) };

/// Questions of this process that are under way at the same time, each on a connection of its own; others wait.
const AT_ONCE: usize = 256;

/// Longest answer that is taken, in bytes: room for the status of many thousand Envoys.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Longest part of an error's body that is told, in characters.
const EXCERPT_CHARS: usize = 300;

/// A host has no answer.
#[derive(Debug, Error)]
pub enum PeerError {
    /// It was not reached.
    #[error("cannot reach {url}: {error}")]
    Unreachable {
        /// What was asked.
        url: String,
        /// Why.
        error: io::Error,
    },
    /// It took too long.
    #[error("{url} did not answer within {} s", .within.as_secs())]
    Silent {
        /// What was asked.
        url: String,
        /// How long it had.
        within: Duration,
    },
    /// The connection broke, or what came on it is no answer that can be taken.
    #[error("{url} did not answer: {reason}")]
    Broken {
        /// What was asked.
        url: String,
        /// How.
        reason: String,
    },
    /// It refused.
    #[error("{url} answered {status}: {excerpt}")]
    Refused {
        /// What was asked.
        url: String,
        /// The status of the answer.
        status: StatusCode,
        /// The beginning of the answer.
        excerpt: String,
    },
    /// It is another.
    #[error("another host answers at its address; does it take --advertise-addr?")]
    Another,
}

/// Those who are asked. Clones share how many may be asked at once.
#[derive(Clone, Debug)]
pub struct Peers(Arc<Semaphore>);

impl Default for Peers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Peers {
    /// Asks a host for a JSON document that may take it `patience` to answer.
    pub async fn ask(&self, member: &Member, path: &str, patience: Duration) -> Result<Value, PeerError> {
        let _turn = self.0.acquire().await; // it is never closed
        let url = format!("http://{}{path}", member.admin);
        let stream = match timeout(TIMEOUTS.connect, TcpStream::connect(member.admin)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(PeerError::Unreachable { url, error }),
            Err(_) => return Err(PeerError::Silent { url, within: TIMEOUTS.connect }),
        };
        let within = TIMEOUTS.with(patience).answer;
        let (status, body) = match timeout(within, exchange(stream, member, path)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(PeerError::Broken { url, reason: error.to_string() }),
            Err(_) => return Err(PeerError::Silent { url, within }),
        };
        if status != StatusCode::OK {
            let excerpt = String::from_utf8_lossy(&body).trim().chars().take(EXCERPT_CHARS).collect();
            return Err(PeerError::Refused { url, status, excerpt });
        }
        let answer = serde_json::from_slice(&body)
            .map_err(|error| PeerError::Broken { url, reason: error.to_string() })?;
        if is_of(&answer, member) { Ok(answer) } else { Err(PeerError::Another) }
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// One request on a connection, which ends with it.
async fn exchange(
    stream: TcpStream,
    member: &Member,
    path: &str,
) -> Result<(StatusCode, bytes::Bytes), Failure> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path)
        .header(header::HOST, member.admin.to_string())
        .header(header::CONNECTION, "close")
        .body(Body::empty())?;
    let asking = async move {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await?;
        Ok((status, body.to_bytes()))
    };
    // the connection ends after the answer, or with it
    let (answer, _) = tokio::join!(asking, connection);
    answer
}

/// Whether it was this host that answered: it may have gone, and another may have come to its address.
fn is_of(answer: &Value, member: &Member) -> bool {
    let host = if answer["host"].is_object() { &answer["host"]["host"] } else { &answer["host"] };
    host.as_str() == Some(member.id.as_str())
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Router;
    use axum::routing::get;
    use futures_util::future::join_all;
    use serde_json::json;
    use tokio::net::TcpListener;
    use tokio::time::sleep;

    use super::*;

    /// A host of that name, with these pages.
    async fn host(name: &str, pages: Router) -> Member {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let admin = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, pages).await.unwrap() });
        Member { admin, ..Member::named(name, &[]) }
    }

    async fn answer(body: Vec<u8>) -> Result<Value, PeerError> {
        let member = host("a", Router::new().route("/host", get(async || body))).await;
        Peers::default().ask(&member, "/host", Duration::ZERO).await
    }

    #[tokio::test]
    async fn an_answer_is_taken_from_the_host_that_is_meant() {
        for body in [json!({"host": "a"}), json!({"host": {"host": "a"}})] {
            assert_eq!(answer(body.to_string().into()).await.unwrap(), body);
        }
        for body in [json!({"host": "b"}), json!({"host": {"host": "b"}}), json!({}), json!([])] {
            assert!(matches!(answer(body.to_string().into()).await, Err(PeerError::Another)), "{body}");
        }
    }

    #[tokio::test]
    async fn whatever_else_comes_is_an_error_that_says_so() {
        assert!(matches!(answer(b"ok".to_vec()).await, Err(PeerError::Broken { .. })));
        assert!(matches!(answer(vec![b' '; ANSWER_BYTES_MAX + 1]).await, Err(PeerError::Broken { .. })));
        let member = host("a", Router::new()).await;
        let refused = Peers::default().ask(&member, "/host", Duration::ZERO).await;
        assert!(matches!(refused, Err(PeerError::Refused { status: StatusCode::NOT_FOUND, .. })));
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let gone = Member { admin: closed, ..member };
        let unreachable = Peers::default().ask(&gone, "/host", Duration::ZERO).await;
        assert!(matches!(unreachable, Err(PeerError::Unreachable { .. })));
    }

    #[tokio::test]
    async fn a_host_that_is_silent_is_not_waited_for() {
        let never = async || pending::<String>().await;
        let member = host("a", Router::new().route("/host", get(never))).await;
        let silent = Peers::default().ask(&member, "/host", Duration::ZERO).await;
        assert!(matches!(silent, Err(PeerError::Silent { within, .. }) if within == TIMEOUTS.answer));
    }

    #[tokio::test]
    async fn so_many_are_asked_at_once_and_the_others_wait() {
        const BOUND: usize = 4;
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (asked, most_asked) = (Arc::clone(&now), Arc::clone(&most));
        let slow = async move || {
            most_asked.fetch_max(asked.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            sleep(Duration::from_millis(50)).await;
            asked.fetch_sub(1, Ordering::SeqCst);
            json!({"host": "a"}).to_string()
        };
        let member = host("a", Router::new().route("/host", get(slow))).await;
        let peers = Peers(Arc::new(Semaphore::new(BOUND)));
        let questions = (0..20).map(|_| peers.ask(&member, "/host", Duration::ZERO));
        let answers = join_all(questions).await;
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        assert_eq!(most.load(Ordering::SeqCst), BOUND);
    }
}
