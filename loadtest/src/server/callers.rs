//! Calls at moments that do not depend on one another: made side by side, but those for one service in their order.

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::api::{Api, CALLERS};
use crate::histogram::{self, Histogram};
use crate::mesh::Call;

/// Threads that make calls, until a moment after which none is begun.
#[derive(Debug)]
pub struct Callers {
    queues: Vec<Sender<Due>>,
    callers: Vec<JoinHandle<anyhow::Result<Histogram>>>,
}

/// A call that is made as soon as those before it in its queue have been answered.
#[derive(Debug)]
struct Due {
    call: Call,
    since: Instant,
}

impl Callers {
    /// Callers of an API.
    pub fn new(api: &Api, until: Instant) -> Self {
        let (queues, callers) = (0..CALLERS)
            .map(|_| {
                let (queue, due) = mpsc::channel();
                let api = api.clone();
                (queue, thread::spawn(move || make(&api, &due, until)))
            })
            .unzip();
        Self { queues, callers }
    }

    /// Has a call made that concerns a service, and is due since then.
    pub fn make(&self, service: u32, call: Call, since: Instant) {
        // a caller that is gone has met an error, which is told in the end
        let _ = self.queues[service as usize % self.queues.len()].send(Due { call, since });
    }

    /// Whether one has met an error.
    pub fn have_failed(&self) -> bool {
        self.callers.iter().any(JoinHandle::is_finished)
    }

    /// Waits for the calls that can still be made, and tells how long each took since it was due.
    pub fn finish(self) -> anyhow::Result<Histogram> {
        drop(self.queues);
        let mut took = histogram::new();
        for caller in self.callers {
            match caller.join() {
                Ok(calls) => took.add(calls?)?,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(took)
    }
}

fn make(api: &Api, due: &Receiver<Due>, until: Instant) -> anyhow::Result<Histogram> {
    let mut took = histogram::new();
    for Due { call, since } in due {
        if until.saturating_duration_since(Instant::now()) > Duration::ZERO {
            api.call(&call)?;
            histogram::record(&mut took, since.elapsed());
        }
    }
    Ok(took)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::extract::Path;
    use axum::http::StatusCode;
    use axum::routing::put;
    use serde_json::json;
    use tokio::net::TcpListener;
    use tokio::runtime::Runtime;
    use tokio::sync::Barrier;

    use super::*;

    type Made = Arc<Mutex<HashMap<u32, Vec<u32>>>>;

    /// A server that answers when so many calls have come, and what it was called for.
    fn server(runtime: &Runtime, together: usize, status: StatusCode) -> (Api, Made) {
        let made = Made::default();
        let (barrier, of_server) = (Arc::new(Barrier::new(together)), Arc::clone(&made));
        let answer = async move |Path((service, number)): Path<(u32, u32)>| {
            of_server.lock().unwrap().entry(service).or_default().push(number);
            barrier.wait().await;
            status
        };
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/v20190125/{service}/{number}", put(answer));
        runtime.spawn(async { axum::serve(listener, router).await.unwrap() });
        (Api::new(&endpoint), made)
    }

    fn call(service: u32, number: u32) -> Call {
        Call { path: format!("{service}/{number}"), body: json!({}) }
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    /// One that made call after call would wait for ever.
    #[test]
    fn calls_for_different_services_are_made_side_by_side() {
        let runtime = Runtime::new().unwrap();
        let (api, made) = server(&runtime, CALLERS, StatusCode::OK);
        let callers = Callers::new(&api, soon());
        for number in 0..10 {
            for service in (0..).take(CALLERS) {
                callers.make(service, call(service, number), Instant::now());
            }
        }
        assert_eq!(callers.finish().unwrap().len(), 10 * CALLERS as u64);
        let made = made.lock().unwrap();
        assert_eq!(made.len(), CALLERS);
        assert!(made.values().all(|numbers| numbers.iter().copied().eq(0..10)), "{made:?}");
    }

    #[test]
    fn a_call_takes_its_time_from_when_it_was_due() {
        let runtime = Runtime::new().unwrap();
        let (api, _) = server(&runtime, 1, StatusCode::OK);
        let callers = Callers::new(&api, soon());
        let hour = Duration::from_secs(3600);
        callers.make(0, call(0, 0), Instant::now().checked_sub(hour).unwrap());
        let took = callers.finish().unwrap();
        assert!(took.max() > 3_590_000_000_000, "{} ns", took.max());
    }

    #[test]
    fn no_call_begins_after_the_end() {
        let runtime = Runtime::new().unwrap();
        let (api, made) = server(&runtime, 1, StatusCode::OK);
        let callers = Callers::new(&api, Instant::now());
        callers.make(0, call(0, 0), Instant::now());
        assert_eq!(callers.finish().unwrap().len(), 0);
        assert!(made.lock().unwrap().is_empty());
    }

    #[test]
    fn a_call_that_is_refused_ends_it() {
        let runtime = Runtime::new().unwrap();
        let (api, _) = server(&runtime, 1, StatusCode::BAD_REQUEST);
        let callers = Callers::new(&api, soon());
        callers.make(0, call(0, 0), Instant::now());
        while !callers.have_failed() {
            thread::yield_now();
        }
        callers.make(0, call(0, 1), Instant::now());
        let error = callers.finish().unwrap_err().to_string();
        assert!(error.contains("answered 400"), "{error}");
    }
}
