//! What is found in the meshes, kept current behind the passes: never in their way, and never for long.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use metrics::{describe_gauge, gauge};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use super::definitions::MeshDefinitions;
use crate::lint::{Code, Finding, lint};

const WARNINGS: &str = "legation_warnings";

/// How long after one look the next one comes.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// How many times as long as the last look took the next one waits at least. A change that comes while somebody looks makes
/// a copy of the mesh's index, which is as much work again.
const PAUSE_FACTOR: u32 = 50;

/// How long the next look waits at most: what is told is never older than this and the look itself.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// How many findings of a mesh are kept, besides their numbers.
const FINDINGS_MAX: usize = 100;

/// What changed since somebody asked last: the definitions of each such mesh, or that there is none of this name any more.
pub(super) type Changed = Vec<(Arc<str>, Option<Arc<MeshDefinitions>>)>;

/// A question for what changed.
pub(super) type Question = oneshot::Sender<Changed>;

/// What is found in a mesh.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// How often each code was found.
    pub counts: BTreeMap<Code, usize>,
    /// The first findings, in order.
    pub first: Vec<Finding>,
}

/// What is found in each mesh in which something is, by name.
pub type FoundByMesh = BTreeMap<Arc<str>, Found>;

/// Looks at the meshes that the passes have seen changed.
#[derive(Debug)]
pub struct Linter {
    questions: mpsc::Sender<Question>,
    found: watch::Sender<Arc<FoundByMesh>>,
}

impl Linter {
    /// A linter that asks by `questions`.
    pub(super) fn new(questions: mpsc::Sender<Question>) -> Self {
        describe_gauge!(
            WARNINGS,
            "findings in the definitions of all meshes that black-hole traffic, by code"
        );
        let (found, _) = watch::channel(Arc::default());
        let linter = Self { questions, found };
        linter.measure();
        linter
    }

    /// What was found last.
    pub fn found(&self) -> watch::Receiver<Arc<FoundByMesh>> {
        self.found.subscribe()
    }

    /// Looks again and again, until the passes end.
    pub async fn run(self) {
        loop {
            let (question, answer) = oneshot::channel();
            if self.questions.send(question).await.is_err() {
                return;
            }
            let Ok(changed) = answer.await else {
                return;
            };
            // the answer waits for a pass, which may take long: that says nothing about looking
            let started = Instant::now();
            if !changed.is_empty() {
                self.look(changed).await;
            }
            sleep(pause_after(started.elapsed())).await;
        }
    }

    /// Looks at these meshes. What is found in the others stays.
    async fn look(&self, changed: Changed) {
        let looked = spawn_blocking(move || {
            let look = |(name, definitions): (Arc<str>, Option<Arc<MeshDefinitions>>)| {
                // a mesh that is not there itself has no traffic
                let definitions = definitions.filter(|definitions| definitions.mesh().is_some());
                (name, definitions.map(|definitions| Found::of(lint(&definitions))).unwrap_or_default())
            };
            changed.into_iter().map(look).collect::<Vec<_>>()
        });
        let Ok(looked) = looked.await else {
            tracing::error!("looking for what to warn of failed");
            return;
        };
        self.found.send_modify(|found| {
            let found = Arc::make_mut(found);
            for (name, of_mesh) in looked {
                if of_mesh.counts.is_empty() {
                    found.remove(&name);
                } else {
                    found.insert(name, of_mesh);
                }
            }
        });
        self.measure();
    }

    fn measure(&self) {
        let found = self.found.borrow();
        for code in Code::ALL {
            let count: usize = found.values().filter_map(|of_mesh| of_mesh.counts.get(code)).sum();
            gauge!(WARNINGS, "code" => code.as_str()).set(count as f64);
        }
    }
}

/// How long to wait after a look that took so long.
fn pause_after(look: Duration) -> Duration {
    look.saturating_mul(PAUSE_FACTOR).clamp(PAUSE_MIN, PAUSE_MAX)
}

impl Found {
    fn of(mut findings: Vec<Finding>) -> Self {
        let mut counts = BTreeMap::new();
        for finding in &findings {
            *counts.entry(finding.code).or_default() += 1;
        }
        findings.truncate(FINDINGS_MAX);
        findings.shrink_to_fit();
        Self { counts, first: findings }
    }

    /// How many findings there are.
    pub fn count(&self) -> usize {
        self.counts.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_grows_with_the_look_and_has_an_end() {
        let paused = |millis| pause_after(Duration::from_millis(millis));
        assert_eq!(paused(0), PAUSE_MIN);
        assert_eq!(paused(100), Duration::from_secs(5));
        assert_eq!(paused(60_000), PAUSE_MAX);
        assert_eq!(pause_after(Duration::MAX), PAUSE_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waited_long_for_an_answer_asks_again_soon() {
        let (sender, mut questions) = mpsc::channel::<Question>(1);
        let running = tokio::spawn(Linter::new(sender).run());
        for _ in 0..3 {
            let asked = Instant::now();
            let question = questions.recv().await.unwrap();
            assert!(asked.elapsed() <= PAUSE_MIN, "asked again after {:?}", asked.elapsed());
            sleep(Duration::from_secs(10)).await; // a pass
            question.send(Vec::new()).unwrap();
        }
        drop(questions);
        running.await.unwrap();
    }
}
