//! What happens to a fleet, scenario by scenario, and what must hold of it.

use std::time::Duration;

use super::agenda::{Micros, SECOND};
use super::outcome::{Bound, Outcome, Recovery, Statement};
use super::settings::{Balancing, DRAIN, DRAIN_PAUSE_MAX, Retry, STARTING, Settings};
use super::tally::{Return, Second, Tally};
use super::world::{Incident, World};

/// Machines that have died are replaced after this time.
const REPLACED_AFTER: Micros = 300 * SECOND;
/// How long a balancer is away that restarts.
const BALANCER_RESTART: Micros = 10 * SECOND;
/// A rolling restart takes one in so many hosts at a time.
const ROLLING_PART: usize = 100;
/// From one such part to the next: until the hosts have ended and started, and a balancer has noticed.
const ROLLING_STEP: Micros = DRAIN + STARTING + 4 * SECOND;
/// Intervals that are watched after an incident.
const ECHOES: u32 = 3;
/// A balancer's list of hosts is without those that have died after this time.
const FORGOTTEN_AFTER: Micros = 30 * SECOND;
/// How long an Envoy waits on average that has waited most often already, in seconds.
const LONGEST_MEAN_PAUSE: f64 = 15.0;

/// Something that happens to a fleet of hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// Nothing but forced reconnects
    Steady,
    /// One empty host more
    NewHost,
    /// A tenth more hosts, all empty
    NewHosts,
    /// A tenth of the hosts dies at once
    LoseTenth,
    /// The same where hosts are 95 % full, until they are replaced after five minutes
    LoseTenthNearlyFull,
    /// Half of the hosts dies at once, until they are replaced after five minutes
    LoseHalf,
    /// The balancer is away for ten seconds, and all connections with it
    BalancerRestart,
    /// All hosts restart, one in a hundred at a time
    RollingRestart,
    /// For contrast: the balancer restarts, and all connections live equally long
    PoisonEqualLives,
    /// For contrast: half of the hosts dies, and Envoys try again every half a second
    PoisonNoBackOff,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Steady,
        Self::NewHost,
        Self::NewHosts,
        Self::LoseTenth,
        Self::LoseTenthNearlyFull,
        Self::LoseHalf,
        Self::BalancerRestart,
        Self::RollingRestart,
        Self::PoisonEqualLives,
        Self::PoisonNoBackOff,
    ];

    /// How it is called in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::NewHost => "new-host",
            Self::NewHosts => "new-hosts",
            Self::LoseTenth => "lose-tenth",
            Self::LoseTenthNearlyFull => "lose-tenth-nearly-full",
            Self::LoseHalf => "lose-half",
            Self::BalancerRestart => "balancer-restart",
            Self::RollingRestart => "rolling-restart",
            Self::PoisonEqualLives => "poison-equal-lives",
            Self::PoisonNoBackOff => "poison-no-back-off",
        }
    }

    /// What happens, in a sentence.
    pub fn question(self) -> &'static str {
        match self {
            Self::Steady => {
                "Nothing happens but forced reconnects: how even does the balancer keep the hosts?"
            }
            Self::NewHost => "One empty host more: when does it have its share?",
            Self::NewHosts => "A tenth more hosts, all empty: when do they have their share?",
            Self::LoseTenth => {
                "A tenth of the hosts dies at once: when is everybody back, and what do the others see of it?"
            }
            Self::LoseTenthNearlyFull => {
                "The same with hosts that are 95 % full, so that the rest cannot take all; five minutes later the dead are replaced."
            }
            Self::LoseHalf => {
                "Half of the hosts dies at once, and the rest cannot take all; five minutes later they are replaced."
            }
            Self::BalancerRestart => "The balancer is away for ten seconds, and all connections with it.",
            Self::RollingRestart => {
                "All hosts restart, one in a hundred at a time, each of which sends its Envoys away."
            }
            Self::PoisonEqualLives => {
                "For contrast: the balancer restarts, and all connections live equally long, without the jitter that hosts have."
            }
            Self::PoisonNoBackOff => {
                "For contrast: half of the hosts dies, and Envoys try again every half a second, without the back-off that they have."
            }
        }
    }

    /// Which balancers it is of interest for.
    pub fn balancings(self) -> &'static [Balancing] {
        match self {
            Self::Steady | Self::LoseTenth => &Balancing::ALL,
            Self::NewHost | Self::NewHosts => &[
                Balancing::Least,
                Balancing::TwoChoices,
                Balancing::TwoChoicesStale,
                Balancing::RoundRobin,
                Balancing::Random,
            ],
            Self::PoisonEqualLives | Self::PoisonNoBackOff => &[Balancing::Least],
            _ => &[Balancing::Least, Balancing::TwoChoicesStale],
        }
    }

    /// Runs it.
    pub fn run(self, settings: &Settings) -> Outcome {
        let mut settings = settings.clone();
        match self {
            Self::LoseTenthNearlyFull => {
                settings.envoys = settings.hosts * settings.envoys_per_host * 95 / 100;
            }
            Self::PoisonEqualLives => settings.jitter = 0.0,
            Self::PoisonNoBackOff => settings.retry = Retry::Constant,
            _ => {}
        }
        let every = |part: usize, from: usize| (from..settings.hosts).step_by(part).collect::<Vec<_>>();
        let more: Vec<usize> = match self {
            Self::NewHost => vec![settings.hosts],
            Self::NewHosts => (settings.hosts..settings.hosts + settings.hosts.div_ceil(10)).collect(),
            _ => Vec::new(),
        };

        // every connection has been where the balancer has put it
        let begins = settings.interval() / SECOND * 13 / 10 * SECOND;
        let mut world = World::new(settings.clone(), more.len());
        let replaced = begins + REPLACED_AFTER;
        let mut settled = begins;
        match self {
            Self::Steady => {}
            Self::NewHost | Self::NewHosts => world.plan(begins, Incident::Start(more.clone())),
            Self::LoseTenth => world.plan(begins, Incident::Die(every(10, 0))),
            Self::LoseTenthNearlyFull => {
                world.plan(begins, Incident::Die(every(10, 0)));
                world.plan(replaced, Incident::Start(every(10, 0)));
                settled = replaced;
            }
            Self::LoseHalf | Self::PoisonNoBackOff => {
                world.plan(begins, Incident::Die(every(2, 0)));
                world.plan(begins + FORGOTTEN_AFTER, Incident::Forget(every(2, 0)));
                world.plan(replaced, Incident::Start(every(2, 0)));
                settled = replaced;
            }
            Self::BalancerRestart | Self::PoisonEqualLives => {
                world.plan(begins, Incident::BalancerEnds);
                world.plan(begins + BALANCER_RESTART, Incident::BalancerStarts);
                settled = begins + BALANCER_RESTART;
            }
            Self::RollingRestart => {
                let part = ROLLING_PART.min(settings.hosts);
                for step in 0..part {
                    let at = begins + ROLLING_STEP * step as Micros;
                    world.plan(at, Incident::Leave(every(part, step)));
                    world.plan(at + DRAIN + STARTING, Incident::Start(every(part, step)));
                }
                settled = begins + ROLLING_STEP * part as Micros;
            }
        }
        let after = match self {
            Self::NewHost | Self::NewHosts => 3 * settings.interval() / 2,
            Self::Steady => 2 * settings.interval(),
            Self::RollingRestart => settings.interval() / 2,
            _ => settings.interval() * (Micros::from(ECHOES) * 5 + 1) / 4,
        };
        let ends = settled.max(begins) + after;
        let mut failures = Vec::new();
        let mut at = 0;
        while at < ends {
            at = (at + 600 * SECOND).min(ends);
            world.run(at + 1);
            failures.extend(world.audit().err());
        }
        let watched = Watched {
            scenario: self,
            settings: &settings,
            tally: world.tally(),
            begins: second_of(begins),
            settled: second_of(settled),
            ends: second_of(ends),
        };
        watched.outcome(failures)
    }
}

/// What a count hardly ever exceeds of which so many are expected: by five standard deviations, and somewhat more where
/// few are.
fn at_most_by_chance(expected: f64) -> f64 {
    expected + 5.0 * expected.sqrt() + 8.0
}

fn second_of(at: Micros) -> usize {
    usize::try_from(at / SECOND).unwrap_or(usize::MAX)
}

/// What was seen of a scenario.
struct Watched<'a> {
    scenario: Scenario,
    settings: &'a Settings,
    tally: &'a Tally,
    /// The second in which something happens.
    begins: usize,
    /// The second in which the last of it happens.
    settled: usize,
    ends: usize,
}

impl Watched<'_> {
    fn outcome(&self, mut failures: Vec<String>) -> Outcome {
        let steady = self.steady_rate();
        let seen = self.seconds(self.begins, self.ends);
        let total =
            |count: fn(&Second) -> u32| seen.iter().map(|second| u64::from(count(second))).sum::<u64>();
        let most = |count: fn(&Second) -> u32| seen.iter().map(count).max().unwrap_or_default();
        let last = seen.last().copied().unwrap_or_default();
        failures.truncate(3);
        let mut outcome = Outcome {
            scenario: self.scenario.name().to_owned(),
            question: self.scenario.question().to_owned(),
            balancing: self.settings.balancing.name().to_owned(),
            hosts: self.settings.hosts,
            envoys: self.settings.envoys,
            reconnects_per_second: steady,
            seconds: seen.len(),
            attempts: total(|second| second.attempts),
            refused: total(|second| second.refused),
            failed: total(|second| second.failed),
            attempts_a_second_max: most(|second| second.attempts),
            attempts_an_instant_max: most(|second| second.attempts_in_an_instant),
            came_to_a_host_a_second_max: most(|second| second.came_to_a_host),
            fewest: last.filled.fewest,
            median: last.filled.median,
            most: last.filled.most,
            away_at_the_end: last.away,
            recovery: self.recovery(),
            fair_share_after: self.fair_share_after(),
            moves: self.tally.cuts as f64 / self.settings.envoys as f64,
            echoes: self.echoes(),
            statements: Vec::new(),
            failures,
            course: super::outcome::course(
                self.seconds(self.begins.saturating_sub(300), self.ends),
                self.begins.min(300),
            ),
        };
        outcome.statements = self.statements(&outcome);
        outcome
    }

    fn seconds(&self, from: usize, to: usize) -> &[Second] {
        let all = &self.tally.seconds;
        let to = to.min(all.len());
        &all[from.min(to)..to]
    }

    /// Reconnects a second where everybody reconnects once an interval.
    fn steady_rate(&self) -> f64 {
        self.settings.envoys as f64 / self.settings.reconnect_interval.as_secs_f64()
    }

    /// When those were back whom an incident had cut off.
    fn recovery(&self) -> Option<Recovery> {
        let returns = &self.tally.returns;
        if self.tally.cuts == 0 {
            return None;
        }
        let mut after: Vec<Micros> = returns.iter().map(|Return { after, .. }| *after).collect();
        after.sort_unstable();
        let at = |share: f64| {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let place = ((share * self.tally.cuts as f64).ceil() as usize).max(1);
            after.get(place - 1).map(|&after| Duration::from_micros(after).as_secs_f64())
        };
        let attempts: u64 = returns.iter().map(|one| u64::from(one.attempts)).sum();
        Some(Recovery {
            cut: self.tally.cuts,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            all: at(1.0),
            attempts: attempts as f64 / returns.len().max(1) as f64,
            attempts_max: returns.iter().map(|one| one.attempts).max().unwrap_or_default(),
        })
    }

    /// The time from the start of new hosts until no host is below its share.
    fn fair_share_after(&self) -> Option<f64> {
        if !matches!(self.scenario, Scenario::NewHost | Scenario::NewHosts) {
            return None;
        }
        // where nobody counts, chance makes more of a difference than a tenth
        let is_fair = |second: &Second| {
            let mean = second.filled.mean;
            let below = if self.settings.balancing.counts() { 0.1 * mean } else { 4.5 * mean.sqrt() };
            f64::from(second.filled.fewest) >= mean - below
        };
        let seen = self.seconds(self.begins, self.ends);
        seen.iter().position(is_fair).map(|second| second as f64 + 1.0)
    }

    /// Reconnects a second in the busiest minute of the first, second and third interval after the last incident, by what they
    /// are on average.
    fn echoes(&self) -> Vec<f64> {
        if !self.has_echoes() {
            return Vec::new();
        }
        let interval = self.settings.reconnect_interval.as_secs_f64();
        let busiest = |period: u32| {
            let middle = interval * f64::from(period);
            let reach = (self.settings.jitter * middle).max(0.1 * interval);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let [from, to] = [middle - reach, middle + reach].map(|at| self.settled + at as usize);
            self.minutes(from, to, |second| second.opened).fold(0.0, f64::max) / self.steady_rate()
        };
        (1..=ECHOES).map(busiest).collect()
    }

    fn has_echoes(&self) -> bool {
        !matches!(
            self.scenario,
            Scenario::Steady | Scenario::NewHost | Scenario::NewHosts | Scenario::RollingRestart
        )
    }

    /// The mean of a second, minute by minute.
    fn minutes(&self, from: usize, to: usize, count: fn(&Second) -> u32) -> impl Iterator<Item = f64> {
        let mean = move |minute: &[Second]| {
            minute.iter().map(|second| f64::from(count(second))).sum::<f64>() / minute.len() as f64
        };
        self.seconds(from, to).chunks_exact(60).map(mean)
    }

    /// What must hold, each with what was found.
    fn statements(&self, outcome: &Outcome) -> Vec<Statement> {
        let steady = self.steady_rate();
        let all = outcome.envoys as f64;
        let cut = outcome.recovery.map_or(0.0, |recovery| recovery.cut as f64);
        let part = (cut / all).min(1.0);
        let mut told = vec![Statement::new(
            "most Envoys on a host, by its cap",
            self.most_ever() / self.settings.envoys_per_host as f64,
            Bound::AtMost(1.0),
        )];
        let mut state = |what: &str, found: f64, bound: Bound| told.push(Statement::new(what, found, bound));
        let peak = f64::from(outcome.attempts_a_second_max);
        // the greatest rate that the lives of connections can bring that have begun at once
        let wave = 1.0 - part + part / (2.0 * self.settings.jitter);
        let by_chance = |expected: f64| Bound::AtMost(at_most_by_chance(expected) / expected);
        match self.scenario {
            _ if !self.settings.balancing.is_sound() => {
                // a second brings more than there is room for where all go to
                if steady > self.room_on_a_host() {
                    let refused = outcome.refused as f64 / outcome.attempts as f64;
                    state(
                        "for contrast, a herd: refused by full hosts, by attempts",
                        refused,
                        Bound::AtLeast(0.1),
                    );
                }
            }
            Scenario::Steady => {
                state("attempts in the busiest second, by the mean", peak / steady, by_chance(steady));
                state(
                    "hosts that are full enough not to be ready at the end",
                    self.unready(),
                    Bound::AtMost(0.1),
                );
            }
            Scenario::NewHost | Scenario::NewHosts => {
                let most = match self.settings.balancing {
                    Balancing::Least | Balancing::LeastStale => 0.1,
                    Balancing::TwoChoices | Balancing::TwoChoicesStale => 0.6,
                    Balancing::RoundRobin | Balancing::Random => 1.3,
                };
                let after = outcome.fair_share_after.unwrap_or(f64::INFINITY);
                let interval = self.settings.reconnect_interval.as_secs_f64();
                state(
                    "time until no host is below its share, by the interval",
                    after / interval,
                    Bound::AtMost(most),
                );
            }
            Scenario::RollingRestart => {
                let away = self.seconds(self.begins, self.settled).iter().map(|second| second.away).max();
                let away = f64::from(away.unwrap_or_default());
                state("most Envoys without a stream at once, by all", away / all, Bound::AtMost(0.05));
                state("times that an Envoy is sent away", outcome.moves, Bound::AtMost(2.0));
                // as fast as full hosts are drained, each Envoy twice where its first attempt was refused, and the lives of those that
                // came together
                let hosts = self.settings.hosts.div_ceil(ROLLING_PART) as f64;
                let pause = (DRAIN / self.settings.envoys_per_host as Micros).min(DRAIN_PAUSE_MAX);
                let most = hosts * SECOND as f64 / pause as f64 + 2.5 * steady;
                state(
                    "attempts in the busiest second, by drained and steady ones",
                    peak / most,
                    by_chance(most),
                );
                state(
                    "Envoys that are not back at the end, by a second's reconnects",
                    f64::from(outcome.away_at_the_end) / steady,
                    by_chance(steady),
                );
            }
            Scenario::PoisonEqualLives => {
                for (period, echo) in outcome.echoes.iter().enumerate() {
                    let what = format!(
                        "a storm comes back {} intervals later: its busiest minute, by the mean",
                        period + 1
                    );
                    state(&what, *echo, Bound::AtLeast(10.0));
                }
            }
            Scenario::PoisonNoBackOff => {
                let persistence = self.persistence() * LONGEST_MEAN_PAUSE;
                state(
                    "a storm lasts: attempts of those without a stream, by one each 15 s",
                    persistence,
                    Bound::AtLeast(2.0),
                );
            }
            Scenario::LoseTenth
            | Scenario::LoseTenthNearlyFull
            | Scenario::LoseHalf
            | Scenario::BalancerRestart => {
                let back = outcome.recovery.and_then(|recovery| recovery.all).unwrap_or(f64::INFINITY);
                let last = (self.settled - self.begins) as f64;
                state(
                    "seconds until all are back, from when there is room",
                    (back - last).max(0.0),
                    Bound::AtMost(60.0),
                );
                let most = 2.0 * cut + wave * steady;
                state(
                    "attempts in the busiest second, by two of each that was cut off",
                    peak / most,
                    by_chance(most),
                );
                state(
                    "attempts a minute later, by one each 15 s of those without a stream",
                    self.decay(),
                    Bound::AtMost(1.5),
                );
                let a_minute = steady * 60.0;
                for (period, echo) in outcome.echoes.iter().enumerate() {
                    let what = format!("busiest minute {} intervals later, by the mean", period + 1);
                    state(&what, *echo, Bound::AtMost(at_most_by_chance(wave * a_minute) / a_minute));
                }
                if let [first, .., last] = outcome.echoes[..] {
                    state("the third of these, by the first", last / first, by_chance(a_minute));
                }
            }
        }
        told
    }

    fn room_on_a_host(&self) -> f64 {
        (self.settings.envoys_per_host - self.settings.envoys / self.settings.hosts) as f64
    }

    fn most_ever(&self) -> f64 {
        let all = self.seconds(0, self.ends).iter();
        f64::from(all.map(|second| second.filled.most).max().unwrap_or_default())
    }

    /// Whether hosts are full at the end, all or the hundredth that is fullest.
    fn unready(&self) -> f64 {
        let limit = self.settings.envoys_per_host as f64 * 0.95;
        let last = self.seconds(0, self.ends).last().copied().unwrap_or_default();
        let full = |count: u32| f64::from(count) >= limit;
        if full(last.filled.median) {
            0.5
        } else if full(last.filled.p99) {
            0.01
        } else {
            0.0
        }
    }

    /// Attempts in each minute from the second on until the last incident and after it, by those that Envoys make that have
    /// waited longest already, and one for each stream; the greatest.
    fn decay(&self) -> f64 {
        let minutes = |from: usize, to: usize| {
            let attempts = self.minutes(from, to, |second| second.attempts);
            let away = self.minutes(from, to, |second| second.away);
            let opened = self.minutes(from, to, |second| second.opened);
            attempts.zip(away).zip(opened).map(|((attempts, away), opened)| {
                let expected = away / LONGEST_MEAN_PAUSE + opened;
                attempts * 60.0 / at_most_by_chance(expected * 60.0)
            })
        };
        let before = minutes(self.begins + 60, self.settled);
        let after = minutes(self.settled + 60, self.ends);
        before.chain(after).fold(0.0, f64::max)
    }

    /// Attempts a second for each Envoy without a stream, in the quietest minute from the second on until the last incident.
    fn persistence(&self) -> f64 {
        let (from, to) = (self.begins + 60, self.settled);
        let attempts = self.minutes(from, to, |second| second.attempts);
        let away = self.minutes(from, to, |second| second.away);
        attempts.zip(away).map(|(attempts, away)| attempts / away).fold(f64::INFINITY, f64::min)
    }
}
