//! CPUs: the server on one, the fleet on another, so that neither slows the other down.

use nix::errno::Errno;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// The thread that calls.
const THIS_THREAD: Pid = Pid::from_raw(0);

/// Lets the calling thread, and what it starts, run on one CPU only.
pub fn pin(cpu: usize) -> Result<(), Errno> {
    let mut cpus = CpuSet::new();
    cpus.set(cpu)?;
    sched_setaffinity(THIS_THREAD, &cpus)
}

/// Does something, on one CPU only where there is one to be pinned to; what it starts stays there.
pub fn pinned<T>(cpu: Option<usize>, work: impl FnOnce() -> T) -> Result<T, Errno> {
    let Some(cpu) = cpu else {
        return Ok(work());
    };
    let before = sched_getaffinity(THIS_THREAD)?;
    pin(cpu)?;
    let outcome = work();
    sched_setaffinity(THIS_THREAD, &before)?;
    Ok(outcome)
}

/// The CPUs that may be used, by their numbers.
pub fn usable() -> Result<Vec<usize>, Errno> {
    let cpus = sched_getaffinity(THIS_THREAD)?;
    Ok((0..CpuSet::count()).filter(|cpu| cpus.is_set(*cpu).unwrap_or(false)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_pinned_and_nothing_after_it() {
        let before = usable().unwrap();
        let during = pinned(Some(before[0]), || usable().unwrap()).unwrap();
        assert_eq!(during, before[..1]);
        assert_eq!(usable().unwrap(), before);
    }
}
