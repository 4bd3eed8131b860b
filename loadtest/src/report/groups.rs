//! Runs put together: by scenario, then by server and phase, with the repetitions of each.

use std::collections::BTreeMap;

use super::numbers::phase_numbers;
use super::spread::Spread;
use crate::run::{Machine, Phase, Run};

/// Servers that reports know, in the order in which they stand: ours, the floors, the peers. Others follow as they come.
pub const SERVERS: [&str; 6] = [
    "legation",
    "floor-tonic",
    "floor-h2",
    "go-control-plane-mix",
    "go-control-plane-linear",
    "go-control-plane-snapshot",
];

/// All runs of a scenario.
#[derive(Debug)]
pub struct Group<'a> {
    /// The name of the scenario.
    pub scenario: &'a str,
    /// The servers, each once, also those whose runs came to nothing.
    pub servers: Vec<&'a str>,
    /// Servers with their phases, one server after the other.
    pub rows: Vec<Row<'a>>,
    /// What all runs were told.
    pub parameters: BTreeMap<&'a str, &'a str>,
    /// The machines of the runs, each once.
    pub machines: Vec<&'a Machine>,
    /// What went wrong.
    pub failures: Vec<Failure<'a>>,
}

/// A phase of a server in a scenario, repeated.
#[derive(Debug)]
pub struct Row<'a> {
    /// The server.
    pub server: &'a str,
    /// The phase, where the server's runs have several.
    pub phase: Option<&'a str>,
    /// The phase in each repetition.
    pub repetitions: Vec<&'a Phase>,
    /// The numbers of each repetition.
    numbers: Vec<BTreeMap<String, f64>>,
}

/// Something that went wrong in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure<'a> {
    /// The server of the run.
    pub server: &'a str,
    /// The repetition.
    pub repetition: usize,
    /// The sentence.
    pub sentence: &'a str,
}

/// Puts runs together. Scenarios stand in the order in which they first come.
pub fn groups(runs: &[Run]) -> Vec<Group<'_>> {
    let mut scenarios: Vec<&str> = Vec::new();
    for run in runs {
        if !scenarios.contains(&run.scenario.as_str()) {
            scenarios.push(&run.scenario);
        }
    }
    scenarios
        .into_iter()
        .map(|scenario| Group::of(scenario, runs.iter().filter(|run| run.scenario == scenario).collect()))
        .collect()
}

impl<'a> Group<'a> {
    fn of(scenario: &'a str, mut runs: Vec<&'a Run>) -> Self {
        // stable: servers that are not known stay in their order
        runs.sort_by_key(|run| {
            SERVERS.iter().position(|&server| server == run.server).unwrap_or(SERVERS.len())
        });

        let mut group = Self {
            scenario,
            servers: runs.iter().map(|run| run.server.as_str()).collect(),
            rows: Vec::new(),
            parameters: BTreeMap::new(),
            machines: Vec::new(),
            failures: Vec::new(),
        };
        group.servers.dedup();
        for run in &runs {
            if !group.machines.contains(&&run.machine) {
                group.machines.push(&run.machine);
            }
            for sentence in &run.failures {
                group.failures.push(Failure { server: &run.server, repetition: run.repetition, sentence });
            }
            let several = run.phases.len() > 1;
            for phase in &run.phases {
                group.add(&run.server, several.then_some(phase.name.as_str()), phase);
            }
        }
        let mut rest = runs.iter();
        if let Some(first) = rest.next() {
            let told = first.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            group.parameters = told
                .filter(|(name, value)| {
                    rest.clone().all(|run| run.parameters.get(*name).is_some_and(|other| other == value))
                })
                .collect();
        }
        group
    }

    fn add(&mut self, server: &'a str, name: Option<&'a str>, phase: &'a Phase) {
        let numbers = phase_numbers(phase);
        if let Some(row) = self.rows.iter_mut().find(|row| row.server == server && row.phase == name) {
            row.repetitions.push(phase);
            row.numbers.push(numbers);
            return;
        }
        // beside the other phases of its server
        let after = self.rows.iter().rposition(|row| row.server == server);
        let place = after.map_or(self.rows.len(), |last| last + 1);
        self.rows
            .insert(place, Row { server, phase: name, repetitions: vec![phase], numbers: vec![numbers] });
    }

    /// The phases, each once; one without a name where there is one only.
    pub fn phases(&self) -> Vec<Option<&'a str>> {
        let mut phases = Vec::new();
        for row in &self.rows {
            if !phases.contains(&row.phase) {
                phases.push(row.phase);
            }
        }
        phases
    }

    /// How often the server was run that was run most often.
    pub fn repetitions(&self) -> usize {
        self.rows.iter().map(|row| row.repetitions.len()).max().unwrap_or_default()
    }

    /// Whether any row has a number.
    pub fn has(&self, number: &str) -> bool {
        self.rows.iter().any(|row| row.spread(number).is_some())
    }

    /// What tells a row from the others of its group: its server, its phase, or both.
    pub fn row_label(&self, row: &Row<'_>) -> String {
        match row.phase {
            None => row.server.to_owned(),
            Some(phase) if self.servers.len() == 1 => phase.to_owned(),
            Some(phase) => format!("{}, {phase}", row.server),
        }
    }
}

impl Row<'_> {
    /// A number over all repetitions; none where no repetition has it.
    pub fn spread(&self, number: &str) -> Option<Spread> {
        Spread::of(self.numbers.iter().filter_map(|numbers| numbers.get(number).copied()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::made_up::{phase, run};
    use super::*;

    #[test]
    fn repetitions_stand_together() {
        let runs = [
            run("hot-change", "mine", 0, vec![phase("").cpu_seconds(1.0).phase()]),
            run("hot-change", "floor-tonic", 0, vec![phase("").phase()]),
            run("churn", "legation", 0, vec![phase("").phase()]),
            run("hot-change", "legation", 0, vec![phase("").phase()]),
            run("hot-change", "mine", 1, vec![phase("").cpu_seconds(3.0).phase()]),
        ];
        let groups = groups(&runs);
        let found: Vec<_> = groups.iter().map(|group| (group.scenario, group.servers.clone())).collect();
        assert_eq!(
            found,
            [("hot-change", vec!["legation", "floor-tonic", "mine"]), ("churn", vec!["legation"])]
        );
        let mine = groups[0].rows[2].spread("server_cpu_seconds").unwrap();
        assert_eq!((mine.minimum, mine.median, mine.maximum), (1.0, 2.0, 3.0));
        assert_eq!(groups[0].repetitions(), 2);
    }

    #[test]
    fn phases_of_a_server_stand_together() {
        let both = || vec![phase("few").phase(), phase("many").phase()];
        let runs = [
            run("a", "legation", 0, both()),
            run("a", "floor-h2", 0, both()),
            run("a", "legation", 1, both()),
        ];
        let groups = groups(&runs);
        let labels: Vec<_> = groups[0].rows.iter().map(|row| groups[0].row_label(row)).collect();
        assert_eq!(labels, ["legation, few", "legation, many", "floor-h2, few", "floor-h2, many"]);
        assert_eq!(groups[0].phases(), [Some("few"), Some("many")]);
    }

    #[test]
    fn only_parameters_of_all_runs_are_told() {
        let mut other = run("a", "floor-h2", 0, vec![]);
        other.parameters.insert("envoys".to_owned(), "10".to_owned());
        let runs = [run("a", "legation", 0, vec![]), other];
        let groups = groups(&runs);
        assert_eq!(groups[0].parameters, BTreeMap::from([("changes", "200")]));
    }
}
