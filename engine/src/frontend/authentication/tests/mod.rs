//! Tests with requests that are signed as clients sign them, and with what may become of them on the way.

mod alterations;
mod refusals;
mod vectors;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use expect_test::{Expect, expect};
use http::{Method, Request};

use super::*;

const HOST: &str = "127.0.0.1:8080";
const PATH: &str = "/v20190125/meshes/m";

/// When everything happens.
fn now() -> SystemTime {
    Timestamp::parse("20261121T120000Z").unwrap().time()
}

const KEYS: &str = "
[[access-key]]
id = 'AKIDALICE'
secret = 'alice-alice-alice-alice'
user = 'alice'
groups = ['payments']

[[access-key]]
id = 'AKIDOFF'
secret = 'alice-alice-alice-alice'
user = 'alice'
groups = ['payments']
disabled = true

[[access-key]]
id = 'AKIDOLD'
secret = 'bobby-bobby-bobby-bobby'
user = 'bob'
expires = 2026-11-21T12:00:00Z
";

/// Lets alice in, and bob until noon.
pub(in crate::frontend) fn authenticator() -> Authenticator {
    let (_, keys) = watch::channel(Arc::new(AccessKeys::parse(KEYS.as_bytes()).unwrap()));
    Authenticator::new(keys, "us-east-1")
}

/// A request, and how it is signed.
#[derive(Clone, Debug)]
pub(in crate::frontend) struct Signing {
    pub(in crate::frontend) method: Method,
    pub(in crate::frontend) uri: String,
    pub(in crate::frontend) headers: Vec<(String, String)>,
    pub(in crate::frontend) body: Vec<u8>,
    pub(in crate::frontend) id: &'static str,
    pub(in crate::frontend) secret: &'static str,
    pub(in crate::frontend) region: &'static str,
    pub(in crate::frontend) service: &'static str,
    pub(in crate::frontend) time: SystemTime,
    /// In seconds, where it is presigned.
    pub(in crate::frontend) expires: Option<u64>,
}

impl Default for Signing {
    fn default() -> Self {
        Self {
            method: Method::PUT,
            uri: format!("{PATH}?meshOwner=000000000000"),
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: br#"{"spec":{}}"#.to_vec(),
            id: "AKIDALICE",
            secret: "alice-alice-alice-alice",
            region: "us-east-1",
            service: SERVICE,
            time: now(),
            expires: None,
        }
    }
}

impl Signing {
    /// The request as a client would send it.
    pub(in crate::frontend) fn sign(&self) -> SignedRequest {
        let mut request = Request::builder().method(self.method.clone()).uri(&self.uri).header("host", HOST);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let mut request = request.body(()).unwrap();
        let mut settings = SigningSettings::default();
        settings.excluded_headers = None;
        if let Some(seconds) = self.expires {
            settings.signature_location = SignatureLocation::QueryParams;
            settings.expires_in = Some(Duration::from_secs(seconds));
        }
        let identity = Credentials::new(self.id, self.secret, None, None, "test").into();
        let parameters = SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name(self.service)
            .time(self.time)
            .settings(settings)
            .build()
            .unwrap()
            .into();
        let headers = request.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
        let body = SignableBody::Bytes(&self.body);
        let signable = SignableRequest::new(self.method.as_str(), &self.uri, headers, body).unwrap();
        let (instructions, _) = sign(signable, &parameters).unwrap().into_parts();
        instructions.apply_to_request_http1x(&mut request);
        SignedRequest { head: request.into_parts().0, body: self.body.clone() }
    }
}

/// A request that is signed, until something of it is altered.
pub(in crate::frontend) struct SignedRequest {
    pub(in crate::frontend) head: Parts,
    pub(in crate::frontend) body: Vec<u8>,
}

impl SignedRequest {
    fn outcome(&self) -> Result<Caller, AuthenticationError> {
        self.outcome_at(now())
    }

    fn outcome_at(&self, now: SystemTime) -> Result<Caller, AuthenticationError> {
        authenticator().examine_at(&self.head, now)?.verify(&self.head, &self.body)
    }

    fn header(&self, name: &str) -> String {
        self.head.headers[name].to_str().unwrap().to_owned()
    }

    fn set_header(&mut self, name: &'static str, value: &str) {
        self.head.headers.insert(name, value.parse().unwrap());
    }

    fn replace_in_header(&mut self, name: &'static str, from: &str, to: &str) {
        let value = self.header(name);
        assert!(value.contains(from), "{value}");
        self.set_header(name, &value.replace(from, to));
    }

    fn replace_in_uri(&mut self, from: &str, to: &str) {
        let uri = self.head.uri.to_string();
        assert!(uri.contains(from), "{uri}");
        self.head.uri = uri.replace(from, to).parse().unwrap();
    }
}

fn told(outcome: Result<Caller, AuthenticationError>) -> String {
    match outcome {
        Ok(caller) => format!("{} in {}", caller.name(), caller.groups().join(", ")),
        Err(error) => {
            let (status, code) = error.status_and_code();
            let message = error.to_string();
            assert!(!message.contains("alice-alice"), "{message}");
            format!("{} {code}: {message}", status.as_u16())
        }
    }
}

/// What becomes of a request that is altered after it was signed.
fn check(signing: &Signing, alter: impl Fn(&mut SignedRequest), expected: Expect) {
    let mut request = signing.sign();
    alter(&mut request);
    expected.assert_eq(&told(request.outcome()));
}

fn header_form() -> Signing {
    Signing::default()
}

fn presigned_form() -> Signing {
    Signing { expires: Some(600), method: Method::GET, body: Vec::new(), ..Signing::default() }
}

#[test]
fn who_signs_is_let_in() {
    let nothing = |_: &mut SignedRequest| {};
    check(&header_form(), nothing, expect!["alice in payments"]);
    check(&presigned_form(), nothing, expect!["alice in payments"]);
    let presigned_put = Signing { expires: Some(1), ..Signing::default() };
    check(&presigned_put, nothing, expect!["alice in payments"]);
    // most clients do not sign these, some do
    let headers =
        vec![("user-agent".to_owned(), "curl".to_owned()), ("expect".to_owned(), "100-continue".to_owned())];
    check(&Signing { headers, ..Signing::default() }, nothing, expect!["alice in payments"]);
    // as the load balancers of AWS and others add
    let with_more = |request: &mut SignedRequest| request.set_header("x-amzn-trace-id", "Root=1");
    check(&header_form(), with_more, expect!["alice in payments"]);
    let without_spaces = |request: &mut SignedRequest| request.replace_in_header("authorization", ", ", ",");
    check(&header_form(), without_spaces, expect!["alice in payments"]);
}

#[test]
fn everybody_is_let_in_where_there_are_no_keys() {
    let authenticator = Authenticator::anonymous();
    for authorization in ["", "nonsense", "AWS4-HMAC-SHA256 Credential=x"] {
        let mut request = header_form().sign();
        request.set_header("authorization", authorization);
        let examined = authenticator.examine(&request.head).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(examined.verify(&request.head, &request.body), Ok(Caller::anonymous()));
    }
}

#[test]
fn keys_are_those_of_now() {
    let (sender, keys) = watch::channel(Arc::new(AccessKeys::parse(KEYS.as_bytes()).unwrap()));
    let authenticator = Authenticator::new(keys, "us-east-1");
    let request = header_form().sign();
    let outcome = || authenticator.examine_at(&request.head, now()).map(|_| ());
    assert_eq!(outcome(), Ok(()));
    let without_alice = KEYS.replace("AKIDALICE", "AKIDALICE2");
    sender.send_replace(Arc::new(AccessKeys::parse(without_alice.as_bytes()).unwrap()));
    assert_eq!(outcome(), Err(AuthenticationError::UnknownKey));
}
