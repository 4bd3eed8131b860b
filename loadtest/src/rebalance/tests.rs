//! What a small fleet shows, and what must hold whatever happens to it.

use std::time::Duration;

use super::agenda::SECOND;
use super::outcome::{Bound, Outcome};
use super::scenario::Scenario;
use super::settings::{Balancing, OPENING_CPU, Retry, Settings};
use super::world::{Incident, World};

fn small(balancing: Balancing, seed: u64) -> Settings {
    Settings {
        hosts: 20,
        envoys: 1700,
        envoys_per_host: 100,
        reconnect_interval: Duration::from_secs(1800),
        jitter: 0.2,
        reconnects_per_second: 50,
        retry: Retry::BackOff,
        balancing,
        balancer_rate: 50_000,
        seed,
    }
}

fn run(scenario: Scenario, balancing: Balancing) -> Outcome {
    scenario.run(&small(balancing, 1))
}

#[track_caller]
fn holds(outcome: &Outcome) {
    let broken: Vec<_> = outcome.statements.iter().filter(|statement| !statement.holds()).collect();
    assert!(
        outcome.holds(),
        "{} of {}: {broken:#?}, {:?}",
        outcome.scenario,
        outcome.balancing,
        outcome.failures
    );
    assert!(!outcome.statements.is_empty());
}

#[test]
fn the_same_seed_gives_the_same_to_the_byte() {
    let text = |seed| {
        let outcome = Scenario::LoseHalf.run(&small(Balancing::TwoChoicesStale, seed));
        serde_json::to_string(&outcome).unwrap()
    };
    assert_eq!(text(1), text(1));
    assert_ne!(text(1), text(2));
}

#[test]
fn every_scenario_holds() {
    for scenario in Scenario::ALL {
        for &balancing in scenario.balancings() {
            holds(&run(scenario, balancing));
        }
    }
}

#[test]
fn those_who_lose_their_host_are_back_in_seconds() {
    let outcome = run(Scenario::LoseTenth, Balancing::Least);
    let recovery = outcome.recovery.unwrap();
    assert!(recovery.cut.abs_diff(170) <= 4, "{recovery:?}");
    assert!(recovery.p50.unwrap() < 2.0 && recovery.all.unwrap() < 10.0, "{recovery:?}");
    assert_eq!(outcome.refused, 0);
    assert!(outcome.away_at_the_end < 10, "only those whose lives have just ended");
}

#[test]
fn where_there_is_no_room_they_wait_until_there_is() {
    let outcome = run(Scenario::LoseHalf, Balancing::Least);
    let recovery = outcome.recovery.unwrap();
    // 10 hosts of 100 places for 1700
    assert!(recovery.p90.unwrap() > 300.0 && recovery.all.unwrap() < 360.0, "{recovery:?}");
    assert!(outcome.refused > 1000 && outcome.away_at_the_end < 10);
    let waiting = outcome.course.iter().find(|point| point.at == 200.0).unwrap();
    assert_eq!((waiting.away, waiting.most), (700, 100), "all places are taken");
}

#[test]
fn lives_without_jitter_bring_the_storm_back_and_those_with_it_do_not() {
    let storm = run(Scenario::PoisonEqualLives, Balancing::Least).echoes;
    let calm = run(Scenario::BalancerRestart, Balancing::Least).echoes;
    assert!(storm.iter().all(|&echo| echo > 10.0), "{storm:?}");
    assert!(calm.iter().all(|&echo| echo < 4.0), "{calm:?}");
    assert!(calm[2] < calm[0], "{calm:?}");
}

#[test]
fn a_stale_view_of_the_fewest_sends_a_herd_to_one_host() {
    // a reconnect interval of a minute: 30 a second, for 10 places
    let herd = |balancing| {
        let settings =
            Settings { envoys: 1800, reconnect_interval: Duration::from_secs(60), ..small(balancing, 1) };
        let outcome = Scenario::Steady.run(&settings);
        holds(&outcome);
        outcome.refused as f64 / outcome.attempts as f64
    };
    let refused = [Balancing::Least, Balancing::TwoChoicesStale, Balancing::LeastStale].map(herd);
    assert!(refused[0] < 0.001 && refused[1] < 0.01 && refused[2] > 0.1, "{refused:?}");
}

#[test]
fn a_host_opens_connections_no_faster_than_its_cpu_does() {
    let settings = Settings {
        hosts: 1,
        envoys: 900,
        envoys_per_host: 1000,
        retry: Retry::Constant, // all at once
        ..small(Balancing::Least, 1)
    };
    let mut world = World::new(settings, 0);
    world.plan(10 * SECOND, Incident::BalancerEnds);
    world.plan(10 * SECOND, Incident::BalancerStarts);
    for millisecond in 0..2000 {
        world.run(10 * SECOND + millisecond * 1000);
        world.audit().unwrap(); // no more than so many are open at a time
    }
    let opened: u32 = world.tally().seconds.iter().map(|second| second.opened).max().unwrap();
    assert_eq!(world.population(), (900, 900));
    assert!(u64::from(opened) <= SECOND / OPENING_CPU);
    let first = world.tally().returns.iter().map(|one| one.after).min().unwrap();
    let last = world.tally().returns.iter().map(|one| one.after).max().unwrap();
    assert!(last - first >= 899 * OPENING_CPU, "{first} to {last}");
}

/// Whatever happens, in whatever order: nobody is lost, no host holds more than it may, and in the end all who have room are
/// connected.
#[test]
fn nobody_is_lost_and_no_cap_exceeded_whatever_happens() {
    for seed in 0..60 {
        let mut chance = fastrand::Rng::with_seed(seed);
        let hosts = chance.usize(2..30);
        let envoys_per_host = chance.usize(5..80);
        let settings = Settings {
            hosts,
            envoys: hosts * envoys_per_host * chance.usize(20..=100) / 100,
            envoys_per_host,
            reconnect_interval: Duration::from_secs(chance.u64(60..600)),
            jitter: [0.0, 0.2, 0.5][chance.usize(..3)],
            reconnects_per_second: chance.u32(1..60),
            balancer_rate: chance.u32(50..5000),
            ..small(Balancing::ALL[chance.usize(..Balancing::ALL.len())], seed)
        };
        let envoys = settings.envoys;
        let mut world = World::new(settings, 2);
        let mut at = 0;
        for _ in 0..chance.usize(1..12) {
            at += chance.u64(0..120 * SECOND);
            let some: Vec<usize> = (0..hosts).filter(|_| chance.bool()).collect();
            let later = at + chance.u64(20 * SECOND..60 * SECOND);
            match chance.usize(..4) {
                0 => {
                    world.plan(at, Incident::Die(some.clone()));
                    world.plan(at + SECOND, Incident::Forget(some.clone()));
                    world.plan(later, Incident::Start(some));
                }
                1 => {
                    world.plan(at, Incident::Leave(some.clone()));
                    world.plan(later, Incident::Start(some));
                }
                2 => {
                    world.plan(at, Incident::BalancerEnds);
                    world.plan(later, Incident::BalancerStarts);
                }
                _ => world.plan(at, Incident::Start(vec![hosts, hosts + 1])),
            }
        }
        world.plan(at + 60 * SECOND, Incident::BalancerStarts);
        world.plan(at + 60 * SECOND, Incident::Start((0..hosts + 2).collect()));
        let mut now = 0;
        while now < at + 60 * SECOND {
            now += chance.u64(1..10 * SECOND);
            world.run(now);
            world.audit().unwrap_or_else(|wrong| panic!("seed {seed} at {now}: {wrong}"));
        }
        // two hosts more than at first: there is room, also for those whose lives end meanwhile
        let mut away = envoys;
        for _ in 0..300 {
            now += SECOND;
            world.run(now);
            away = away.min(world.population().0 - world.population().1);
        }
        world.audit().unwrap_or_else(|wrong| panic!("seed {seed} at the end: {wrong}"));
        assert_eq!(world.population().0, envoys);
        assert!(away * 20 <= envoys, "seed {seed}: {away} of {envoys} are away all the time");
    }
}

#[test]
fn a_statement_can_be_broken() {
    // a life without jitter, by statements that are for those with it
    let settings = Settings { jitter: 0.001, ..small(Balancing::Least, 1) };
    let outcome = Scenario::BalancerRestart.run(&settings);
    let echoes = outcome.echoes.clone();
    assert!(echoes[0] > 10.0, "{echoes:?}");
    // without a back-off
    let settings = Settings { retry: Retry::Constant, ..small(Balancing::Least, 1) };
    let outcome = Scenario::LoseHalf.run(&settings);
    assert!(!outcome.holds());
    // what must be at least so much is, in a scenario for contrast
    assert!(outcome.statements.iter().all(|statement| matches!(statement.bound, Bound::AtMost(_))));
}
