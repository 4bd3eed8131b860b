//! What a process uses: CPU time and memory.

use std::fs;
use std::io;
use std::time::Duration;

use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;

/// A process, whose use is looked at from outside.
#[derive(Clone, Copy, Debug)]
pub struct Process(u32);

impl Process {
    /// By its number.
    pub fn new(pid: u32) -> Self {
        Self(pid)
    }

    /// CPU time of all its threads since its start.
    pub fn cpu(self) -> io::Result<Duration> {
        let pid = i32::try_from(self.0).map_err(io::Error::other)?;
        Ok(clock_getcpuclockid(Pid::from_raw(pid))?.now()?.into())
    }

    /// Resident memory, in bytes.
    pub fn resident(self) -> io::Result<u64> {
        self.status("VmRSS:")
    }

    fn status(self, name: &str) -> io::Result<u64> {
        let path = format!("/proc/{}/status", self.0);
        let status = fs::read_to_string(&path)?;
        let value = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = value.and_then(|value| value.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
        kib.map(|kib| kib * 1024).ok_or_else(|| io::Error::other(format!("{path} tells no {name}")))
    }
}

/// CPU time of the thread that asks.
pub fn thread_cpu() -> io::Result<Duration> {
    Ok(ClockId::CLOCK_THREAD_CPUTIME_ID.now()?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_uses_what_it_uses() {
        let process = Process::new(std::process::id());
        let before = process.cpu().unwrap();
        let memory = vec![1_u8; 64 << 20];
        assert!(memory.iter().map(|byte| u64::from(*byte)).sum::<u64>() == 64 << 20);
        assert!(process.cpu().unwrap() > before);
        assert!(process.resident().unwrap() > 64 << 20);
        drop(memory);
    }

    #[test]
    fn there_is_no_such_process() {
        assert!(Process::new(0x7fff_fff0).cpu().is_err());
        assert!(Process::new(0x7fff_fff0).resident().is_err());
    }
}
