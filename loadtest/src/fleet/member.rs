//! A simulated Envoy with its connection, and what it makes of what it receives.

use std::io::{self, ErrorKind, Write};
use std::time::Instant;

use legation_proto::resource_type::ResourceType;
use mio::net::TcpStream;

use super::back_off::BackOff;
use super::changes::Changes;
use super::tally::Counts;
use super::{Behaviour, Simulated};
use crate::envoy::markers::markers;
use crate::envoy::requests::Requests;
use crate::envoy::{Envoy, Verdict};
use crate::wire::Violation;
use crate::wire::connection::{Connection, Event, Outgoing};

/// One of the fleet.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) number: usize,
    pub(super) envoy: Envoy,
    pub(super) behaviour: Behaviour,
    pub(super) watch: Watch,
    pub(super) link: Option<Link>,
    /// Counts connections, to tell events of the present one from those of others.
    pub(super) generation: u16,
    pub(super) back_off: BackOff,
    /// When it tries again.
    pub(super) retry_at: Option<Instant>,
    /// When it reads again.
    pub(super) read_at: Option<Instant>,
    pub(super) removed: bool,
}

/// What it watches out for.
#[derive(Debug)]
pub(super) struct Watch {
    /// The services that it consumes, sorted, with the highest change that it has seen.
    services: Vec<(u32, Option<u64>)>,
    /// Changes whose ACK is not written.
    unacknowledged: Vec<(u32, u64)>,
    /// Whether it ever had everything.
    was_synced: bool,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) socket: TcpStream,
    pub(super) established: bool,
    pub(super) connection: Connection,
    /// How much of the outgoing buffer is written.
    written: usize,
    pub(super) progress: Progress,
}

/// How far a stream has come.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) started: Instant,
    /// The server has taken it.
    pub(super) accepted: bool,
    /// The Envoy has everything that it asks for now.
    pub(super) synced: bool,
    /// It once had, on this stream: behaviours begin.
    pub(super) was_synced: bool,
    pub(super) ended: bool,
    /// Whether there was a response with endpoints.
    endpoints_came: bool,
    /// What it would have said.
    held: Requests,
}

impl Member {
    pub(super) fn new(number: usize, simulated: &Simulated, envoy: Envoy) -> Self {
        let mut services: Vec<_> = simulated.services.iter().map(|&service| (service, None)).collect();
        services.sort_unstable();
        services.dedup();
        Self {
            number,
            envoy,
            behaviour: simulated.behaviour,
            watch: Watch { services, unacknowledged: Vec::new(), was_synced: false },
            link: None,
            generation: 0,
            back_off: BackOff::default(),
            retry_at: None,
            read_at: None,
            removed: false,
        }
    }

    pub(super) fn services(&self) -> impl Iterator<Item = u32> {
        self.watch.services.iter().map(|&(service, _)| service)
    }

    pub(super) fn is_connected(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.progress.accepted)
    }

    pub(super) fn is_synced(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.progress.synced)
    }

    /// What it does now, which is to accept until it is synced.
    pub(super) fn conduct(&self) -> Behaviour {
        self.link.as_ref().map_or(Behaviour::Accept, |link| link.progress.conduct(self.behaviour))
    }

    /// Begins a stream on a connection that is established.
    pub(super) fn open_stream(&mut self, headers: &[u8], requests: &mut Requests, now: Instant) {
        let Some(link) = &mut self.link else { return };
        link.progress = Progress::new(now);
        link.connection.open_stream(headers);
        self.envoy.open(requests);
        for request in requests.iter() {
            link.connection.outgoing.send(request);
        }
        requests.clear();
        if self.watch.was_synced {
            // some servers accept a stream no sooner than they have something to say, which may be never
            link.connection.outgoing.ping();
        }
    }

    /// Takes in what was read at `now`.
    pub(super) fn receive(
        &mut self,
        input: &[u8],
        now: Instant,
        requests: &mut Requests,
        changes: &mut Changes,
        counts: &mut Counts,
    ) -> Result<(), Violation> {
        let Self { number, envoy, behaviour, watch, link, back_off, .. } = self;
        let Some(Link { connection, progress, .. }) = link else { return Ok(()) };
        connection.receive(input, |outgoing, event| {
            match event {
                Event::Accepted => progress.accepted = true,
                Event::Pong => progress.accepted |= outgoing.has_stream(),
                Event::Ended => progress.ended = true,
                Event::Message(response) => {
                    progress.accepted = true;
                    back_off.reset();
                    let conduct = progress.conduct(*behaviour);
                    let endpoints_came = &mut progress.endpoints_came;
                    watch.response(
                        *number,
                        envoy,
                        conduct,
                        endpoints_came,
                        response,
                        now,
                        requests,
                        changes,
                        counts,
                    )?;
                    progress.answer(conduct, requests, outgoing);
                }
            }
            progress.look(envoy, watch, now, counts);
            Ok(())
        })
    }

    /// Says what was held back.
    pub(super) fn speak(&mut self) {
        let Some(link) = &mut self.link else { return };
        for request in link.progress.held.iter() {
            link.connection.outgoing.send(request);
        }
        link.progress.held.clear();
    }

    /// Writes what can be written. What was received before is accepted when everything is.
    pub(super) fn write(&mut self, changes: &mut Changes, counts: &mut Counts) -> io::Result<()> {
        let Some(Link { socket, connection, written, .. }) = &mut self.link else { return Ok(()) };
        let outgoing = &mut connection.outgoing;
        while *written < outgoing.buffer.len() {
            match socket.write(&outgoing.buffer[*written..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(length) => *written += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        *written = 0;
        outgoing.buffer.clear();
        if !self.watch.unacknowledged.is_empty() && !outgoing.is_waiting() {
            let now = Instant::now();
            for (service, change) in self.watch.unacknowledged.drain(..) {
                changes.accept(self.number, service, change, now, counts);
            }
        }
        Ok(())
    }
}

impl Link {
    pub(super) fn new(socket: TcpStream, now: Instant) -> Self {
        Self {
            socket,
            established: false,
            connection: Connection::new(),
            written: 0,
            progress: Progress::new(now),
        }
    }
}

impl Progress {
    fn new(started: Instant) -> Self {
        Self {
            started,
            accepted: false,
            synced: false,
            was_synced: false,
            ended: false,
            endpoints_came: false,
            held: Requests::default(),
        }
    }

    const fn conduct(&self, behaviour: Behaviour) -> Behaviour {
        if self.was_synced { behaviour } else { Behaviour::Accept }
    }

    fn answer(&mut self, conduct: Behaviour, requests: &mut Requests, outgoing: &mut Outgoing) {
        for request in requests.iter() {
            if conduct == Behaviour::StopAnswering {
                self.held.add(|held| held.extend_from_slice(request));
            } else {
                outgoing.send(request);
            }
        }
        requests.clear();
    }

    /// Looks whether the Envoy has everything.
    fn look(&mut self, envoy: &Envoy, watch: &mut Watch, now: Instant, counts: &mut Counts) {
        self.accepted &= !self.ended;
        self.synced = self.accepted && envoy.has_everything();
        if self.synced && !self.was_synced {
            self.was_synced = true;
            watch.was_synced = true;
            counts.synced(self.started, now);
        }
    }
}

impl Watch {
    #[allow(clippy::too_many_arguments)] // all that a response touches
    fn response(
        &mut self,
        number: usize,
        envoy: &mut Envoy,
        conduct: Behaviour,
        endpoints_came: &mut bool,
        response: &[u8],
        now: Instant,
        requests: &mut Requests,
        changes: &mut Changes,
        counts: &mut Counts,
    ) -> Result<(), Violation> {
        let rejects = conduct == Behaviour::Reject;
        let verdict = if rejects { Verdict::Reject } else { Verdict::Accept };
        let learned = envoy.receive(response, verdict, requests)?;
        let (mut is_misdirected, mut is_new) = (false, learned.news);
        for (service, marker) in markers(response) {
            let change = changes.number(service, marker);
            let Ok(position) = self.services.binary_search_by_key(&service, |consumed| consumed.0) else {
                is_misdirected = true;
                continue;
            };
            let seen = &mut self.services[position].1;
            if !rejects && *seen < Some(change) {
                *seen = Some(change);
                is_new = true;
                changes.receive(number, service, change, now, counts);
                self.unacknowledged.push((service, change));
            }
        }
        counts.push(now, learned.resource_type);
        let received = &mut counts.tally.received;
        received.resources += learned.resources;
        let is_endpoints = learned.resource_type == Some(ResourceType::Endpoints);
        if is_endpoints {
            received.endpoints += learned.resources;
        }
        received.misdirected += u64::from(is_misdirected);
        received.rejected += u64::from(rejects);
        // a new stream is always answered that asks for endpoints: Envoys forget them now and then
        let is_always_answered = is_endpoints && !std::mem::replace(endpoints_came, true);
        let is_redundant = learned.resources > 0 && !is_new && !is_always_answered;
        received.redundant += u64::from(self.was_synced && !rejects && is_redundant);
        Ok(())
    }
}
