//! SVG files for the documentation: for each scenario latency by percentile, CPU a push, memory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::drawings::{PLOTTED, bar_chart, latency};
use super::groups::{Group, groups};
use crate::run::Run;

/// A file that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlotFile {
    /// The scenario that it shows.
    pub scenario: String,
    /// What it shows of it.
    pub title: String,
    /// Where it is, the directory included.
    pub path: PathBuf,
}

/// Writes the plots of all runs into a directory, which is made if it does not exist. Files of the same scenarios are
/// replaced, others stay.
pub fn write(runs: &[Run], directory: &Path) -> io::Result<Vec<PlotFile>> {
    fs::create_dir_all(directory)?;
    let mut files = Vec::new();
    for group in groups(runs) {
        let latencies =
            PLOTTED.into_iter().map(|measure| latency(&group, measure)).find(|plots| !plots.is_empty());
        let latencies = latencies.unwrap_or_default().into_iter().enumerate().map(|(position, plot)| {
            let kind = if position == 0 { "latency".to_owned() } else { format!("latency-{}", position + 1) };
            (kind, plot)
        });
        let bars = [
            ("last-sync", bar_chart(&group, "last_sync_ms.p50")),
            (
                "cpu",
                bar_chart(&group, "server_cpu_us_per_push")
                    .or_else(|| bar_chart(&group, "server_cpu_seconds")),
            ),
            (
                "memory",
                bar_chart(&group, "resident_kib_per_envoy").or_else(|| bar_chart(&group, "resident_mib")),
            ),
        ];
        let bars = bars.into_iter().filter_map(|(kind, plot)| Some((kind.to_owned(), plot?)));
        for (kind, plot) in latencies.chain(bars) {
            let path = directory.join(format!("{}-{kind}.svg", stem(&group)));
            fs::write(&path, plot.file())?;
            files.push(PlotFile { scenario: group.scenario.to_owned(), title: plot.title, path });
        }
    }
    Ok(files)
}

/// The name of a scenario, as far as it can be one of a file.
fn stem(group: &Group<'_>) -> String {
    let allowed = |character: char| if character.is_ascii_alphanumeric() { character } else { '-' };
    group.scenario.chars().map(allowed).collect()
}

#[cfg(test)]
mod tests {
    use super::super::made_up::{phase, run};
    use super::*;
    use crate::run::Measure;

    #[test]
    fn every_file_is_svg_by_itself() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path().join("new");
        let timed = || {
            phase("").latency(Measure::Receipt, &[1.0, 2.0]).latency(Measure::LastAck, &[2.0, 3.0]).phase()
        };
        let runs = [
            run("hot-change", "legation", 0, vec![timed()]),
            run("hot-change", "a <b> & \"c\"", 0, vec![timed()]),
            run("../soak", "legation", 0, vec![timed()]),
            run("churn", "legation", 0, vec![phase("").phase()]),
        ];
        let files = write(&runs, &directory).unwrap();
        let found: Vec<_> = files
            .iter()
            .map(|file| {
                (
                    file.path.file_name().unwrap().to_str().unwrap(),
                    file.title.as_str(),
                    file.scenario.as_str(),
                )
            })
            .collect();
        assert_eq!(
            found,
            [
                ("hot-change-latency.svg", "Last ACK", "hot-change"),
                ("hot-change-cpu.svg", "Server CPU a push", "hot-change"),
                ("hot-change-memory.svg", "Resident memory", "hot-change"),
                ("---soak-latency.svg", "Last ACK", "../soak"),
            ]
        );
        for file in &files {
            let text = fs::read_to_string(&file.path).unwrap();
            let document = roxmltree::Document::parse(&text).unwrap();
            assert_eq!(document.root_element().tag_name().name(), "svg");
            assert_eq!(
                document
                    .descendants()
                    .filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", "b")))
                    .count(),
                0
            );
            // colours come with it
            assert!(text.contains("prefers-color-scheme"));
        }
    }
}
