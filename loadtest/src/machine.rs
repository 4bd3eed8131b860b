//! The machine of a run.

use std::fs;

use crate::run::Machine;
use crate::server::pin;

/// The machine that this runs on. What it does not tell is left empty.
pub fn this(pinned: Option<(usize, usize)>) -> Machine {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let value = |text: &str, name: &str| -> Option<String> {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let memory = value(&read("/proc/meminfo"), "MemTotal")
        .and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
    Machine {
        processor: value(&read("/proc/cpuinfo"), "model name").unwrap_or_default(),
        cpus: pin::usable().map_or(0, |cpus| cpus.len()),
        memory_mib: memory.unwrap_or_default() / 1024,
        system: format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
        pinned,
    }
}
