//! Who was denied what: the newest of it, for `legation history --denied`.
//!
//! A denial changes no definition, so it is no transaction and no entry of the journal. It is kept here, bounded whatever
//! anybody asks for: the same denial again is counted and takes no room, a user fills only a part of it, and the oldest go
//! first. It is written to a file every few seconds at most, away from every request and every commit, and read again at
//! the start: a crash loses the denials of those seconds. The log has them at once.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::sleep;

/// How many are kept.
pub const DENIALS_MAX: usize = 1000;

/// How many are kept of one user.
pub const DENIALS_OF_USER_MAX: usize = 100;

/// How often they are written.
const INTERVAL: Duration = Duration::from_secs(5);

/// The largest file that is read, in bytes: names have at most a kilobyte each.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Who was denied what.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Denied {
    /// The user.
    pub user: String,
    /// The action, by the name that policies have for it.
    pub action: String,
    /// The ARN of the resource, or the account.
    pub resource: String,
    /// The mesh that it is or lies in; nothing of the account.
    pub mesh: Option<String>,
}

/// How often that was, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Denial {
    /// Who was denied what.
    #[serde(flatten)]
    pub denied: Denied,
    /// How often.
    pub count: u64,
    /// When first, in milliseconds since 1970 in UTC.
    pub first_ms: i64,
    /// When last, in milliseconds since 1970 in UTC.
    pub last_ms: i64,
}

/// The newest denials.
#[derive(Default)]
pub struct Denials {
    kept: Mutex<Kept>,
    has_changed: AtomicBool,
}

#[derive(Default)]
struct Kept {
    times: HashMap<Denied, Times>,
    /// The place of the next in the order in which they came.
    next: u64,
}

#[derive(Clone, Copy)]
struct Times {
    count: u64,
    first_ms: i64,
    last_ms: i64,
    place: u64,
}

impl Denials {
    /// Counts that somebody was denied something, and tells how often that was.
    pub fn add(&self, denied: Denied, now_ms: i64) -> u64 {
        let mut kept = self.lock();
        let place = kept.next;
        kept.next += 1;
        if !kept.times.contains_key(&denied) {
            kept.make_room(&denied.user);
        }
        let new = Times { count: 0, first_ms: now_ms, last_ms: now_ms, place };
        let times = kept.times.entry(denied).or_insert(new);
        times.count = times.count.saturating_add(1);
        times.last_ms = times.last_ms.max(now_ms);
        times.place = place;
        let count = times.count;
        drop(kept);
        self.has_changed.store(true, Ordering::Release);
        count
    }

    /// The newest `limit`, of everything or of one mesh, newest first.
    pub fn newest(&self, mesh: Option<&str>, limit: usize) -> Vec<Denial> {
        let kept = self.lock();
        let mut found: Vec<(&Denied, &Times)> = kept
            .times
            .iter()
            .filter(|(denied, _)| mesh.is_none_or(|mesh| denied.mesh.as_deref() == Some(mesh)))
            .collect();
        found.sort_unstable_by_key(|(_, times)| Reverse(times.place));
        let denials = found.into_iter().take(limit).map(|(denied, times)| Denial {
            denied: denied.clone(),
            count: times.count,
            first_ms: times.first_ms,
            last_ms: times.last_ms,
        });
        denials.collect()
    }

    /// Those in the file at `path`. A file that cannot be read is as none, and the log says so: it is no reason not to
    /// start.
    pub fn load(path: &Path) -> Denials {
        let denials = Denials::default();
        match read(path) {
            Ok(mut read) => {
                read.truncate(DENIALS_MAX);
                let mut kept = denials.lock();
                for Denial { denied, count, first_ms, last_ms } in read.into_iter().rev() {
                    let place = kept.next;
                    kept.next += 1;
                    kept.times.insert(denied, Times { count, first_ms, last_ms, place });
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "the denials of before cannot be read");
            }
        }
        denials
    }

    /// Writes them to the file at `path`, if there are others than before.
    pub fn save(&self, path: &Path) {
        if !self.has_changed.swap(false, Ordering::AcqRel) {
            return;
        }
        if let Err(error) = write(path, &self.newest(None, DENIALS_MAX)) {
            self.has_changed.store(true, Ordering::Release);
            tracing::warn!(path = %path.display(), %error, "the denials cannot be written");
        }
    }

    /// Keeps the file at `path` current, for ever; the error says that writing it has panicked.
    pub async fn keep(self: Arc<Self>, path: PathBuf) -> Result<(), JoinError> {
        loop {
            sleep(INTERVAL).await;
            let (denials, path) = (Arc::clone(&self), path.clone());
            spawn_blocking(move || denials.save(&path)).await?;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Forgets the oldest of `user` if they have as many as they may, or else the oldest if there are as many as there may
    /// be.
    fn make_room(&mut self, user: &str) {
        let of_user = self.times.keys().filter(|denied| denied.user == user).count();
        let is_of_user = of_user >= DENIALS_OF_USER_MAX;
        if !is_of_user && self.times.len() < DENIALS_MAX {
            return;
        }
        let candidates = self.times.iter().filter(|(denied, _)| !is_of_user || denied.user == user);
        let oldest = candidates.min_by_key(|(_, times)| times.place).map(|(denied, _)| denied.clone());
        if let Some(oldest) = oldest {
            self.times.remove(&oldest);
        }
    }
}

fn read(path: &Path) -> io::Result<Vec<Denial>> {
    if fs::metadata(path)?.len() > FILE_BYTES_MAX {
        return Err(io::Error::other("it is too large"));
    }
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

/// Whoever reads the file sees the old one or the new one, and never a part.
fn write(path: &Path, denials: &[Denial]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = fs::File::create(&new)?;
    file.write_all(&serde_json::to_vec(denials)?)?;
    file.sync_all()?;
    fs::rename(new, path)
}
