//! The floors, as an Envoy sees them: nearly every test runs on each kind, and those on what is sent in both forms of the
//! protocol.

#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

use std::future::poll_fn;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::google::protobuf::Any;
use h2::client::ResponseFuture;
use h2::{Ping, PingPong, RecvStream, SendStream};
use http::{HeaderMap, Request};
use legation_loadtest::content::{Content, RecordedChange, RecordedNode, RecordedResource, Replacement};
use legation_loadtest::floor::faults::Faults;
use legation_loadtest::floor::{Kind, Running, Settings, StartError, start};
use legation_proto::resource_type::ResourceType;
use legation_proto::response::Protocol;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use prost::Message;
use tokio::net::TcpStream;
use tokio::time::timeout;

const KINDS: [Kind; 2] = [Kind::Tonic, Kind::H2];
const PROTOCOLS: [Protocol; 2] = [Protocol::Delta, Protocol::Sotw];

/// Far longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(60);

const CDS: &str = ResourceType::Cluster.type_url();
const EDS: &str = ResourceType::Endpoints.type_url();
const RDS: &str = ResourceType::RouteConfiguration.type_url();

/// The positions of the resources of [`content`].
const X1: usize = 0;
const X2: usize = 1;
const Y: usize = 2;
const R1: usize = 3;
const R2: usize = 4;
const S: usize = 5;
const LARGE1: usize = 6;
const LARGE2: usize = 7;

const LARGE_BYTES: usize = 100_000;

/// Nodes `a` and `b` with clusters and routes, `c` with one cluster. Change 0 is of a route of `a` and `b`, change 1 of a
/// cluster of `a`, change 2 of both kinds of `a`, change 3 of what is large.
fn content() -> Content {
    let resource = |type_url: &str, name: &str, version: &str, body: Vec<u8>| RecordedResource {
        type_url: type_url.to_owned(),
        name: name.to_owned(),
        version: version.to_owned(),
        body,
    };
    let node =
        |id: &str, resources: &[usize]| RecordedNode { id: id.to_owned(), resources: resources.into() };
    let variant = |replacements: &[(usize, usize)]| {
        replacements.iter().map(|(node, resource)| Replacement { node: *node, resource: *resource }).collect()
    };
    let change =
        |name: &str, variants: Vec<Vec<Replacement>>| RecordedChange { name: name.to_owned(), variants };
    Content {
        resources: vec![
            resource(CDS, "x", "1-aa", b"first of x".into()),
            resource(CDS, "x", "2-ab", b"second of x".into()),
            resource(CDS, "y", "1-ac", b"y".into()),
            resource(RDS, "r", "1-ad", b"first of r".into()),
            resource(RDS, "r", "2-ae", b"second of r".into()),
            resource(RDS, "s", "1-af", b"s".into()),
            resource(RDS, "l", "1-ba", vec![1; LARGE_BYTES]),
            resource(RDS, "l", "1-bb", vec![2; LARGE_BYTES]),
        ],
        nodes: vec![
            node("a", &[X1, Y, R1, S]),
            node("b", &[X1, Y, R1, S]),
            node("c", &[Y]),
            node("large", &[LARGE1]),
        ],
        changes: vec![
            change("weights", vec![variant(&[(0, R1), (1, R1)]), variant(&[(0, R2), (1, R2)])]),
            change("timeout", vec![variant(&[(0, X1)]), variant(&[(0, X2)])]),
            change("both", vec![variant(&[(0, X1), (0, R1)]), variant(&[(0, X2), (0, R2)])]),
            change("large", vec![variant(&[(3, LARGE1)]), variant(&[(3, LARGE2)])]),
        ],
    }
}

fn floor(kind: Kind, protocol: Protocol, faults: Faults) -> Running {
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    start(&Settings { kind, protocol, xds: any_port, hook: any_port }, &content(), faults).unwrap()
}

/// Calls the hook: the status, and what it says.
fn call(floor: &Running, method: &str, path: &str) -> (u16, String) {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(PATIENCE))
        .build()
        .into();
    let request =
        Request::builder().method(method).uri(format!("http://{}{path}", floor.hook)).body(()).unwrap();
    let mut response = agent.run(request).unwrap();
    (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
}

fn change(floor: &Running, number: usize, variant: usize) {
    let path = format!("/changes/{number}/variants/{variant}");
    assert_eq!(call(floor, "PUT", &path), (204, String::new()));
}

/// An Envoy that says only what it is told to.
struct Envoy {
    node: &'static str,
    protocol: Protocol,
    requests: SendStream<Bytes>,
    responses: RecvStream,
    buffer: BytesMut,
    pings: PingPong,
}

impl Envoy {
    async fn connect(floor: &Running, protocol: Protocol, node: &'static str) -> Self {
        let method = match protocol {
            Protocol::Delta => "DeltaAggregatedResources",
            Protocol::Sotw => "StreamAggregatedResources",
        };
        let path = format!("/envoy.service.discovery.v3.AggregatedDiscoveryService/{method}");
        let (response, requests, pings) = open(floor, &path).await;
        let response = timeout(PATIENCE, response).await.unwrap().unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/grpc");
        let responses = response.into_body();
        Self { node, protocol, requests, responses, buffer: BytesMut::new(), pings }
    }

    fn request(&mut self, type_url: &str, nonce: &str) {
        let frame = self.framed_request(type_url, nonce);
        self.requests.send_data(frame, false).unwrap();
    }

    fn framed_request(&self, type_url: &str, nonce: &str) -> Bytes {
        let node = Some(Node { id: self.node.to_owned(), ..Default::default() });
        let (type_url, response_nonce) = (type_url.to_owned(), nonce.to_owned());
        let message = match self.protocol {
            Protocol::Delta => {
                DeltaDiscoveryRequest { node, type_url, response_nonce, ..Default::default() }.encode_to_vec()
            }
            Protocol::Sotw => {
                DiscoveryRequest { node, type_url, response_nonce, ..Default::default() }.encode_to_vec()
            }
        };
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        [&[0], length.as_slice(), &message].concat().into()
    }

    /// The next message, as it came, without its prefix; `None` at the end of the stream.
    async fn message(&mut self) -> Option<Bytes> {
        loop {
            if let Some((prefix, content)) = self.buffer.split_first_chunk::<5>() {
                assert_eq!(prefix[0], 0, "compressed");
                let length = u32::from_be_bytes(prefix[1..].try_into().unwrap()) as usize;
                if content.len() >= length {
                    self.buffer.advance(5);
                    return Some(self.buffer.split_to(length).freeze());
                }
            }
            let Some(bytes) = self.more().await else {
                assert!(self.buffer.is_empty(), "the stream ended within a message");
                return None;
            };
            self.responses.flow_control().release_capacity(bytes).unwrap();
        }
    }

    /// Reads what comes next, for which no room is made: how much it is; `None` at the end of the stream.
    async fn more(&mut self) -> Option<usize> {
        let data = timeout(PATIENCE, self.responses.data()).await.expect("nothing comes")?.unwrap();
        self.buffer.extend_from_slice(&data);
        Some(data.len())
    }

    /// Expects that the next message has exactly these resources, and returns it as it came.
    async fn expect(&mut self, type_url: &str, positions: &[usize]) -> Bytes {
        let message = self.message().await.expect("the stream has ended");
        let recorded = content().resources;
        let resources: Vec<_> = positions.iter().map(|position| &recorded[*position]).collect();
        let any = |resource: &RecordedResource| Any {
            type_url: resource.type_url.clone(),
            value: resource.body.clone(),
        };
        let (of_type, nonce) = match self.protocol {
            Protocol::Delta => {
                let response = DeltaDiscoveryResponse::decode(message.clone()).unwrap();
                assert_eq!(response.encode_to_vec(), message, "there is more in it than a response");
                assert!(!response.system_version_info.is_empty() && response.control_plane.is_some());
                assert!(response.removed_resources.is_empty());
                let got: Vec<_> = response
                    .resources
                    .into_iter()
                    .map(|resource| (resource.name, resource.version, resource.resource.unwrap()))
                    .collect();
                let expected: Vec<_> = resources
                    .iter()
                    .map(|resource| (resource.name.clone(), resource.version.clone(), any(resource)))
                    .collect();
                assert_eq!(got, expected, "{}", self.node);
                (response.type_url, response.nonce)
            }
            Protocol::Sotw => {
                let response = DiscoveryResponse::decode(message.clone()).unwrap();
                assert_eq!(response.encode_to_vec(), message, "there is more in it than a response");
                assert!(!response.version_info.is_empty() && response.control_plane.is_some());
                let expected: Vec<_> = resources.iter().map(|resource| any(resource)).collect();
                assert_eq!(response.resources, expected, "{}", self.node);
                (response.type_url, response.nonce)
            }
        };
        assert_eq!(of_type, type_url);
        assert!(!nonce.is_empty());
        message
    }

    /// Asks for clusters, which the node has, and gets them.
    async fn subscribed(floor: &Running, protocol: Protocol, node: &'static str) -> Self {
        let mut envoy = Self::connect(floor, protocol, node).await;
        envoy.request(CDS, "");
        envoy.expect(CDS, if node == "c" { &[Y] } else { &[X1, Y] }).await;
        envoy
    }

    /// Expects that nothing was sent: the answer to a request that is made now is what comes next.
    async fn expect_nothing(&mut self) {
        self.request(CDS, "");
        self.expect(CDS, if self.node == "c" { &[Y] } else { &[X1, Y] }).await;
    }

    async fn trailers(&mut self) -> HeaderMap {
        timeout(PATIENCE, self.responses.trailers()).await.unwrap().unwrap().expect("no trailers")
    }
}

/// Opens a connection and on it a stream.
async fn open(floor: &Running, path: &str) -> (ResponseFuture, SendStream<Bytes>, PingPong) {
    let stream = TcpStream::connect(floor.xds).await.unwrap();
    let (mut client, mut connection) = h2::client::handshake(stream).await.unwrap();
    let pings = connection.ping_pong().unwrap();
    tokio::spawn(connection);
    let request = Request::builder()
        .method("POST")
        .uri(format!("http://{}{path}", floor.xds))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap();
    let (response, requests) = client.send_request(request, false).unwrap();
    (response, requests, pings)
}

#[tokio::test]
async fn the_first_request_for_a_type_is_answered_and_an_ack_is_not() {
    for protocol in PROTOCOLS {
        let mut messages = Vec::new();
        for kind in KINDS {
            let floor = floor(kind, protocol, Faults::default());
            let mut a = Envoy::connect(&floor, protocol, "a").await;
            a.request(CDS, "");
            let clusters = a.expect(CDS, &[X1, Y]).await;
            a.request(CDS, "1");
            a.request(RDS, "");
            let routes = a.expect(RDS, &[R1, S]).await;
            a.request(RDS, "2");
            a.request(EDS, "");
            if protocol == Protocol::Sotw {
                a.expect(EDS, &[]).await;
            }
            a.expect_nothing().await;
            messages.push((clusters, routes));
        }
        assert_eq!(messages[0], messages[1], "kinds differ in what they send");
    }
}

#[tokio::test]
async fn a_change_reaches_each_stream_of_its_nodes_and_no_other() {
    for (kind, protocol) in KINDS.into_iter().flat_map(|kind| PROTOCOLS.map(|protocol| (kind, protocol))) {
        let floor = floor(kind, protocol, Faults::default());
        let mut consumers = Vec::new();
        for node in ["a", "b", "a"] {
            consumers.push(Envoy::subscribed(&floor, protocol, node).await);
        }
        let mut other = Envoy::subscribed(&floor, protocol, "c").await;
        for (variant, route) in [(1, R2), (0, R1), (1, R2), (1, R2)] {
            change(&floor, 0, variant);
            let mut messages = Vec::new();
            for consumer in &mut consumers {
                messages.push(consumer.expect(RDS, &[route]).await);
            }
            assert_eq!(messages[0], messages[1]);
        }
        change(&floor, 1, 1);
        let whole = protocol == Protocol::Sotw;
        consumers[0].expect(CDS, if whole { &[X2, Y] } else { &[X2] }).await;
        change(&floor, 2, 0);
        consumers[0].expect(CDS, if whole { &[X1, Y] } else { &[X1] }).await;
        consumers[0].expect(RDS, &[R1]).await;
        consumers[0].expect_nothing().await;
        consumers[1].expect_nothing().await;
        other.expect_nothing().await;
    }
}

#[tokio::test]
async fn a_stream_that_has_ended_is_left_out() {
    for kind in KINDS {
        let floor = floor(kind, Protocol::Delta, Faults::default());
        let mut ending = Envoy::subscribed(&floor, Protocol::Delta, "a").await;
        let mut staying = Envoy::subscribed(&floor, Protocol::Delta, "a").await;
        ending.requests.send_data(Bytes::new(), true).unwrap();
        assert_eq!(ending.message().await, None);
        assert_eq!(ending.trailers().await["grpc-status"], "0");
        let gone = Envoy::subscribed(&floor, Protocol::Delta, "a").await;
        drop(gone);
        change(&floor, 0, 1);
        staying.expect(RDS, &[R2]).await;
        staying.expect_nothing().await;
    }
}

#[tokio::test]
async fn what_is_not_served_ends_its_stream_with_a_status() {
    for kind in KINDS {
        let floor = floor(kind, Protocol::Delta, Faults::default());
        let mut unknown = Envoy::connect(&floor, Protocol::Delta, "nobody").await;
        unknown.request(CDS, "");
        assert_eq!(unknown.message().await, None);
        let trailers = unknown.trailers().await;
        assert_eq!(trailers["grpc-status"], "5");
        assert!(trailers["grpc-message"].to_str().unwrap().contains("nobody"), "{trailers:?}");

        for (frame, status) in [([0, 0, 0, 0, 1, 0xff], "3"), ([0, 0, 0x40, 0, 1, 0], "11")] {
            let mut unreadable = Envoy::connect(&floor, Protocol::Delta, "a").await;
            unreadable.requests.send_data(Bytes::copy_from_slice(&frame), false).unwrap();
            assert_eq!(unreadable.message().await, None);
            assert_eq!(unreadable.trailers().await["grpc-status"], status, "{kind:?} {frame:?}");
        }

        let ads = "/envoy.service.discovery.v3.AggregatedDiscoveryService";
        for path in [format!("{ads}/StreamAggregatedResources"), format!("{ads}/Other"), "/".to_owned()] {
            let (response, _requests, _pings) = open(&floor, &path).await;
            let mut response = timeout(PATIENCE, response).await.unwrap().unwrap();
            let status = match response.headers().get("grpc-status") {
                Some(status) => status.clone(),
                None => response.body_mut().trailers().await.unwrap().unwrap()["grpc-status"].clone(),
            };
            assert_eq!(status, "12", "{kind:?} {path}");
        }
    }
}

#[tokio::test]
async fn more_than_the_window_waits_until_it_was_read() {
    const WINDOW: usize = 65_535;
    for kind in KINDS {
        let floor = floor(kind, Protocol::Delta, Faults::default());
        let mut envoy = Envoy::connect(&floor, Protocol::Delta, "large").await;
        envoy.request(RDS, "");
        envoy.more().await;
        for variant in [1, 0] {
            change(&floor, 3, variant);
        }
        // h2's client fails the connection when it is sent more than there is room for
        while envoy.buffer.len() < WINDOW {
            envoy.more().await;
        }
        assert_eq!(envoy.buffer.len(), WINDOW);
        timeout(PATIENCE, envoy.pings.ping(Ping::opaque())).await.expect("no answer").unwrap();
        let more = poll_fn(|context| Poll::Ready(envoy.responses.poll_data(context).is_ready())).await;
        assert!(!more, "{kind:?} sends more than there is room for");
        let mut other = Envoy::subscribed(&floor, Protocol::Delta, "a").await;
        change(&floor, 1, 1);
        other.expect(CDS, &[X2]).await;

        envoy.responses.flow_control().release_capacity(WINDOW).unwrap();
        for resource in [LARGE1, LARGE2, LARGE1] {
            envoy.expect(RDS, &[resource]).await;
        }
    }
}

#[tokio::test]
async fn requests_come_in_pieces_and_are_as_many_as_they_are() {
    for kind in KINDS {
        let floor = floor(kind, Protocol::Delta, Faults::default());
        let mut envoy = Envoy::connect(&floor, Protocol::Delta, "a").await;
        for byte in envoy.framed_request(CDS, "") {
            envoy.requests.send_data(Bytes::copy_from_slice(&[byte]), false).unwrap();
        }
        envoy.expect(CDS, &[X1, Y]).await;
        let ack = envoy.framed_request(CDS, "1");
        let acks = 300_000 / ack.len(); // several times the window
        envoy.requests.send_data(ack.repeat(acks).into(), false).unwrap();
        envoy.expect_nothing().await;
    }
}

#[tokio::test]
async fn the_hook_tells_what_is_wrong() {
    let floor = floor(Kind::H2, Protocol::Delta, Faults::default());
    assert_eq!(call(&floor, "GET", "/healthz").0, 200);
    for (method, path, status, sentence) in [
        ("PUT", "/changes/4/variants/0", 404, "there is no change 4, the content has 4"),
        ("PUT", "/changes/1/variants/2", 404, "there is no variant 2 of change 1, it has 2"),
        ("PUT", "/changes/x/variants/0", 400, "`x` is not the position of anything"),
        ("PUT", "/changes/0/variants/-1", 400, "`-1` is not the position of anything"),
        ("PUT", "/changes", 404, "there is nothing here but /changes and /healthz"),
        ("GET", "/changes/0/variants/0", 405, "this is not done to it"),
    ] {
        let (got, said) = call(&floor, method, path);
        assert_eq!((got, said.trim_end()), (status, sentence), "{method} {path}");
    }
}

#[tokio::test]
async fn one_push_in_so_many_is_left_out() {
    for kind in KINDS {
        let floor = floor(kind, Protocol::Delta, Faults { drop_one_in: 3, ..Default::default() });
        let mut a = Envoy::subscribed(&floor, Protocol::Delta, "a").await;
        let mut b = Envoy::subscribed(&floor, Protocol::Delta, "b").await;
        for variant in [1, 0, 1] {
            change(&floor, 0, variant);
        }
        // a1 b1, (a0) b0, a1 (b1)
        for envoy in [&mut a, &mut b] {
            let last = if envoy.node == "a" { R2 } else { R1 };
            envoy.expect(RDS, &[R2]).await;
            envoy.expect(RDS, &[last]).await;
            envoy.expect_nothing().await;
        }
    }
}

#[tokio::test]
async fn pushes_come_late() {
    for kind in KINDS {
        let never =
            floor(kind, Protocol::Delta, Faults { delay: Duration::from_secs(3600), ..Default::default() });
        let mut a = Envoy::subscribed(&never, Protocol::Delta, "a").await;
        change(&never, 0, 1);
        a.expect_nothing().await;

        let delay = Duration::from_millis(200);
        let late = floor(kind, Protocol::Delta, Faults { delay, ..Default::default() });
        let mut a = Envoy::subscribed(&late, Protocol::Delta, "a").await;
        let begun = Instant::now();
        for (number, variant) in [(0, 1), (1, 1), (0, 0)] {
            change(&late, number, variant);
        }
        a.expect(RDS, &[R2]).await;
        assert!(begun.elapsed() >= delay, "{:?}", begun.elapsed());
        a.expect(CDS, &[X2]).await;
        a.expect(RDS, &[R1]).await;
    }
}

#[tokio::test]
async fn pushes_go_to_a_node_that_is_not_in_the_change_too() {
    for kind in KINDS {
        let floor = floor(kind, Protocol::Delta, Faults { misdirect: true, ..Default::default() });
        let mut a = Envoy::subscribed(&floor, Protocol::Delta, "a").await;
        let mut b = Envoy::subscribed(&floor, Protocol::Delta, "b").await;
        let mut c = Envoy::subscribed(&floor, Protocol::Delta, "c").await;
        change(&floor, 0, 1);
        a.expect(RDS, &[R2]).await;
        b.expect(RDS, &[R2]).await;
        c.expect(RDS, &[R2]).await;
        c.expect(RDS, &[R2]).await;
        for envoy in [&mut a, &mut b, &mut c] {
            envoy.expect_nothing().await;
        }
    }
}

#[tokio::test]
async fn pushes_come_twice() {
    for kind in KINDS {
        let floor = floor(kind, Protocol::Delta, Faults { twice: true, ..Default::default() });
        let mut a = Envoy::subscribed(&floor, Protocol::Delta, "a").await;
        change(&floor, 0, 1);
        a.expect(RDS, &[R2]).await;
        a.expect(RDS, &[R2]).await;
        a.expect_nothing().await;
    }
}

#[tokio::test]
async fn a_floor_that_is_stopped_closes_its_connections_and_ports() {
    for kind in KINDS {
        let floor = floor(kind, Protocol::Delta, Faults::default());
        let mut a = Envoy::subscribed(&floor, Protocol::Delta, "a").await;
        let address = floor.xds;
        floor.stop();
        let ended = timeout(PATIENCE, a.responses.data()).await.expect("the connection stays");
        assert!(!matches!(ended, Some(Ok(_))), "{ended:?}");
        let begun = Instant::now();
        while TcpStream::connect(address).await.is_ok() {
            assert!(begun.elapsed() < PATIENCE, "the port stays open");
        }
    }
}

#[test]
fn content_that_cannot_be_is_refused() {
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let settings = Settings { kind: Kind::H2, protocol: Protocol::Delta, xds: any_port, hook: any_port };
    let check = |change: fn(&mut Content), expected: &str| {
        let mut content = content();
        change(&mut content);
        match start(&settings, &content, Faults::default()) {
            Err(StartError::Content(error)) => assert_eq!(error.to_string(), expected),
            other => panic!("{other:?}"),
        }
    };
    check(|content| content.nodes[1].id = "a".to_owned(), "there are two nodes `a`");
    check(|content| content.nodes[1].resources.push(8), "there is no resource 8");
    check(|content| content.changes[0].variants[1][0].resource = 9, "there is no resource 9");
    check(|content| content.changes[0].variants[1][0].node = 4, "there is no node 4");
    check(
        |content| content.changes[0].variants[1][0].node = 2,
        "`weights` replaces a resource `r` that the node `c` does not have",
    );
    let taken = std::net::TcpListener::bind(any_port).unwrap();
    let settings = Settings { hook: taken.local_addr().unwrap(), ..settings };
    assert!(matches!(start(&settings, &content(), Faults::default()), Err(StartError::Listen { .. })));
}

#[test]
fn the_command_tells_where_it_serves_and_ends_when_it_is_told_to() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("content.json");
    content().write(&file).unwrap();
    for (kind, signal) in [("tonic", Signal::SIGTERM), ("h2", Signal::SIGINT)] {
        let mut process = Command::new(env!("CARGO_BIN_EXE_legation-loadtest"))
            .args(["floor", "--kind", kind, "--protocol", "sotw", "--content"])
            .arg(&file)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stderr.take().unwrap()).read_line(&mut line).unwrap();
        let addresses = line.trim_end().strip_prefix("ready xds=").and_then(|line| line.split_once(" hook="));
        let (xds, hook) = addresses.unwrap_or_else(|| panic!("{line}"));
        std::net::TcpStream::connect(xds).unwrap();
        assert_eq!(ureq::get(format!("http://{hook}/healthz")).call().unwrap().status().as_u16(), 200);
        kill(Pid::from_raw(i32::try_from(process.id()).unwrap()), signal).unwrap();
        assert_eq!(process.wait().unwrap().code(), Some(0));
    }
}
