//! A fleet of simulated Envoys against one xDS server, and what they see of it.
//!
//! All Envoys live on one thread with one event loop, a TCP connection and an ADS stream each, so that the server under
//! test is the bottleneck and not they. [`Fleet`] is the handle of that thread.
//!
//! | module | holds |
//! |---|---|
//! | [`tally`] | what is counted, and by which rules |
//! | `changes` | who has received and accepted which change |
//! | `member` | a simulated Envoy with its connection |
//! | `back_off` | how long an Envoy waits before it tries again |
//! | `driver` | the thread: its events, timers and those who wait for something |

pub(crate) mod back_off;
mod changes;
mod driver;
mod member;
pub mod tally;

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use legation_proto::response::Protocol;
use mio::Waker;

use crate::content::RecordedResource;
pub use tally::Tally;

/// What a fleet is told once.
#[derive(Clone, Debug)]
pub struct FleetSettings {
    /// Where the server under test listens for Envoys.
    pub server: SocketAddr,
    /// The form of xDS that all Envoys speak.
    pub protocol: Protocol,
    /// The CPU that the thread is pinned to, if it shall be.
    pub cpu: Option<usize>,
    /// Whether the Envoys keep the bytes of what they have, for [`Fleet::contents`].
    pub keep_content: bool,
    /// Whether the marker of a change is its number modulo two, as that of recorded content, which has two variants.
    pub alternating_markers: bool,
}

impl FleetSettings {
    /// Unpinned, without content, from where the kernel decides.
    pub const fn new(server: SocketAddr, protocol: Protocol) -> Self {
        Self { server, protocol, cpu: None, keep_content: false, alternating_markers: false }
    }
}

/// A simulated Envoy, as it is told to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Simulated {
    /// `node.id`.
    pub node_id: String,
    /// The numbers of the services that it consumes: it should be told of their changes, and of no others.
    pub services: Vec<u32>,
    /// What it does with what it receives.
    pub behaviour: Behaviour,
}

/// What an Envoy does with what it receives. All but the first begin once it is synced on its connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Behaviour {
    /// ACKs every response at once.
    #[default]
    Accept,
    /// NACKs every response.
    Reject,
    /// Reads, and says nothing any more; what it would have said it says when its behaviour changes.
    StopAnswering,
    /// Reads nothing: its TCP window closes.
    StopReading,
    /// Reads and answers, slowly.
    ReadSlowly {
        /// How much it takes from its connection.
        bytes_a_second: u32,
    },
}

impl Behaviour {
    /// Whether it is waited for.
    const fn accepts(self) -> bool {
        matches!(self, Self::Accept)
    }
}

/// A change that is about to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The number of the service that changes.
    pub service: u32,
    /// Which change of it; each is higher than the one before.
    pub number: u64,
    /// When the call that makes it begins.
    pub started: Instant,
}

/// How far a change has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Propagation {
    /// The Envoys that should receive it: those that were connected when it was expected, consume the service, and
    /// accept.
    pub consumers: usize,
    /// How many of them have received it, or a later one.
    pub received: usize,
    /// How many of them have written their ACK.
    pub accepted: usize,
    /// When the last of these received it.
    pub last_receipt: Option<Instant>,
    /// When the last of these wrote its ACK.
    pub last_ack: Option<Instant>,
    /// The consumers that have not received it.
    pub missing: Vec<usize>,
}

impl Propagation {
    /// Whether every consumer has received and accepted it.
    pub const fn is_complete(&self) -> bool {
        self.accepted == self.consumers
    }
}

/// The handle of a fleet. To drop it closes all connections and ends the thread.
#[derive(Debug)]
pub struct Fleet {
    commands: Sender<Command>,
    changes: Sender<Change>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

/// What the thread is asked for.
#[derive(Debug)]
enum Command {
    Add(Vec<Simulated>, Sender<Range<usize>>),
    Remove(Range<usize>, Sender<()>),
    Reconnect(Range<usize>, Sender<()>),
    Behave(Range<usize>, Behaviour, Sender<()>),
    WaitFor { service: u32, number: u64, deadline: Instant, answer: Sender<Propagation> },
    WaitSynced { deadline: Instant, answer: Sender<usize> },
    WaitReceived { deadline: Instant, answer: Sender<bool> },
    GiveUp(Duration, Sender<()>),
    WaitQuiet { quiet: Duration, deadline: Instant, answer: Sender<bool> },
    Tally(Sender<Tally>),
    Reset(Sender<()>),
    Contents(usize, Sender<Vec<RecordedResource>>),
    End,
}

impl Fleet {
    /// Starts the thread, without Envoys. The process is allowed as many open files as the system permits it.
    ///
    /// # Errors
    ///
    /// If the thread or its event loop cannot be had, or the CPU is not there to be pinned to.
    pub fn start(settings: FleetSettings) -> io::Result<Self> {
        let (commands, commands_receiver) = mpsc::channel();
        let (changes, changes_receiver) = mpsc::channel();
        let (thread, waker) = driver::start(settings, commands_receiver, changes_receiver)?;
        Ok(Self { commands, changes, waker, thread: Some(thread) })
    }

    /// Adds Envoys, which all connect at once, and tells their numbers.
    pub fn add(&self, envoys: Vec<Simulated>) -> Range<usize> {
        self.ask(|answer| Command::Add(envoys, answer))
    }

    /// Lets Envoys vanish: their connections are closed, for good. Their numbers are not given again.
    pub fn remove(&self, envoys: Range<usize>) {
        self.ask(|answer| Command::Remove(envoys, answer));
    }

    /// Closes connections and opens them again at once; the Envoys tell the versions that they have.
    pub fn reconnect(&self, envoys: Range<usize>) {
        self.ask(|answer| Command::Reconnect(envoys, answer));
    }

    /// Changes what Envoys do.
    pub fn behave(&self, envoys: Range<usize>, behaviour: Behaviour) {
        self.ask(|answer| Command::Behave(envoys, behaviour, answer));
    }

    /// Tells of a change, before the call that makes it. Returns at once.
    pub fn expect(&self, change: Change) {
        // not woken: the thread looks here whenever it has read something
        if self.changes.send(change).is_err() {
            thread_has_ended();
        }
    }

    /// Waits until every consumer of a change that was expected has received it and answered. After `timeout` it is lost
    /// for those that have not received it. A change that was not expected has no consumers.
    pub fn wait_for(&self, (service, number): (u32, u64), timeout: Duration) -> Propagation {
        let deadline = Instant::now() + timeout;
        self.ask(|answer| Command::WaitFor { service, number, deadline, answer })
    }

    /// Waits until every Envoy has an answer to everything that it asked for, by name or wildcard; how many have.
    pub fn wait_synced(&self, timeout: Duration) -> usize {
        let deadline = Instant::now() + timeout;
        self.ask(|answer| Command::WaitSynced { deadline, answer })
    }

    /// Counts changes that began longer ago as lost for those consumers that lack them, unless they were counted before.
    pub fn give_up(&self, after: Duration) {
        self.ask(|answer| Command::GiveUp(after, answer));
    }

    /// Waits until every change that was expected has reached all its consumers. Whether it came to that.
    pub fn wait_received(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        self.ask(|answer| Command::WaitReceived { deadline, answer })
    }

    /// Waits until, from now on, no response was received for so long. Whether it came to that.
    pub fn wait_quiet(&self, quiet: Duration, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        self.ask(|answer| Command::WaitQuiet { quiet, deadline, answer })
    }

    /// What was counted since the start, or the last [`reset`](Self::reset).
    pub fn tally(&self) -> Tally {
        self.ask(Command::Tally)
    }

    /// Begins to count anew. Changes that are under way stay so.
    pub fn reset(&self) {
        self.ask(Command::Reset);
    }

    /// What an Envoy has now, sorted by type and name; nothing without
    /// [`keep_content`](FleetSettings::keep_content).
    pub fn contents(&self, envoy: usize) -> Vec<RecordedResource> {
        self.ask(|answer| Command::Contents(envoy, answer))
    }

    fn ask<T>(&self, command: impl FnOnce(Sender<T>) -> Command) -> T {
        let (answer, answers): (Sender<T>, Receiver<T>) = mpsc::channel();
        if self.commands.send(command(answer)).is_err() || self.waker.wake().is_err() {
            thread_has_ended();
        }
        answers.recv().unwrap_or_else(|_| thread_has_ended())
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if self.commands.send(Command::End).is_ok() {
            let _ = self.waker.wake();
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic has been printed
        }
    }
}

/// The thread ends with its handle only, or by a panic, which goes on here.
fn thread_has_ended() -> ! {
    panic!("the thread of the fleet has ended");
}
