//! A server that says what a test tells it to, frame by frame, over real connections.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, Resource,
};
use envoy_types::pb::google::protobuf::Any;
use legation_proto::resource_type::ResourceType;
use prost::Message;

/// Longer than anything takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const INDEXED_STATUS_200: &[u8] = &[0x88];

pub(crate) struct Server {
    listener: TcpListener,
    pub(crate) address: SocketAddr,
}

/// An Envoy's connection, with one stream at a time.
pub(crate) struct Connection {
    pub(crate) socket: TcpStream,
    bytes: Vec<u8>,
    stream: u32,
    message: Vec<u8>,
    nonce: u64,
    /// Bytes of DATA that came.
    used: u32,
}

impl Server {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let address = listener.local_addr().expect("bound");
        Self { listener, address }
    }

    /// The next connection, whose client has sent its preface and has been sent SETTINGS.
    pub(crate) fn accept(&self) -> Connection {
        let (mut socket, _) = self.listener.accept().expect("a connection");
        socket.set_nodelay(true).expect("an option");
        socket.set_read_timeout(Some(PATIENCE)).expect("an option");
        let mut preface = [0; 24];
        socket.read_exact(&mut preface).expect("a preface");
        assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        let mut connection =
            Connection { socket, bytes: Vec::new(), stream: 0, message: Vec::new(), nonce: 0, used: 0 };
        connection.set_window(65_535);
        connection
    }

    /// The next connection, with its stream, which is accepted.
    pub(crate) fn accept_stream(&self) -> Connection {
        let mut connection = self.accept();
        connection.await_stream();
        connection.accept_stream();
        connection
    }

    /// The same, after everything was answered: there is one cluster, one listener, and nothing by name.
    pub(crate) fn accept_synced(&self) -> Connection {
        let mut connection = self.accept_stream();
        connection.answer_first_requests();
        connection
    }
}

impl Connection {
    pub(crate) fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.socket.write_all(&frame(kind, flags, stream, payload)).expect("writes");
    }

    pub(crate) fn await_stream(&mut self) {
        while self.next_frame().0 != HEADERS {}
    }

    pub(crate) fn accept_stream(&mut self) {
        self.frame(HEADERS, 4, self.stream, INDEXED_STATUS_200);
    }

    /// Trailers.
    pub(crate) fn end_stream(&mut self) {
        self.frame(HEADERS, 4 | 1, self.stream, INDEXED_STATUS_200);
    }

    pub(crate) fn reset_stream(&mut self) {
        self.frame(RST_STREAM, 0, self.stream, &[0, 0, 0, 8]);
    }

    pub(crate) fn go_away(&mut self, last: u32) {
        self.frame(GOAWAY, 0, 0, &[last.to_be_bytes(), [0; 4]].concat());
    }

    pub(crate) fn give_credit(&mut self, credit: u32) {
        self.frame(WINDOW_UPDATE, 0, self.stream, &credit.to_be_bytes());
    }

    pub(crate) fn set_window(&mut self, window: u32) {
        self.frame(SETTINGS, 0, 0, &[&[0, 4][..], &window.to_be_bytes()].concat());
    }

    pub(crate) fn answer_ping(&mut self) {
        loop {
            if let (PING, payload) = self.next_frame() {
                return self.frame(PING, 1, 0, &payload);
            }
        }
    }

    /// Bytes of what the Envoy has said until now.
    pub(crate) fn used(&self) -> u32 {
        self.used
    }

    pub(crate) fn stream(&self) -> u32 {
        self.stream
    }

    /// The kind and payload of the next frame; of HEADERS the stream is kept.
    fn next_frame(&mut self) -> (u8, Vec<u8>) {
        loop {
            if let Some((header, rest)) = self.bytes.split_first_chunk::<9>() {
                let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
                if rest.len() >= length as usize {
                    let kind = header[3];
                    let stream = u32::from_be_bytes([header[5], header[6], header[7], header[8]]);
                    let payload = rest[..length as usize].to_vec();
                    self.bytes.drain(..9 + length as usize);
                    match kind {
                        HEADERS => self.stream = stream,
                        DATA => self.used += length,
                        _ => {}
                    }
                    return (kind, payload);
                }
            }
            let mut part = [0; 4096];
            let length = self.socket.read(&mut part).expect("more of a frame");
            assert_ne!(length, 0, "the connection was closed");
            self.bytes.extend_from_slice(&part[..length]);
        }
    }

    /// The next part of what the Envoy says.
    pub(crate) fn next_data(&mut self) -> Vec<u8> {
        loop {
            if let (DATA, payload) = self.next_frame() {
                return payload;
            }
        }
    }

    /// Whether the Envoy says anything more for a while, other than to answer SETTINGS.
    pub(crate) fn is_silent(&mut self, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        self.socket.set_nonblocking(true).expect("an option");
        let mut part = [0; 4096];
        while Instant::now() < deadline {
            match self.socket.read(&mut part) {
                Ok(length) => self.bytes.extend_from_slice(&part[..length]),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.socket.set_nonblocking(false).expect("an option");
        let settings_ack = frame(SETTINGS, 1, 0, &[]);
        self.bytes.chunks(settings_ack.len()).all(|chunk| chunk == settings_ack)
    }

    fn next_message(&mut self) -> Vec<u8> {
        loop {
            if let Some((header, rest)) = self.message.split_first_chunk::<5>() {
                let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize;
                if rest.len() >= length {
                    let message = rest[..length].to_vec();
                    self.message.drain(..5 + length);
                    return message;
                }
            }
            let data = self.next_data();
            self.message.extend_from_slice(&data);
        }
    }

    pub(crate) fn next_request(&mut self) -> DeltaDiscoveryRequest {
        DeltaDiscoveryRequest::decode(self.next_message().as_slice()).expect("a request")
    }

    pub(crate) fn next_sotw_request(&mut self) -> DiscoveryRequest {
        DiscoveryRequest::decode(self.next_message().as_slice()).expect("a request")
    }

    pub(crate) fn await_ack(&mut self) {
        let request = self.next_request();
        assert_eq!(request.response_nonce, self.nonce.to_string());
        assert_eq!(request.error_detail, None);
    }

    fn answer_first_requests(&mut self) {
        for resource_type in [ResourceType::Cluster, ResourceType::Listener] {
            assert_eq!(self.next_request().type_url, resource_type.type_url());
        }
        self.push(ResourceType::Cluster, "first", "1", "");
        self.await_ack();
        self.push(ResourceType::Listener, "first", "1", "");
        self.await_ack();
    }

    /// Sends a resource in the incremental form, with a text in it.
    pub(crate) fn push(&mut self, resource_type: ResourceType, name: &str, version: &str, text: &str) {
        self.nonce += 1;
        let message = response(self.nonce, resource_type, name, version, text);
        self.send(&message);
    }

    /// The same in the state of the world form.
    pub(crate) fn push_sotw(&mut self, resource_type: ResourceType, name: &str, version: &str, text: &str) {
        self.nonce += 1;
        let response = DiscoveryResponse {
            version_info: version.to_owned(),
            resources: vec![any(resource_type, name, text)],
            type_url: resource_type.type_url().to_owned(),
            nonce: self.nonce.to_string(),
            ..Default::default()
        };
        self.send(&response.encode_to_vec());
    }

    pub(crate) fn send(&mut self, message: &[u8]) {
        let stream = self.stream;
        self.socket.write_all(&data(stream, message)).expect("writes");
    }

    /// Sends until the other side takes nothing more for a second; how many bytes it took.
    pub(crate) fn fill(&mut self, resource_type: ResourceType, bytes_max: usize) -> usize {
        self.socket.set_write_timeout(Some(Duration::from_secs(1))).expect("an option");
        let text = "x".repeat(10_000);
        let mut taken = 0;
        while taken < bytes_max {
            self.nonce += 1;
            let message = response(self.nonce, resource_type, "first", &self.nonce.to_string(), &text);
            let frame = data(self.stream, &message);
            let mut written = 0;
            while written < frame.len() {
                match self.socket.write(&frame[written..]) {
                    Ok(length) => written += length,
                    Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                        return taken + written;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            taken += written;
        }
        taken
    }

    /// Reads until the other side has closed.
    pub(crate) fn await_close(&mut self) {
        let mut part = [0; 4096];
        while !matches!(self.socket.read(&mut part), Ok(0) | Err(_)) {}
    }
}

/// Until something is so.
pub(crate) fn await_true(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What an Envoy says that it has.
pub(crate) fn initial_versions(requests: &[DeltaDiscoveryRequest]) -> HashMap<String, String> {
    requests.iter().flat_map(|request| request.initial_resource_versions.clone()).collect()
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn data(stream: u32, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("short").to_be_bytes();
    frame(DATA, 0, stream, &[&[0][..], &length, message].concat())
}

fn any(resource_type: ResourceType, name: &str, text: &str) -> Any {
    let name = name.to_owned();
    let value = match resource_type {
        ResourceType::Listener => {
            Listener { name, stat_prefix: text.to_owned(), ..Default::default() }.encode_to_vec()
        }
        _ => Cluster { name, alt_stat_name: text.to_owned(), ..Default::default() }.encode_to_vec(),
    };
    Any { type_url: resource_type.type_url().to_owned(), value }
}

fn response(nonce: u64, resource_type: ResourceType, name: &str, version: &str, text: &str) -> Vec<u8> {
    let resource = Resource {
        name: name.to_owned(),
        version: version.to_owned(),
        resource: Some(any(resource_type, name, text)),
        ..Default::default()
    };
    let response = DeltaDiscoveryResponse {
        type_url: resource_type.type_url().to_owned(),
        nonce: nonce.to_string(),
        resources: vec![resource],
        ..Default::default()
    };
    response.encode_to_vec()
}
