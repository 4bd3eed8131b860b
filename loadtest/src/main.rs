//! `legation-loadtest`: simulated fleets of Envoys, and what they see of a control plane.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use legation_loadtest::compare::Comparison;
use legation_loadtest::floor::Floor;
use legation_loadtest::lab::{Lab, LabArgs};
use legation_loadtest::rebalance::Rebalance;
use legation_loadtest::rebalance::outcome::Outcome;
use legation_loadtest::report::check::Budgets;
use legation_loadtest::report::{html, json, markdown, plots, rebalance, table};
use legation_loadtest::run::Run;
use legation_loadtest::scenario::Scenario;
use legation_loadtest::scenario::backends::Backends;
use legation_loadtest::scenario::churn::Churn;
use legation_loadtest::scenario::connect_storm::ConnectStorm;
use legation_loadtest::scenario::etcd_change::EtcdChange;
use legation_loadtest::scenario::full_pass::FullPass;
use legation_loadtest::scenario::hot_change::HotChange;
use legation_loadtest::scenario::irrelevant_envoys::IrrelevantEnvoys;
use legation_loadtest::scenario::irrelevant_services::IrrelevantServices;
use legation_loadtest::scenario::mass_reconnect::MassReconnect;
use legation_loadtest::scenario::nackers::Nackers;
use legation_loadtest::scenario::soak::Soak;
use legation_loadtest::scenario::spread_change::SpreadChange;
use legation_loadtest::scenario::stalled_readers::StalledReaders;
use tikv_jemallocator::Jemalloc;

/// What Legation has: the floors have it too, so that the allocator makes no difference between them.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Put a fleet of simulated Envoys on a control plane, and see what it costs
///
/// Each scenario starts a Legation host of its own, defines the mesh that it needs through its API, connects the fleet,
/// and tells how long changes took, what was sent, and what the host used. Other servers can be measured the same way.
///
/// The exit code is 0 if every change reached every consumer and, with --check, all budgets are kept; 1 if not; 2 if the
/// run could not be made.
#[derive(Debug, Parser)]
#[command(name = "legation-loadtest", version)]
struct Cli {
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Debug, Subcommand)]
enum Subcommands {
    ConnectStorm(Command<ConnectStorm>),
    HotChange(Command<HotChange>),
    SpreadChange(Command<SpreadChange>),
    IrrelevantEnvoys(Command<IrrelevantEnvoys>),
    IrrelevantServices(Command<IrrelevantServices>),
    Backends(Command<Backends>),
    Churn(Command<Churn>),
    StalledReaders(Command<StalledReaders>),
    MassReconnect(Command<MassReconnect>),
    Nackers(Command<Nackers>),
    Soak(Command<Soak>),
    EtcdChange(Command<EtcdChange>),
    FullPass(Command<FullPass>),
    Compare(Command<Comparison>),
    Rebalance(Simulation),
    Floor(Floor),
    Report(Report),
}

// A scenario or a comparison, where it happens, and what becomes of what it measures. What `--help` says of it is what `W` says of
// itself: this must have no doc comment, and of the parts the last one counts.
#[derive(Debug, clap::Args)]
struct Command<W: clap::Args> {
    #[command(flatten)]
    lab: LabArgs,

    #[command(flatten)]
    output: Output,

    #[command(flatten)]
    what: W,
}

/// Make reports of runs that were written with --json
#[derive(Debug, clap::Args)]
struct Report {
    /// Files of runs
    #[arg(required = true, value_name = "FILE")]
    runs: Vec<PathBuf>,

    #[command(flatten)]
    output: Output,
}

// A simulation, and what becomes of what it shows. As above.
#[derive(Debug, clap::Args)]
struct Simulation {
    /// Write what was seen as JSON; - is standard output, which has no tables then
    #[arg(long, value_name = "FILE", help_heading = "Reports")]
    json: Option<PathBuf>,

    /// Write a page with plots
    #[arg(long, value_name = "FILE", help_heading = "Reports")]
    html: Option<PathBuf>,

    /// Write tables into a page in Markdown, between its markers, and plots into the directory of its name
    #[arg(long, value_name = "FILE", help_heading = "Reports")]
    markdown: Option<PathBuf>,

    #[command(flatten)]
    what: Rebalance,
}

/// What becomes of what was measured.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Reports")]
struct Output {
    /// Write what was measured as JSON; - is standard output, which has no table then
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Write a report with plots
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// Write the comparison into a page in Markdown, between its markers, and plots into the directory of its name
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,

    /// Compare with budgets, all of them ratios
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<bool> {
    match cli.command {
        Subcommands::ConnectStorm(command) => command.run_scenario(),
        Subcommands::HotChange(command) => command.run_scenario(),
        Subcommands::SpreadChange(command) => command.run_scenario(),
        Subcommands::IrrelevantEnvoys(command) => command.run_scenario(),
        Subcommands::IrrelevantServices(command) => command.run_scenario(),
        Subcommands::Backends(command) => command.run_scenario(),
        Subcommands::Churn(command) => command.run_scenario(),
        Subcommands::StalledReaders(command) => command.run_scenario(),
        Subcommands::MassReconnect(command) => command.run_scenario(),
        Subcommands::Nackers(command) => command.run_scenario(),
        Subcommands::Soak(command) => command.run_scenario(),
        Subcommands::EtcdChange(command) => command.run_scenario(),
        Subcommands::FullPass(command) => command.run_scenario(),
        Subcommands::Compare(command) => {
            let mut lab = Lab::new(command.lab)?;
            let runs = command.what.run(&mut lab, |runs| command.output.keep(runs))?;
            command.output.write(&runs)
        }
        Subcommands::Rebalance(simulation) => simulation.run(),
        Subcommands::Floor(floor) => floor.run().map(|()| true),
        Subcommands::Report(report) => {
            let read =
                |path: &PathBuf| json::read(path).with_context(|| format!("cannot read {}", path.display()));
            let runs = report.runs.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
            report.output.write(&runs.concat())
        }
    }
}

impl<S: Scenario + clap::Args> Command<S> {
    fn run_scenario(self) -> anyhow::Result<bool> {
        let mut lab = Lab::new(self.lab)?;
        self.output.write(&[self.what.run(&mut lab)?])
    }
}

impl Simulation {
    /// Writes all that is asked for; whether all that must hold does.
    fn run(self) -> anyhow::Result<bool> {
        let outcomes = self.what.run()?;
        if let Some(path) = &self.json {
            json::write_all(&outcomes, path).with_context(|| format!("cannot write {}", path.display()))?;
        }
        if self.json.as_deref().is_none_or(|path| path.as_os_str() != "-") {
            print!("{}", rebalance::table(&outcomes));
        }
        let command = self.what.command();
        if let Some(path) = &self.html {
            std::fs::write(path, rebalance::page(&outcomes, &command))
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        if let Some(path) = &self.markdown {
            rebalance::write(path, &outcomes, &command)?;
        }
        Ok(outcomes.iter().all(Outcome::holds))
    }
}

impl Output {
    /// Whether standard output is for people to read.
    fn is_for_people(&self) -> bool {
        self.json.as_deref().is_none_or(|path| path.as_os_str() != "-")
    }

    /// Writes the runs as JSON, if that is asked for.
    fn write_json(&self, runs: &[Run]) -> anyhow::Result<()> {
        let Some(path) = &self.json else { return Ok(()) };
        json::write(runs, path).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Writes the first runs of more to come: should these not come there is a file to make reports of.
    fn keep(&self, runs: &[Run]) -> anyhow::Result<()> {
        if self.is_for_people() { self.write_json(runs) } else { Ok(()) }
    }

    /// Writes all that is asked for; whether nothing failed and the budgets are kept.
    fn write(&self, runs: &[Run]) -> anyhow::Result<bool> {
        self.write_json(runs)?;
        let is_for_people = self.is_for_people();
        for run in runs.iter().filter(|_| is_for_people) {
            println!("{}", table::table(run));
        }
        if let Some(path) = &self.html {
            std::fs::write(path, html::page(runs))
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        let budgets = self.check.as_deref().map(Budgets::read).transpose()?;
        let verdicts = budgets.map(|budgets| budgets.check(runs));
        if let Some(path) = &self.markdown {
            let directory = path.with_extension("");
            let plots = plots::write(runs, &directory)
                .with_context(|| format!("cannot write plots into {}", directory.display()))?;
            markdown::write(path, runs, verdicts.as_ref(), &plots)?;
        }
        match &verdicts {
            Some(verdicts) if is_for_people => println!("{verdicts}"),
            Some(verdicts) => eprintln!("{verdicts}"),
            None => {}
        }
        let kept = verdicts.is_none_or(|verdicts| verdicts.all_within());
        Ok(kept && runs.iter().all(|run| run.failures.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_command_says_something_of_its_own() {
        let command = Cli::command();
        let said = |command: &clap::Command| command.get_about().map(ToString::to_string);
        let mut all: Vec<String> =
            command.get_subcommands().map(|command| said(command).unwrap_or_default()).collect();
        let count = all.len();
        assert!(all.iter().all(|sentence| !sentence.is_empty()), "{all:#?}");
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count, "{all:#?}");

        let hot_change = command.find_subcommand("hot-change").and_then(said).unwrap();
        assert!(hot_change.starts_with("Change one service that all Envoys consume"), "{hot_change}");
    }
}
