//! What is done with a request of somebody unknown until it is refused, and with a file of access keys.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderName, HeaderValue, Request};
use legation::frontend::authentication::{AccessKeys, Authenticator};
use tokio::sync::watch;

/// The time of every request: 20261121T120000Z.
const NOW_SECONDS: u64 = 1_795_262_400;

const KEYS: &str = "[[access-key]]\nid = 'AKIDALICE'\nsecret = 'alice-alice-alice-alice'\nuser = 'alice'";

/// Takes the bytes for what the first of them says: a file of access keys, or a request: a line each for the method, the
/// target and the headers, then its body. Nobody who does not have the secret is let in.
pub(crate) fn check(bytes: &[u8]) {
    match bytes.split_first() {
        Some((0, file)) => drop(AccessKeys::parse(file)),
        Some((_, request)) => check_request(request),
        None => {}
    }
}

fn check_request(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let (Some(method), Some(target)) = (lines.next(), lines.next()) else { return };
    let mut request = Request::builder().method(method).uri(target);
    for line in lines.by_ref().take_while(|line| !line.is_empty()) {
        let mut halves = line.splitn(2, |byte| *byte == b':');
        let (Some(name), Some(value)) = (halves.next(), halves.next()) else { return };
        let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) else {
            return;
        };
        request = request.header(name, value);
    }
    let Ok(request) = request.body(()) else { return };
    let (head, ()) = request.into_parts();
    let body = lines.next().unwrap_or_default();

    let keys = AccessKeys::parse(KEYS.as_bytes()).expect("the keys can be read");
    let (_sender, keys) = watch::channel(Arc::new(keys));
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW_SECONDS);
    if let Ok(examined) = Authenticator::new(keys, "us-east-1").examine_at(&head, now) {
        assert!(examined.verify(&head, body).is_err(), "somebody is let in without the secret");
    }
}
