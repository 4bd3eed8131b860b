//! The thread: its events, timers and those who wait for something.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io::{self, ErrorKind, Read};
use std::ops::Range;
use std::sync::mpsc::{Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use fastrand::Rng;
use legation_proto::response::Protocol;
use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token, Waker};
use socket2::{Domain, Socket, Type};

use super::changes::Changes;
use super::member::{Link, Member};
use super::tally::{Counts, Tally};
use super::{Behaviour, Change, Command, FleetSettings, Propagation, Simulated};
use crate::envoy::Envoy;
use crate::envoy::requests::Requests;
use crate::open_files;
use crate::server::pin::pinned;
use crate::server::process::thread_cpu;
use crate::wire::frame;

const WAKER: Token = Token(usize::MAX);
/// Bits of a token that tell the Envoy; those above tell the generation of its connection.
const NUMBER_BITS: u32 = usize::BITS - u16::BITS;
const EVENTS_AT_ONCE: usize = 1024;
const READ_BYTES: usize = 1 << 18;
/// How often those read who read slowly.
const SLOW_READS_A_SECOND: u32 = 20;

const SOTW_METHOD: &str = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources";
const DELTA_METHOD: &str = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";

pub(super) fn start(
    settings: FleetSettings,
    commands: Receiver<Command>,
    expected: Receiver<Change>,
) -> io::Result<(JoinHandle<()>, Waker)> {
    open_files::permit_all()?;
    let cpu = settings.cpu;
    let poll = Poll::new()?;
    let waker = Waker::new(poll.registry(), WAKER)?;
    let mut driver = Driver::new(settings, poll, commands, expected);
    let run = move || {
        if let Err(error) = driver.run() {
            panic!("the event loop of the fleet has failed: {error}");
        }
    };
    // a thread begins on the CPUs of the one that starts it
    let thread = pinned(cpu, || thread::Builder::new().name("fleet".to_owned()).spawn(run))??;
    Ok((thread, waker))
}

struct Driver {
    settings: FleetSettings,
    /// The header block of every stream.
    headers: Vec<u8>,
    poll: Poll,
    commands: Receiver<Command>,
    expected: Receiver<Change>,
    members: Vec<Member>,
    /// Who consumes a service, in ascending order.
    consumers: HashMap<u32, Vec<usize>>,
    timers: BinaryHeap<Reverse<(Instant, usize)>>,
    waiters: Vec<Waiter>,
    changes: Changes,
    counts: Counts,
    present: Present,
    /// CPU time of the thread at the last reset.
    cpu_at_reset: Duration,
    input: Vec<u8>,
    requests: Requests,
}

/// What is the case now, whatever was counted.
#[derive(Clone, Copy, Debug, Default)]
struct Present {
    envoys: usize,
    connected: usize,
    synced: usize,
}

/// Somebody who waits.
struct Waiter {
    deadline: Instant,
    goal: Goal,
}

enum Goal {
    Change { service: u32, number: u64, answer: Sender<Propagation> },
    Synced(Sender<usize>),
    Received(Sender<bool>),
    Quiet { begun: Instant, quiet: Duration, answer: Sender<bool> },
}

impl Driver {
    fn new(
        settings: FleetSettings,
        poll: Poll,
        commands: Receiver<Command>,
        expected: Receiver<Change>,
    ) -> Self {
        let method = match settings.protocol {
            Protocol::Sotw => SOTW_METHOD,
            Protocol::Delta => DELTA_METHOD,
        };
        Self {
            headers: frame::request_headers(&settings.server.to_string(), method),
            changes: Changes::new(settings.alternating_markers),
            settings,
            poll,
            commands,
            expected,
            members: Vec::new(),
            consumers: HashMap::new(),
            timers: BinaryHeap::new(),
            waiters: Vec::new(),
            counts: Counts::default(),
            present: Present::default(),
            cpu_at_reset: Duration::ZERO,
            input: vec![0; READ_BYTES],
            requests: Requests::default(),
        }
    }

    fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_AT_ONCE);
        loop {
            let pause = self.next_moment().map(|moment| moment.saturating_duration_since(Instant::now()));
            match self.poll.poll(&mut events, pause) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            for event in &events {
                if event.token() != WAKER {
                    self.on_event(event);
                }
            }
            while let Ok(command) = self.commands.try_recv() {
                self.take_expected(); // was told before the command was
                if matches!(command, Command::End) {
                    return Ok(());
                }
                self.obey(command);
            }
            self.on_time(Instant::now());
            self.answer_waiters(Instant::now());
        }
    }

    // what it is told

    /// A change is expected before it is made, so what is read is looked at after this.
    fn take_expected(&mut self) {
        while let Ok(change) = self.expected.try_recv() {
            let consumers = self.consumers.get(&change.service).into_iter().flatten().copied();
            let members = &self.members;
            let is_waited_for = |envoy: &usize| {
                let member: &Member = &members[*envoy];
                member.behaviour.accepts() && member.is_connected()
            };
            self.changes.expect(change, consumers.filter(is_waited_for));
        }
    }

    fn obey(&mut self, command: Command) {
        // an answer that nobody waits for any more is dropped
        match command {
            Command::Add(envoys, answer) => {
                let _ = answer.send(self.add(&envoys));
            }
            Command::Remove(envoys, answer) => {
                self.each(envoys, Self::remove);
                let _ = answer.send(());
            }
            Command::Reconnect(envoys, answer) => {
                self.each(envoys, Self::reconnect);
                let _ = answer.send(());
            }
            Command::Behave(envoys, behaviour, answer) => {
                self.each(envoys, |driver, envoy| driver.behave(envoy, behaviour));
                let _ = answer.send(());
            }
            Command::WaitFor { service, number, deadline, answer } => {
                self.waiters.push(Waiter { deadline, goal: Goal::Change { service, number, answer } });
            }
            Command::WaitSynced { deadline, answer } => {
                self.waiters.push(Waiter { deadline, goal: Goal::Synced(answer) });
            }
            Command::WaitReceived { deadline, answer } => {
                self.waiters.push(Waiter { deadline, goal: Goal::Received(answer) });
            }
            Command::GiveUp(after, answer) => {
                if let Some(before) = Instant::now().checked_sub(after) {
                    self.counts.tally.received.lost += self.changes.give_up_before(before);
                }
                let _ = answer.send(());
            }
            Command::WaitQuiet { quiet, deadline, answer } => {
                let goal = Goal::Quiet { begun: Instant::now(), quiet, answer };
                self.waiters.push(Waiter { deadline, goal });
            }
            Command::Tally(answer) => {
                let _ = answer.send(self.tally());
            }
            Command::Reset(answer) => {
                self.counts.reset();
                self.cpu_at_reset = cpu_time();
                let _ = answer.send(());
            }
            Command::Contents(envoy, answer) => {
                let contents = match self.members.get(envoy) {
                    Some(member) if self.settings.keep_content => member.envoy.contents(),
                    _ => Vec::new(),
                };
                let _ = answer.send(contents);
            }
            Command::End => {}
        }
    }

    /// Those of the Envoys that are there.
    fn each(&mut self, envoys: Range<usize>, act: impl Fn(&mut Self, usize)) {
        for envoy in envoys.start..envoys.end.min(self.members.len()) {
            if !self.members[envoy].removed {
                act(self, envoy);
            }
        }
    }

    fn add(&mut self, envoys: &[Simulated]) -> Range<usize> {
        let first = self.members.len();
        for (number, simulated) in (first..).zip(envoys) {
            let FleetSettings { protocol, keep_content, .. } = self.settings;
            let envoy = Envoy::new(protocol, &simulated.node_id, keep_content);
            let member = Member::new(number, simulated, envoy);
            for service in member.services() {
                self.consumers.entry(service).or_default().push(number);
            }
            self.members.push(member);
            self.present.envoys += 1;
            self.connect(number);
        }
        first..self.members.len()
    }

    fn remove(&mut self, envoy: usize) {
        self.close(envoy);
        self.present.envoys -= 1;
        let member = &mut self.members[envoy];
        member.removed = true;
        member.retry_at = None;
        for service in member.services() {
            self.changes.leave(envoy, service);
            if let Some(consumers) = self.consumers.get_mut(&service) {
                consumers.retain(|&consumer| consumer != envoy);
            }
        }
    }

    fn reconnect(&mut self, envoy: usize) {
        self.close(envoy);
        self.connect(envoy);
    }

    fn behave(&mut self, envoy: usize, behaviour: Behaviour) {
        let member = &mut self.members[envoy];
        member.behaviour = behaviour;
        if !behaviour.accepts() {
            for service in member.services() {
                self.changes.leave(envoy, service);
            }
        }
        if behaviour != Behaviour::StopAnswering {
            member.speak();
            self.write(envoy);
        }
        self.read(envoy); // what has come while nobody looked
    }

    fn tally(&self) -> Tally {
        let Present { envoys, connected, synced } = self.present;
        Tally {
            envoys,
            connected,
            synced,
            outstanding: self.changes.outstanding(),
            behind: self.changes.oldest_outstanding().map(|oldest| oldest.elapsed()).unwrap_or_default(),
            cpu: cpu_time().saturating_sub(self.cpu_at_reset),
            ..self.counts.tally.clone()
        }
    }

    // connections

    fn connect(&mut self, envoy: usize) {
        let now = Instant::now();
        self.counts.connection_begins(now);
        let member = &mut self.members[envoy];
        member.retry_at = None;
        member.generation = member.generation.wrapping_add(1);
        let token = Token(envoy | usize::from(member.generation) << NUMBER_BITS);
        let opened = open_socket(&self.settings).and_then(|mut socket| {
            self.poll.registry().register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
            Ok(socket)
        });
        match opened {
            Ok(socket) => member.link = Some(Link::new(socket, now)),
            Err(_) => self.stream_ended(envoy),
        }
    }

    fn open_stream(&mut self, envoy: usize) {
        self.members[envoy].open_stream(&self.headers, &mut self.requests, Instant::now());
        self.write(envoy);
    }

    /// The connection has ended, or did not come to be.
    fn lost(&mut self, envoy: usize) {
        self.close(envoy);
        if self.members[envoy].retry_at.is_none() {
            self.stream_ended(envoy);
        }
    }

    fn close(&mut self, envoy: usize) {
        let before = self.standing(envoy);
        let member = &mut self.members[envoy];
        member.link = None; // which closes it, and with that nothing is told of it any more
        member.read_at = None;
        self.stands(envoy, before);
    }

    /// It comes back when its back-off has passed, on the same connection if that is still there.
    fn stream_ended(&mut self, envoy: usize) {
        let member = &mut self.members[envoy];
        let at = Instant::now() + member.back_off.pause(&mut Rng::new());
        member.retry_at = Some(at);
        self.timers.push(Reverse((at, envoy)));
        let is_sent_away = member.link.as_ref().is_some_and(|link| link.connection.outgoing.is_going_away());
        let received = &mut self.counts.tally.received;
        received.disconnects += 1;
        received.sent_away += u64::from(is_sent_away);
        if is_sent_away {
            self.close(envoy);
        }
    }

    /// Whether it is connected, and synced.
    fn standing(&self, envoy: usize) -> (bool, bool) {
        let member = &self.members[envoy];
        (member.is_connected(), member.is_synced())
    }

    /// Takes into account what has become of an Envoy.
    fn stands(&mut self, envoy: usize, (was_connected, was_synced): (bool, bool)) {
        let (is_connected, is_synced) = self.standing(envoy);
        let Present { connected, synced, .. } = &mut self.present;
        *connected = *connected + usize::from(is_connected) - usize::from(was_connected);
        *synced = *synced + usize::from(is_synced) - usize::from(was_synced);
    }

    // events

    fn on_event(&mut self, event: &Event) {
        let Token(token) = event.token();
        let envoy = token & ((1 << NUMBER_BITS) - 1);
        let Some(member) = self.members.get_mut(envoy) else { return };
        if usize::from(member.generation) != token >> NUMBER_BITS {
            return;
        }
        let Some(link) = &mut member.link else { return };
        if !link.established {
            match link.socket.take_error() {
                Ok(None) => {}
                Ok(Some(_)) | Err(_) => return self.lost(envoy),
            }
            if !event.is_writable() || link.socket.peer_addr().is_err() {
                return;
            }
            link.established = true;
            self.open_stream(envoy);
        } else if event.is_error() || event.is_read_closed() && event.is_write_closed() {
            // also told to those who do not read; the others read to the end first
            if self.members[envoy].conduct() == Behaviour::StopReading {
                return self.lost(envoy);
            }
        } else if event.is_writable() && !link.connection.outgoing.buffer.is_empty() {
            self.write(envoy);
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.read(envoy);
        }
    }

    /// Reads and takes in all that there is, or what its behaviour lets it.
    fn read(&mut self, envoy: usize) {
        loop {
            match self.members[envoy].conduct() {
                Behaviour::StopReading => return,
                Behaviour::ReadSlowly { .. } => return self.read_later(envoy),
                _ => {}
            }
            if !self.read_once(envoy, READ_BYTES) {
                return;
            }
        }
    }

    fn read_later(&mut self, envoy: usize) {
        let member = &mut self.members[envoy];
        if member.read_at.is_none() {
            let at = Instant::now() + Duration::from_secs(1) / SLOW_READS_A_SECOND;
            member.read_at = Some(at);
            self.timers.push(Reverse((at, envoy)));
        }
    }

    /// Reads at most so much, and takes it in. Whether there may be more.
    fn read_once(&mut self, envoy: usize, length_max: usize) -> bool {
        let Some(link) = &mut self.members[envoy].link else { return false };
        if !link.established {
            return false;
        }
        let length = match link.socket.read(&mut self.input[..length_max]) {
            Ok(0) => {
                self.lost(envoy);
                return false;
            }
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(error) if error.kind() == ErrorKind::Interrupted => return true,
            Err(_) => {
                self.lost(envoy);
                return false;
            }
        };
        let now = Instant::now();
        self.counts.tally.received.bytes += length as u64;
        self.take_expected();
        let before = self.standing(envoy);
        let Self { members, changes, counts, input, requests, .. } = self;
        let member = &mut members[envoy];
        let taken = member.receive(&input[..length], now, requests, changes, counts);
        self.stands(envoy, before);
        if taken.is_err() {
            self.requests.clear();
            self.lost(envoy);
            return false;
        }
        self.write(envoy);
        let member = &mut self.members[envoy];
        if let Some(link) = &mut member.link
            && std::mem::take(&mut link.progress.ended)
        {
            self.stream_ended(envoy);
        }
        // less than was asked for is all that there was: what comes later is an event
        length == length_max
    }

    fn write(&mut self, envoy: usize) {
        let Self { members, changes, counts, .. } = self;
        let member = &mut members[envoy];
        let nothing_to_do = member
            .link
            .as_ref()
            .is_none_or(|link| !link.established || link.connection.outgoing.buffer.is_empty());
        if !nothing_to_do && member.write(changes, counts).is_err() {
            self.lost(envoy);
        }
    }

    // time

    fn next_moment(&self) -> Option<Instant> {
        let timer = self.timers.peek().map(|Reverse((at, _))| *at);
        let waiters = self.waiters.iter().map(|waiter| match waiter.goal {
            Goal::Quiet { begun, quiet, .. } => waiter.deadline.min(self.quiet_since(begun) + quiet),
            _ => waiter.deadline,
        });
        waiters.chain(timer).min()
    }

    fn on_time(&mut self, now: Instant) {
        while let Some(&Reverse((at, envoy))) = self.timers.peek()
            && at <= now
        {
            self.timers.pop();
            let member = &mut self.members[envoy];
            if member.retry_at == Some(at) {
                member.retry_at = None;
                match member.link {
                    Some(_) => {
                        self.counts.connection_begins(now);
                        self.open_stream(envoy);
                    }
                    None => self.connect(envoy),
                }
            } else if member.read_at == Some(at) {
                member.read_at = None;
                if let Behaviour::ReadSlowly { bytes_a_second } = member.conduct() {
                    let length = (bytes_a_second / SLOW_READS_A_SECOND).max(1);
                    self.read_once(envoy, READ_BYTES.min(length as usize));
                }
                self.read(envoy);
            }
        }
    }

    fn quiet_since(&self, begun: Instant) -> Instant {
        self.counts.last_push.map_or(begun, |last| last.max(begun))
    }

    fn answer_waiters(&mut self, now: Instant) {
        let mut position = 0;
        while let Some(waiter) = self.waiters.get(position) {
            let is_over = waiter.deadline <= now;
            let is_reached = match waiter.goal {
                Goal::Change { service, number, .. } => self.changes.is_complete(service, number),
                Goal::Synced(_) => self.present.synced == self.present.envoys,
                Goal::Received(_) => self.changes.outstanding() == 0,
                Goal::Quiet { begun, quiet, .. } => self.quiet_since(begun) + quiet <= now,
            };
            if !is_over && !is_reached {
                position += 1;
                continue;
            }
            match self.waiters.swap_remove(position).goal {
                Goal::Change { service, number, answer } => {
                    if !is_reached {
                        self.counts.tally.received.lost += self.changes.give_up(service, number);
                    }
                    let _ = answer.send(self.changes.propagation(service, number));
                }
                Goal::Synced(answer) => {
                    let _ = answer.send(self.present.synced);
                }
                Goal::Received(answer) | Goal::Quiet { answer, .. } => {
                    let _ = answer.send(is_reached);
                }
            }
        }
    }
}

/// A socket that begins to connect.
fn open_socket(settings: &FleetSettings) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(settings.server), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    match socket.connect(&settings.server.into()) {
        Err(error) if error.raw_os_error() != Some(nix::errno::Errno::EINPROGRESS as i32) => Err(error),
        _ => Ok(TcpStream::from_std(socket.into())),
    }
}

/// CPU time of this thread.
fn cpu_time() -> Duration {
    thread_cpu().unwrap_or_default()
}
