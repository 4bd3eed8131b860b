//! A client against endpoints that are not Legation's.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;

use super::*;

/// The answers to one request each, in this order, and where they are given.
fn endpoint(answers: Vec<&'static str>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while !lines.next().unwrap().unwrap().is_empty() {}
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    endpoint
}

fn get(endpoint: String) -> Result<Value, ClientError> {
    let client = Client::new(&ApiArgs { endpoint, ca_certificate: None }).unwrap();
    client.request(Method::GET, "/", &[], None)
}

const DONE: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";

#[test]
fn it_never_asks_again_at_once() {
    const AT_ONCE: &str =
        "HTTP/1.1 429 Too Many Requests\r\nretry-after: 0\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let begun = Instant::now();
    assert_eq!(get(endpoint(vec![AT_ONCE, AT_ONCE, DONE])).unwrap(), serde_json::json!({}));
    let elapsed = begun.elapsed();
    assert!(elapsed >= 2 * PAUSE_MIN, "two pauses took {elapsed:?}");
}

#[test]
fn who_is_to_wait_for_longer_than_anybody_waits_is_told_at_once() {
    const IN_A_YEAR: &str = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 31536000\r\nconnection: close\r\n\
        content-length: 38\r\n\r\n{\"code\": \"T\", \"message\": \"in a year\"} ";
    let error = get(endpoint(vec![IN_A_YEAR])).unwrap_err();
    assert_eq!(error.to_string(), "in a year");
}

#[test]
fn what_others_answer_is_told_as_such() {
    const NOT_FOUND: &str =
        "HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 9\r\n\r\nNot here!";
    let error = get(endpoint(vec![NOT_FOUND])).unwrap_err();
    assert_eq!(error.to_string(), "404 Not Found, which is no answer of this API: Not here!");
}

#[test]
fn another_scheme_is_told() {
    // what a listener for TLS answers to a request without: an alert
    let tls = endpoint(vec!["\x15\x03\x03\0\x02\x02\x32"]);
    let error = get(tls).unwrap_err().to_string();
    assert!(error.ends_with("; should it be https://?"), "{error}");
    let refused = get("http://127.0.0.1:1".to_owned()).unwrap_err().to_string();
    assert!(!refused.contains("should it be"), "{refused}");
}

#[test]
fn another_scheme_is_told_where_there_is_no_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("https://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n").unwrap();
        // it is open until the client has seen this
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.read(&mut [0; 4096]);
    });
    let error = get(endpoint).unwrap_err().to_string();
    assert!(error.ends_with("; should it be http://?"), "{error}");
}
