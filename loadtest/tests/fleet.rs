//! What a fleet tells of servers that do right and wrong.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod scripted;

use std::time::{Duration, Instant};

use legation_loadtest::fleet::{Behaviour, Change, Fleet, FleetSettings, Simulated};
use legation_loadtest::run::Received;
use legation_proto::resource_type::ResourceType;
use legation_proto::response::Protocol;
use scripted::{PATIENCE, Server, await_true, initial_versions};

const SOON: Duration = Duration::from_millis(300);

fn fleet(server: &Server, protocol: Protocol) -> Fleet {
    Fleet::start(FleetSettings { keep_content: true, ..FleetSettings::new(server.address, protocol) })
        .expect("starts")
}

fn envoy(services: &[u32], behaviour: Behaviour) -> Simulated {
    Simulated { node_id: "mesh/m/virtualNode/n".to_owned(), services: services.to_vec(), behaviour }
}

/// A fleet of one Envoy that is synced, and its connection.
fn synced(services: &[u32], behaviour: Behaviour) -> (Server, Fleet, scripted::Connection) {
    let server = Server::start();
    let fleet = fleet(&server, Protocol::Delta);
    fleet.add(vec![envoy(services, behaviour)]);
    let connection = server.accept_synced();
    assert_eq!(fleet.wait_synced(PATIENCE), 1);
    fleet.reset();
    (server, fleet, connection)
}

fn expect(fleet: &Fleet, service: u32, number: u64) -> Instant {
    let started = Instant::now();
    fleet.expect(Change { service, number, started });
    started
}

fn await_pushes(fleet: &Fleet, pushes: u64) -> Received {
    await_true("so many pushes", || fleet.tally().received.pushes >= pushes);
    fleet.tally().received
}

#[test]
fn a_change_is_received_and_accepted() {
    let (_server, fleet, mut connection) = synced(&[3], Behaviour::Accept);
    let started = expect(&fleet, 3, 17);
    assert_eq!(fleet.tally().outstanding, 1);
    connection.push(ResourceType::Cluster, "first", "2", "change-3-17");
    let propagation = fleet.wait_for((3, 17), PATIENCE);
    assert_eq!((propagation.consumers, propagation.received, propagation.accepted), (1, 1, 1));
    assert!(started < propagation.last_receipt.unwrap());
    assert!(propagation.last_receipt <= propagation.last_ack);
    connection.await_ack();
    let tally = fleet.tally();
    assert_eq!((tally.receipt.len(), tally.last_receipt.len(), tally.last_ack.len()), (1, 1, 1));
    assert_eq!((tally.outstanding, tally.pushes_of), (0, [1, 0, 0, 0, 0]));
    let bytes = tally.received.bytes;
    assert_eq!(tally.received, Received { pushes: 1, resources: 1, bytes, ..Received::default() });
    let contents: Vec<_> =
        fleet.contents(0).into_iter().map(|resource| (resource.name, resource.version)).collect();
    assert_eq!(
        contents,
        [("first", "2"), ("first", "1")].map(|(name, version)| (name.into(), version.into()))
    );
}

#[test]
fn a_dropped_push_is_lost_once() {
    let (_server, fleet, _connection) = synced(&[0], Behaviour::Accept);
    expect(&fleet, 0, 1);
    for _ in 0..2 {
        let propagation = fleet.wait_for((0, 1), SOON);
        assert_eq!((propagation.consumers, propagation.received), (1, 0));
        assert_eq!(propagation.missing, [0]);
        assert_eq!(fleet.tally().received.lost, 1);
    }
    assert_eq!(fleet.tally().outstanding, 1);
}

#[test]
fn a_late_push_has_its_latency() {
    let (_server, fleet, mut connection) = synced(&[0], Behaviour::Accept);
    let started = expect(&fleet, 0, 1);
    fleet.wait_for((0, 1), SOON);
    assert_eq!(fleet.tally().receipt.len(), 0);
    let lateness = started.elapsed();
    connection.push(ResourceType::Cluster, "first", "2", "change-0-1");
    fleet.wait_for((0, 1), PATIENCE);
    let most = started.elapsed();
    let tally = fleet.tally();
    assert_eq!((tally.received.lost, tally.receipt.len(), tally.outstanding), (1, 1, 0));
    let latency = Duration::from_nanos(tally.receipt.max());
    assert!(latency >= lateness && latency <= most + most / 100, "{lateness:?} {latency:?} {most:?}");
}

#[test]
fn a_push_to_a_non_consumer_is_misdirected() {
    let (_server, fleet, mut connection) = synced(&[0], Behaviour::Accept);
    expect(&fleet, 1, 5);
    assert_eq!(fleet.wait_for((1, 5), PATIENCE).consumers, 0);
    connection.push(ResourceType::Cluster, "first", "2", "change-1-5");
    let received = await_pushes(&fleet, 1);
    assert_eq!((received.misdirected, received.redundant), (1, 0));
    assert_eq!(fleet.tally().receipt.len(), 0);
}

#[test]
fn a_push_without_news_is_redundant() {
    let (_server, fleet, mut connection) = synced(&[0], Behaviour::Accept);
    connection.push(ResourceType::Cluster, "first", "2", "change-0-1");
    assert_eq!(await_pushes(&fleet, 1).redundant, 0);
    connection.push(ResourceType::Cluster, "first", "2", "change-0-1");
    assert_eq!(await_pushes(&fleet, 2).redundant, 1);
    connection.push(ResourceType::Cluster, "other", "2", "");
    assert_eq!(await_pushes(&fleet, 3).redundant, 1);
}

#[test]
fn endpoints_that_a_new_stream_asks_for_are_not_redundant() {
    let (server, fleet, mut connection) = synced(&[0], Behaviour::Accept);
    connection.push(ResourceType::Endpoints, "first", "1", "");
    assert_eq!(await_pushes(&fleet, 1).redundant, 0);
    fleet.reconnect(0..1);
    connection.await_close();
    let mut again = server.accept_stream();
    again.push(ResourceType::Endpoints, "first", "1", "");
    assert_eq!(await_pushes(&fleet, 2).redundant, 0, "Envoys forget them now and then");
    again.push(ResourceType::Endpoints, "first", "1", "");
    let received = await_pushes(&fleet, 3);
    assert_eq!((received.redundant, received.endpoints), (1, 3));
}

#[test]
fn in_state_of_the_world_content_tells_what_is_new() {
    let server = Server::start();
    let fleet = fleet(&server, Protocol::Sotw);
    fleet.add(vec![envoy(&[0], Behaviour::Accept)]);
    let mut connection = server.accept_stream();
    for resource_type in [ResourceType::Cluster, ResourceType::Listener] {
        assert_eq!(connection.next_sotw_request().type_url, resource_type.type_url());
        connection.push_sotw(resource_type, "first", "1", "");
    }
    assert_eq!(fleet.wait_synced(PATIENCE), 1);
    connection.push_sotw(ResourceType::Cluster, "first", "2", "");
    assert_eq!(await_pushes(&fleet, 3).redundant, 1, "only the version is new");
    connection.push_sotw(ResourceType::Cluster, "first", "3", "new");
    assert_eq!(await_pushes(&fleet, 4).redundant, 1);
    for (version, nonce) in [("1", "1"), ("1", "2"), ("2", "3"), ("3", "4")] {
        let ack = connection.next_sotw_request();
        assert_eq!((ack.version_info.as_str(), ack.response_nonce.as_str()), (version, nonce));
    }
}

#[test]
fn who_rejects_is_no_consumer_and_keeps_what_it_has() {
    let (_server, fleet, mut connection) = synced(&[0], Behaviour::Reject);
    expect(&fleet, 0, 1);
    connection.push(ResourceType::Cluster, "first", "2", "change-0-1");
    let nack = connection.next_request();
    assert_eq!((nack.response_nonce.as_str(), nack.error_detail.unwrap().code), ("3", 3));
    assert_eq!(fleet.wait_for((0, 1), PATIENCE).consumers, 0);
    assert_eq!(fleet.tally().received.rejected, 1);
    assert_eq!(fleet.contents(0)[0].version, "1");
    fleet.behave(0..1, Behaviour::Accept);
    expect(&fleet, 0, 1);
    connection.push(ResourceType::Cluster, "first", "2", "change-0-1");
    assert_eq!(fleet.wait_for((0, 1), PATIENCE).accepted, 1, "what it rejected it had not seen");
}

#[test]
fn a_push_never_overtakes_its_expectation() {
    let (_server, fleet, mut connection) = synced(&[0], Behaviour::Accept);
    for number in 1..=200 {
        expect(&fleet, 0, number);
        connection.push(ResourceType::Cluster, "first", "2", &format!("change-0-{number}"));
    }
    await_pushes(&fleet, 200);
    assert_eq!(fleet.tally().receipt.len(), 200);
    for number in 1..=200 {
        assert_eq!(fleet.wait_for((0, number), PATIENCE).accepted, 1);
        expect(&fleet, 0, 200 + number);
        assert_eq!(fleet.wait_for((0, 200 + number), Duration::ZERO).consumers, 1);
    }
}

#[test]
fn who_stops_answering_answers_when_it_is_told_to() {
    let (_server, fleet, mut connection) = synced(&[0], Behaviour::StopAnswering);
    connection.push(ResourceType::Cluster, "first", "2", "change-0-1");
    await_pushes(&fleet, 1);
    assert!(connection.is_silent(SOON));
    fleet.behave(0..1, Behaviour::Accept);
    connection.await_ack();
}

#[test]
fn who_stops_reading_closes_its_window() {
    const BYTES_MAX: usize = 64 << 20;
    let (_server, fleet, mut connection) = synced(&[0], Behaviour::StopReading);
    let taken = connection.fill(ResourceType::Cluster, BYTES_MAX);
    assert!(taken < BYTES_MAX, "{taken} bytes were taken");
    assert_eq!(fleet.tally().received.bytes, 0);
    fleet.behave(0..1, Behaviour::Accept);
    await_true("all is read", || fleet.tally().received.bytes >= taken as u64);
}

#[test]
fn who_stops_reading_notices_that_it_is_sent_away() {
    let (server, fleet, connection) = synced(&[0], Behaviour::StopReading);
    socket2::SockRef::from(&connection.socket).set_linger(Some(Duration::ZERO)).unwrap(); // resets
    drop(connection);
    let _again = server.accept_stream();
    assert_eq!(fleet.tally().received.disconnects, 1);
}

#[test]
fn who_reads_slowly_takes_its_time() {
    let (_server, fleet, mut connection) = synced(&[0], Behaviour::ReadSlowly { bytes_a_second: 20_000 });
    let started = Instant::now();
    let sent = connection.fill(ResourceType::Cluster, 20_000) as u64;
    await_true("all is read", || fleet.tally().received.bytes >= sent);
    assert!(started.elapsed() >= Duration::from_millis(950), "{:?}", started.elapsed());
}

#[test]
fn who_reconnects_tells_what_it_has() {
    let (server, fleet, mut connection) = synced(&[0], Behaviour::Accept);
    fleet.reconnect(0..1);
    connection.await_close();
    let mut again = server.accept_stream();
    let requests = [again.next_request(), again.next_request()];
    assert_eq!(requests[0].node.as_ref().unwrap().id, "mesh/m/virtualNode/n");
    for request in &requests {
        let versions = initial_versions(std::slice::from_ref(request));
        assert_eq!(versions, [("first".to_owned(), "1".to_owned())].into());
    }
    assert_eq!(fleet.wait_synced(PATIENCE), 1, "it has everything, and nothing has to be sent");
    let tally = fleet.tally();
    assert_eq!((tally.received.disconnects, tally.connections, tally.sync.len()), (0, 1, 1));
}

#[test]
fn a_server_that_is_silent_until_it_has_news_has_accepted() {
    let (server, fleet, mut connection) = synced(&[0], Behaviour::Accept);
    fleet.reconnect(0..1);
    connection.await_close();
    let mut again = server.accept();
    again.await_stream();
    let (_, _) = (again.next_request(), again.next_request());
    assert_eq!(fleet.wait_synced(SOON), 0);
    again.answer_ping();
    assert_eq!(fleet.wait_synced(PATIENCE), 1);
}

#[test]
fn a_stream_that_ends_is_a_disconnect_and_comes_back() {
    type End = fn(&mut scripted::Connection);
    let ends: [(&str, End, bool, u64); 5] = [
        ("trailers", scripted::Connection::end_stream, true, 0),
        ("reset", scripted::Connection::reset_stream, true, 0),
        (
            "goaway, then reset",
            |connection| {
                connection.go_away(connection.stream());
                connection.reset_stream();
            },
            false,
            1,
        ),
        ("goaway before the stream", |connection| connection.go_away(0), false, 1),
        ("close", |connection| connection.socket.shutdown(std::net::Shutdown::Both).unwrap(), false, 0),
    ];
    for (how, end, is_same_connection, announced) in ends {
        let (server, fleet, mut connection) = synced(&[0], Behaviour::Accept);
        end(&mut connection);
        let mut other = None;
        if is_same_connection {
            connection.await_stream();
            connection.accept_stream();
        } else {
            other = Some(server.accept_stream());
        }
        assert_eq!(fleet.wait_synced(PATIENCE), 1, "{how}");
        assert_eq!(fleet.tally().received.disconnects, 1, "{how}");
        assert_eq!(fleet.tally().received.sent_away, announced, "{how}");
        assert_eq!(fleet.tally().connected, 1, "{how}");
        drop(other);
    }
}

#[test]
fn a_graceful_goaway_leaves_the_stream() {
    let (_server, fleet, mut connection) = synced(&[0], Behaviour::Accept);
    connection.go_away(connection.stream());
    connection.push(ResourceType::Cluster, "first", "2", "change-0-1");
    connection.await_ack();
    let tally = fleet.tally();
    assert_eq!((tally.received.disconnects, tally.connected), (0, 1));
}

#[test]
fn refused_connections_are_disconnects() {
    let server = Server::start();
    let address = server.address;
    drop(server);
    let fleet = Fleet::start(FleetSettings::new(address, Protocol::Delta)).expect("starts");
    fleet.add(vec![envoy(&[], Behaviour::Accept)]);
    await_true("two attempts", || fleet.tally().received.disconnects >= 2);
    assert_eq!((fleet.tally().connected, fleet.wait_synced(SOON)), (0, 0));
}

#[test]
fn what_cannot_be_understood_ends_the_connection() {
    let (server, fleet, mut connection) = synced(&[0], Behaviour::Accept);
    connection.send(b"\x12\x7f");
    let _again = server.accept_stream();
    assert_eq!(fleet.tally().received.disconnects, 1);
}

#[test]
fn who_is_removed_vanishes() {
    let (_server, fleet, mut connection) = synced(&[0], Behaviour::Accept);
    expect(&fleet, 0, 1);
    fleet.remove(0..1);
    connection.await_close();
    assert_eq!(fleet.wait_for((0, 1), PATIENCE).consumers, 0);
    let tally = fleet.tally();
    assert_eq!((tally.envoys, tally.connected, tally.synced, tally.outstanding), (0, 0, 0, 0));
    assert_eq!(fleet.add(vec![envoy(&[0], Behaviour::Accept)]), 1..2);
}

#[test]
fn an_ack_waits_for_the_servers_credit() {
    let (_server, fleet, mut connection) = synced(&[0], Behaviour::Accept);
    connection.set_window(0);
    expect(&fleet, 0, 1);
    connection.push(ResourceType::Cluster, "first", "2", "change-0-1");
    let propagation = fleet.wait_for((0, 1), SOON);
    assert_eq!((propagation.received, propagation.accepted), (1, 0));
    assert_eq!((propagation.missing.len(), fleet.tally().received.lost), (0, 0), "it is not lost");
    let used = connection.used();
    connection.give_credit(used);
    assert!(connection.is_silent(SOON), "what was taken back has to be given first");
    connection.give_credit(3);
    assert_eq!(connection.next_data(), [0, 0, 0]);
    connection.give_credit(1000);
    let propagation = fleet.wait_for((0, 1), PATIENCE);
    assert_eq!((propagation.received, propagation.accepted), (1, 1));
}

#[test]
fn a_fleet_is_quiet_when_nothing_comes() {
    let (_server, fleet, mut connection) = synced(&[0], Behaviour::Accept);
    std::thread::scope(|scope| {
        let pushing = scope.spawn(move || {
            for version in 2..12 {
                connection.push(ResourceType::Cluster, "first", &version.to_string(), "");
                std::thread::sleep(Duration::from_millis(20));
            }
            connection
        });
        assert!(fleet.wait_quiet(Duration::from_secs(2), PATIENCE));
        assert_eq!(fleet.tally().received.pushes, 10);
        pushing.join().unwrap();
    });
    assert!(!fleet.wait_quiet(PATIENCE, SOON));
}
