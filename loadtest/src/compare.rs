//! Scenarios against several servers, interleaved and repeated, so that what the machine does meanwhile hits all alike.

use clap::{Args, Command, FromArgMatches, ValueEnum};

use crate::lab::Lab;
use crate::run::Run;
use crate::scenario::Scenario;
use crate::scenario::backends::Backends;
use crate::scenario::connect_storm::ConnectStorm;
use crate::scenario::hot_change::HotChange;
use crate::scenario::irrelevant_envoys::IrrelevantEnvoys;
use crate::scenario::irrelevant_services::IrrelevantServices;
use crate::scenario::mass_reconnect::MassReconnect;
use crate::scenario::nackers::Nackers;
use crate::scenario::spread_change::SpreadChange;
use crate::scenario::stalled_readers::StalledReaders;
use crate::server::ServerKind;

/// Run scenarios against several servers, one after the other, and all of it again
#[derive(Clone, Debug, clap::Args)]
pub struct Comparison {
    /// The servers [default: all]
    #[arg(long, value_enum, value_delimiter = ',')]
    servers: Vec<ServerKind>,

    /// The scenarios, which run with their defaults [default: all]
    #[arg(long, value_enum, value_delimiter = ',')]
    scenarios: Vec<Compared>,

    /// How often each is run against each
    #[arg(long, default_value_t = 3)]
    repetitions: usize,
}

/// A scenario of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Compared {
    ConnectStorm,
    HotChange,
    SpreadChange,
    Backends,
    StalledReaders,
    MassReconnect,
    IrrelevantEnvoys,
    IrrelevantServices,
    Nackers,
}

impl Compared {
    /// As its subcommand is called.
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    fn scenario(self) -> anyhow::Result<Box<dyn Scenario>> {
        Ok(match self {
            Self::ConnectStorm => Box::new(with_defaults::<ConnectStorm>()?),
            Self::HotChange => Box::new(with_defaults::<HotChange>()?),
            Self::SpreadChange => Box::new(with_defaults::<SpreadChange>()?),
            Self::Backends => Box::new(with_defaults::<Backends>()?),
            Self::StalledReaders => Box::new(with_defaults::<StalledReaders>()?),
            Self::MassReconnect => Box::new(with_defaults::<MassReconnect>()?),
            Self::IrrelevantEnvoys => Box::new(with_defaults::<IrrelevantEnvoys>()?),
            Self::IrrelevantServices => Box::new(with_defaults::<IrrelevantServices>()?),
            Self::Nackers => Box::new(with_defaults::<Nackers>()?),
        })
    }

    /// Whether servers other than Legation are of interest: not where it is compared with itself, and no recorded content
    /// has what it takes.
    fn compares_servers(self) -> bool {
        !matches!(self, Self::IrrelevantServices | Self::Nackers)
    }
}

/// The scenario as its subcommand without flags makes it.
fn with_defaults<S: Args + FromArgMatches>() -> anyhow::Result<S> {
    let command = S::augment_args(Command::new("defaults"));
    Ok(S::from_arg_matches(&command.try_get_matches_from(["defaults"])?)?)
}

impl Comparison {
    /// Runs everything, in each repetition beginning with another server. A run that cannot be finished is told of among its
    /// failures, and the others go on. After each run `keep` gets all that there are.
    pub fn run(
        &self,
        lab: &mut Lab,
        keep: impl Fn(&[Run]) -> anyhow::Result<()>,
    ) -> anyhow::Result<Vec<Run>> {
        let servers = or_all(&self.servers);
        let mut runs = Vec::new();
        for compared in or_all(&self.scenarios) {
            let scenario = compared.scenario()?;
            for repetition in 0..self.repetitions {
                for server in in_turn(&servers, repetition) {
                    if !compared.compares_servers() && server.serves_content() {
                        continue;
                    }
                    lab.set_server(server);
                    let run = scenario.run(lab).unwrap_or_else(|error| {
                        let run = lab.run(&compared.name(), &[]);
                        Run { failures: vec![format!("it could not be finished: {error:#}")], ..run }
                    });
                    runs.push(Run { repetition, ..run });
                    keep(&runs)?;
                }
            }
        }
        Ok(runs)
    }
}

/// The servers in the order of a repetition: what comes first, or after a certain other, has no part in the medians.
fn in_turn(servers: &[ServerKind], repetition: usize) -> impl Iterator<Item = ServerKind> {
    let first = repetition % servers.len().max(1);
    servers.iter().cycle().skip(first).take(servers.len()).copied()
}

fn or_all<T: ValueEnum + Clone>(chosen: &[T]) -> Vec<T> {
    if chosen.is_empty() { T::value_variants().to_vec() } else { chosen.to_vec() }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::lab::LabArgs;

    /// What these words mean on the command line.
    fn parsed<A: Args + FromArgMatches>(words: &[&str]) -> A {
        let words = [&["test"], words].concat();
        let matches = A::augment_args(Command::new("test")).try_get_matches_from(words).unwrap();
        A::from_arg_matches(&matches).unwrap()
    }

    #[test]
    fn what_there_is_after_a_run_is_kept_also_where_it_could_not_be_finished() {
        let mut lab = Lab::new(parsed::<LabArgs>(&["--legation", "/nowhere/legation", "--quiet"])).unwrap();
        let flags =
            ["--servers", "legation", "--scenarios", "hot-change,spread-change", "--repetitions", "2"];
        let comparison: Comparison = parsed(&flags);
        let kept = RefCell::new(Vec::new());
        let keep = |runs: &[Run]| {
            let run = runs.last().unwrap();
            kept.borrow_mut().push((runs.len(), run.scenario.clone(), run.repetition));
            Ok(())
        };
        let runs = comparison.run(&mut lab, keep).unwrap();
        let expected =
            [(1, "hot-change", 0), (2, "hot-change", 1), (3, "spread-change", 0), (4, "spread-change", 1)];
        let expected = expected.map(|(count, scenario, repetition)| (count, scenario.to_owned(), repetition));
        assert_eq!(kept.take(), expected);
        assert!(runs.iter().all(|run| run.failures[0].starts_with("it could not be finished")), "{runs:#?}");

        let full = comparison.run(&mut lab, |_| anyhow::bail!("no space left"));
        assert_eq!(full.unwrap_err().to_string(), "no space left");
    }

    #[test]
    fn each_repetition_begins_with_another_server() {
        let servers = [ServerKind::Legation, ServerKind::FloorTonic, ServerKind::FloorH2];
        let check = |repetition, expected: [ServerKind; 3]| {
            assert_eq!(in_turn(&servers, repetition).collect::<Vec<_>>(), expected);
        };
        check(0, servers);
        check(1, [ServerKind::FloorTonic, ServerKind::FloorH2, ServerKind::Legation]);
        check(2, [ServerKind::FloorH2, ServerKind::Legation, ServerKind::FloorTonic]);
        check(3, servers);
        assert_eq!(in_turn(&[], 1).count(), 0);
    }

    #[test]
    fn scenarios_are_called_as_their_subcommands_are() {
        assert_eq!(Compared::ConnectStorm.name(), "connect-storm");
        assert_eq!(Compared::IrrelevantServices.name(), "irrelevant-services");
    }

    #[test]
    fn every_scenario_has_defaults() {
        for compared in Compared::value_variants() {
            assert!(compared.scenario().is_ok(), "{compared:?}");
        }
    }
}
