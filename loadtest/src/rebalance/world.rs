//! Hosts, Envoys and a balancer, and what happens among them.
//!
//! ```text
//!            pause                     to the balancer              to the host
//! Waiting ----------> Try: is there --------------------> Choose -------------> Arrive: backlog, then
//!    ^                a balancer?                                               accepted or refused
//!    |                    | no                                                        |
//!    +--------------------+------------------- refused, lost, ended <------------ Opening ---> Connected
//! ```

use fastrand::Rng;

use super::agenda::{Agenda, Micros, SECOND};
use super::balancer::Balancer;
use super::host::{Host, Standing};
use super::settings::{
    BACKLOG, CHECK_INTERVAL, CONNECT_ATTEMPTS, CONNECT_TIMEOUT, DRAIN, DRAIN_PAUSE_MAX,
    ENVOY_CONNECT_TIMEOUT, LATENCY, OPENING_CPU, OPENING_LATENCY, OPENING_MAX, REFUSAL_CPU, Retry, Settings,
    micros,
};
use super::tally::Tally;
use crate::fleet::back_off::BackOff;

/// Checks of hosts are made in so many portions, spread over their interval.
const CHECK_PORTIONS: usize = 10;

/// The pause of those that do not back off.
const CONSTANT_PAUSE: Micros = SECOND / 2;

/// Something from outside that changes what there is.
#[derive(Clone, Debug)]
pub(super) enum Incident {
    /// The machines of these hosts die, and all their connections at once.
    Die(Vec<usize>),
    /// The balancer is told that these hosts are no more.
    Forget(Vec<usize>),
    /// These hosts have been started, and serve.
    Start(Vec<usize>),
    /// These hosts are told to end: they accept nobody, and send away one Envoy after the other.
    Leave(Vec<usize>),
    /// The balancer ends, and all connections with it.
    BalancerEnds,
    /// The balancer is there again.
    BalancerStarts,
}

#[derive(Debug)]
enum Event {
    /// An Envoy connects.
    Try(usize, u32),
    /// The balancer chooses a host for it; how many it has tried.
    Choose(usize, u32, u8),
    /// Its connection comes to a host.
    Arrive(usize, u32, u8, usize),
    /// Its connection has failed or was refused.
    Fail(usize, u32),
    /// It has its configuration.
    Opened(usize, u32),
    /// Its connection has lived its time.
    Lived(usize, u32),
    /// Its connection is ended; whether it had only lived its time.
    End(usize, u32, bool),
    Check(usize),
    Look,
    Sample,
    Incident(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It waits before it tries again, or is on its way to a host.
    Away,
    /// It waits for this host to accept it.
    Queued(usize),
    /// This host has accepted it.
    Opening(usize),
    /// This host has sent it what it should have.
    Connected(usize),
}

/// An Envoy.
#[derive(Debug)]
struct Envoy {
    state: State,
    back_off: BackOff,
    /// What is planned for one connection does not concern the next.
    connection: u32,
    /// When an incident took its stream away, until it has another.
    cut_at: Option<Micros>,
    attempts: u32,
    connected_at: Micros,
}

/// The simulation.
#[derive(Debug)]
pub(super) struct World {
    settings: Settings,
    now: Micros,
    chance: Rng,
    agenda: Agenda<Event>,
    envoys: Vec<Envoy>,
    hosts: Vec<Host>,
    balancer: Balancer,
    balancer_is_up: bool,
    /// When the balancer has established all connections that wait for it.
    balancer_busy_until: Micros,
    incidents: Vec<Incident>,
    tally: Tally,
}

impl World {
    /// All Envoys are connected, spread evenly over the hosts that there are at first; `more` can be started later.
    pub(super) fn new(settings: Settings, more: usize) -> Self {
        let all = settings.hosts + more;
        let mut world = Self {
            now: 0,
            chance: Rng::with_seed(settings.seed),
            agenda: Agenda::default(),
            envoys: Vec::with_capacity(settings.envoys),
            hosts: (0..all).map(|_| Host::default()).collect(),
            balancer: Balancer::new(settings.balancing, all),
            balancer_is_up: true,
            balancer_busy_until: 0,
            incidents: Vec::new(),
            tally: Tally::default(),
            settings,
        };
        for host in 0..world.settings.hosts {
            world.hosts[host].standing = Standing::Up;
            world.balancer.add(host);
            world.balancer.checked(host, true, 0);
        }
        for envoy in 0..world.settings.envoys {
            let host = envoy % world.settings.hosts;
            world.envoys.push(Envoy {
                state: State::Connected(host),
                back_off: BackOff::default(),
                connection: 0,
                cut_at: None,
                attempts: 0,
                connected_at: 0,
            });
            world.hosts[host].connections += 1;
            world.balancer.count(host, true);
            let at = world.rest_of_a_life();
            world.agenda.add(at, Event::Lived(envoy, 0));
        }
        (0..CHECK_PORTIONS).for_each(|portion| world.agenda.add(0, Event::Check(portion)));
        if world.settings.balancing.staleness().is_some() {
            world.agenda.add(0, Event::Look);
        }
        world.agenda.add(SECOND, Event::Sample);
        world
    }

    /// Something will happen.
    pub(super) fn plan(&mut self, at: Micros, incident: Incident) {
        self.incidents.push(incident);
        self.agenda.add(at, Event::Incident(self.incidents.len() - 1));
    }

    /// Goes on until a time.
    pub(super) fn run(&mut self, end: Micros) {
        while let Some((at, event)) = self.agenda.next(end) {
            self.now = at;
            self.happen(event);
        }
        self.now = end;
    }

    /// What was seen.
    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Counts everything again that is counted along the way: the first difference, if there is any.
    pub(super) fn audit(&self) -> Result<(), String> {
        let mut connections = vec![0; self.hosts.len()];
        let mut opening = vec![0; self.hosts.len()];
        for envoy in &self.envoys {
            match envoy.state {
                State::Opening(host) => {
                    opening[host] += 1;
                    connections[host] += 1;
                }
                State::Connected(host) => connections[host] += 1,
                State::Away | State::Queued(_) => {}
            }
        }
        for (number, host) in self.hosts.iter().enumerate() {
            if (host.connections, host.opening) != (connections[number], opening[number]) {
                return Err(format!("host {number} has lost count of its connections"));
            }
            if host.connections > self.settings.envoys_per_host {
                return Err(format!("host {number} has {} connections", host.connections));
            }
            if host.opening > OPENING_MAX {
                return Err(format!("host {number} opens {} connections", host.opening));
            }
        }
        let connected = self.envoys.iter().filter(|envoy| matches!(envoy.state, State::Connected(_))).count();
        let away = self.envoys.len() - connected;
        if away != self.tally.away() {
            return Err(format!("{away} envoys are away, and not {}", self.tally.away()));
        }
        Ok(())
    }

    /// How many Envoys there are, and how many of them have a stream.
    #[cfg(test)]
    pub(super) fn population(&self) -> (usize, usize) {
        (self.envoys.len(), self.envoys.len() - self.tally.away())
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Try(envoy, connection) if self.is_current(envoy, connection) => self.try_to_connect(envoy),
            Event::Choose(envoy, connection, tried) if self.is_current(envoy, connection) => {
                self.choose(envoy, tried);
            }
            Event::Arrive(envoy, connection, tried, host) if self.is_current(envoy, connection) => {
                self.arrive(envoy, tried, host);
            }
            Event::Fail(envoy, connection) if self.is_current(envoy, connection) => self.wait(envoy),
            Event::Opened(envoy, connection) if self.is_current(envoy, connection) => self.opened(envoy),
            Event::Lived(envoy, connection) if self.is_current(envoy, connection) => self.lived(envoy),
            Event::End(envoy, connection, lived) if self.is_current(envoy, connection) => {
                if lived {
                    self.tally.forced(self.now);
                }
                self.lose(envoy, !lived);
            }
            Event::Try(..)
            | Event::Choose(..)
            | Event::Arrive(..)
            | Event::Fail(..)
            | Event::Opened(..)
            | Event::Lived(..)
            | Event::End(..) => {}
            Event::Check(portion) => self.check(portion),
            Event::Look => {
                self.balancer.look();
                if let Some(pause) = self.settings.balancing.staleness() {
                    self.agenda.add(self.now + pause, Event::Look);
                }
            }
            Event::Sample => {
                let serving = self.hosts.iter().filter(|host| host.standing == Standing::Up);
                self.tally.sample(self.now, serving.map(|host| host.connections));
                self.agenda.add(self.now + SECOND, Event::Sample);
            }
            Event::Incident(number) => self.incident(&self.incidents[number].clone()),
        }
    }

    fn is_current(&self, envoy: usize, connection: u32) -> bool {
        self.envoys[envoy].connection == connection
    }

    fn plan_for(&mut self, envoy: usize, at: Micros, event: fn(usize, u32) -> Event) {
        self.agenda.add(at, event(envoy, self.envoys[envoy].connection));
    }

    fn try_to_connect(&mut self, envoy: usize) {
        self.tally.attempt(self.now);
        self.envoys[envoy].attempts += 1;
        let turn = self.now.max(self.balancer_busy_until);
        if !self.balancer_is_up {
            self.wait(envoy);
        } else if turn > self.now + ENVOY_CONNECT_TIMEOUT {
            // its turn would come when it has given up
            self.plan_for(envoy, self.now + ENVOY_CONNECT_TIMEOUT, Event::Fail);
        } else {
            self.balancer_busy_until = turn + SECOND / Micros::from(self.settings.balancer_rate.max(1));
            self.plan_for(envoy, turn, |envoy, connection| Event::Choose(envoy, connection, 0));
        }
    }

    fn choose(&mut self, envoy: usize, tried: u8) {
        match self.balancer.choose(&mut self.chance, self.now) {
            Some(host) => {
                let connection = self.envoys[envoy].connection;
                self.agenda.add(self.now + LATENCY, Event::Arrive(envoy, connection, tried, host));
            }
            None => self.wait(envoy),
        }
    }

    fn arrive(&mut self, envoy: usize, tried: u8, host: usize) {
        let place = &mut self.hosts[host];
        let came = place.came(self.now);
        self.tally.came(self.now, came);
        let answered = match place.standing {
            Standing::Up if place.backlog.len() < BACKLOG => {
                place.backlog.push_back((envoy, self.envoys[envoy].connection));
                self.envoys[envoy].state = State::Queued(host);
                self.balancer.count(host, true);
                self.accept(host);
                return;
            }
            // nothing answers where the backlog is full, either
            Standing::Dead | Standing::Up => self.now + CONNECT_TIMEOUT,
            Standing::Absent | Standing::Leaving => self.now + LATENCY,
        };
        self.tally.failed(self.now);
        self.balancer.failed(host, self.now);
        let connection = self.envoys[envoy].connection;
        if tried + 1 < CONNECT_ATTEMPTS {
            self.agenda.add(answered, Event::Choose(envoy, connection, tried + 1));
        } else {
            self.agenda.add(answered, Event::Fail(envoy, connection));
        }
    }

    /// Accepts those who wait, while there are turns.
    fn accept(&mut self, host: usize) {
        while self.hosts[host].opening < OPENING_MAX {
            let Some((envoy, connection)) = self.hosts[host].backlog.pop_front() else { return };
            if !self.is_current(envoy, connection) {
                continue;
            }
            let place = &mut self.hosts[host];
            if place.connections >= self.settings.envoys_per_host {
                self.tally.refused(self.now);
                let told = place.work(self.now, REFUSAL_CPU);
                self.plan_for(envoy, told + LATENCY, Event::Fail);
                continue;
            }
            place.connections += 1;
            place.opening += 1;
            let opened = place.work(self.now, OPENING_CPU) + OPENING_LATENCY;
            self.envoys[envoy].state = State::Opening(host);
            self.plan_for(envoy, opened, Event::Opened);
            let life = self.now + self.life();
            self.plan_for(envoy, life, Event::Lived);
        }
    }

    fn opened(&mut self, number: usize) {
        let envoy = &mut self.envoys[number];
        let State::Opening(host) = envoy.state else { return };
        envoy.state = State::Connected(host);
        envoy.connected_at = self.now;
        envoy.back_off.reset();
        self.tally.opened(self.now, envoy.cut_at.take().map(|cut| self.now - cut), envoy.attempts);
        envoy.attempts = 0;
        self.hosts[host].opening -= 1;
        self.accept(host);
    }

    fn lived(&mut self, envoy: usize) {
        if let State::Opening(host) | State::Connected(host) = self.envoys[envoy].state {
            let turn = self.hosts[host].turn(self.now, self.settings.reconnects_per_second);
            self.plan_for(envoy, turn, |envoy, connection| Event::End(envoy, connection, true));
        }
    }

    /// An Envoy loses its connection, whatever became of it so far.
    fn lose(&mut self, number: usize, cut: bool) {
        let envoy = &mut self.envoys[number];
        if let State::Connected(_) = envoy.state {
            self.tally.lost();
            if cut {
                envoy.cut_at = Some(self.now);
                self.tally.cut();
            }
        }
        self.wait(number);
    }

    /// An Envoy has no connection, and tries again after a pause.
    fn wait(&mut self, number: usize) {
        let envoy = &mut self.envoys[number];
        let state = std::mem::replace(&mut envoy.state, State::Away);
        envoy.connection += 1;
        let pause = match self.settings.retry {
            Retry::BackOff => micros(envoy.back_off.pause(&mut self.chance)),
            Retry::Constant => CONSTANT_PAUSE,
        };
        self.plan_for(number, self.now + LATENCY + pause, Event::Try);
        match state {
            State::Away => {}
            State::Queued(host) => self.balancer.count(host, false),
            State::Opening(host) | State::Connected(host) => {
                self.balancer.count(host, false);
                self.hosts[host].connections -= 1;
                if let State::Opening(_) = state {
                    self.hosts[host].opening -= 1;
                    self.accept(host);
                }
            }
        }
    }

    fn check(&mut self, portion: usize) {
        for host in (portion..self.hosts.len()).step_by(CHECK_PORTIONS) {
            let is_ready = self.hosts[host].is_ready(self.settings.envoys_per_host);
            self.balancer.checked(host, is_ready, self.now);
        }
        let next = if self.now == 0 {
            // each portion at its own time from now on
            CHECK_INTERVAL / CHECK_PORTIONS as Micros * portion as Micros
        } else {
            0
        };
        self.agenda.add(self.now + CHECK_INTERVAL + next, Event::Check(portion));
    }

    fn incident(&mut self, incident: &Incident) {
        match incident {
            Incident::Die(hosts) => {
                let mut is_dead = vec![false; self.hosts.len()];
                for &host in hosts {
                    self.hosts[host].standing = Standing::Dead;
                    is_dead[host] = true;
                }
                self.cut(|host| is_dead[host]);
            }
            Incident::Forget(hosts) => hosts.iter().for_each(|&host| self.balancer.remove(host)),
            Incident::Start(hosts) => {
                for &host in hosts {
                    self.hosts[host].standing = Standing::Up;
                    self.balancer.add(host);
                }
            }
            Incident::Leave(hosts) => self.leave(hosts),
            Incident::BalancerEnds => {
                self.balancer_is_up = false;
                self.cut(|_| true);
            }
            Incident::BalancerStarts => {
                self.balancer_is_up = true;
                self.balancer_busy_until = self.now;
            }
        }
    }

    /// All connections to these hosts end at once, also those that are not accepted yet.
    fn cut(&mut self, is_cut: impl Fn(usize) -> bool) {
        for (number, host) in self.hosts.iter_mut().enumerate() {
            if is_cut(number) {
                host.backlog.clear();
            }
        }
        for envoy in 0..self.envoys.len() {
            if let State::Queued(host) | State::Opening(host) | State::Connected(host) =
                self.envoys[envoy].state
                && is_cut(host)
            {
                self.lose(envoy, true);
            }
        }
    }

    /// Each host sends one Envoy away after the other, those that came first at first; those that wait are told at once.
    fn leave(&mut self, hosts: &[usize]) {
        // one look at all Envoys for all of these hosts
        let mut on_host: Vec<Option<Vec<usize>>> = vec![None; self.hosts.len()];
        hosts.iter().for_each(|&host| on_host[host] = Some(Vec::new()));
        for (number, envoy) in self.envoys.iter().enumerate() {
            if let State::Opening(host) | State::Connected(host) = envoy.state
                && let Some(here) = &mut on_host[host]
            {
                here.push(number);
            }
        }
        for &host in hosts {
            self.hosts[host].standing = Standing::Leaving;
            let waiting = std::mem::take(&mut self.hosts[host].backlog);
            for (envoy, connection) in waiting {
                if self.is_current(envoy, connection) {
                    self.wait(envoy);
                }
            }
            let mut here = on_host[host].take().unwrap_or_default();
            here.sort_by_key(|&envoy| self.envoys[envoy].connected_at);
            let pause = (DRAIN / here.len().max(1) as Micros).min(DRAIN_PAUSE_MAX);
            for (turn, envoy) in here.into_iter().enumerate() {
                let at = self.now + pause * turn as Micros;
                self.plan_for(envoy, at, |envoy, connection| Event::End(envoy, connection, false));
            }
        }
    }

    /// How long a connection lives.
    fn life(&mut self) -> Micros {
        let Settings { jitter, reconnect_interval, .. } = self.settings;
        micros(reconnect_interval.mul_f64(1.0 + jitter * (2.0 * self.chance.f64() - 1.0)))
    }

    /// How long a connection lives on that is found at a time that has nothing to do with it: it is a long one rather than
    /// a short one.
    fn rest_of_a_life(&mut self) -> Micros {
        let longest = micros(self.settings.reconnect_interval.mul_f64(1.0 + self.settings.jitter));
        loop {
            let life = self.life();
            if self.chance.u64(..=longest) <= life {
                return self.chance.u64(..=life);
            }
        }
    }
}
