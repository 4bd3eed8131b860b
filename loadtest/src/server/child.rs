//! A server that is started for a run, and ended after it.

use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::pin::pinned;

/// How long a server may take until it is ready. One that has content to read takes seconds.
const READY_TIMEOUT: Duration = Duration::from_secs(120);
/// How long it may take to end when it is told to.
const END_TIMEOUT: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(5);
/// Where its standard error is kept, in its directory.
const LOG: &str = "log";

/// A process that has told that it is ready; it ends when this is dropped.
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
    /// The line in which it told its addresses.
    ready: String,
    directory: TempDir,
}

impl ServerProcess {
    /// Starts a command and waits for the line of its standard error that says `ready`.
    pub fn start(command: &mut Command, cpu: Option<usize>, parent: Option<&Path>) -> anyhow::Result<Self> {
        let mut process = Self::spawn(command, cpu, parent)?;
        process.ready = process.wait_until_ready()?;
        Ok(process)
    }

    /// Starts a command, on one CPU only if told so. It runs in a new directory, in `parent` or where temporary ones are.
    pub fn spawn(command: &mut Command, cpu: Option<usize>, parent: Option<&Path>) -> anyhow::Result<Self> {
        let directory = match parent {
            Some(parent) => tempfile::tempdir_in(parent)
                .with_context(|| format!("cannot make a directory in {}", parent.display()))?,
            None => tempfile::tempdir()?,
        };
        command.current_dir(directory.path()).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(File::create(directory.path().join(LOG))?);
        let program = command.get_program().to_owned();
        let child = pinned(cpu, || command.spawn())?
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self { child, ready: String::new(), directory })
    }

    /// The address that it told as `name=ADDRESS`.
    pub fn address(&self, name: &str) -> anyhow::Result<&str> {
        let value = |word: &'_ str| word.split_once('=').is_some_and(|(key, _)| key == name);
        let word = self.ready.split_whitespace().find(|word| value(word));
        let address = word.and_then(|word| word.split_once('=')).map(|(_, address)| address);
        address
            .with_context(|| format!("the server told no {name}=ADDRESS when it was ready: {:?}", self.ready))
    }

    /// The number of the process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Fails with its last words if it has ended by itself.
    pub fn check(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the server ended with {status} before it was ready:\n{}", self.log()?);
        }
        Ok(())
    }

    /// What it has written to its standard error.
    fn log(&self) -> io::Result<String> {
        std::fs::read_to_string(self.directory.path().join(LOG))
    }

    fn wait_until_ready(&mut self) -> anyhow::Result<String> {
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            let text = self.log()?;
            let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            if let Some(line) = whole.map(str::trim).find(|line| line.contains("ready") && line.contains('='))
            {
                return Ok(line.to_owned());
            }
            self.check()?;
            if Instant::now() > deadline {
                bail!("the server was not ready within {} s:\n{text}", READY_TIMEOUT.as_secs());
            }
            thread::sleep(PAUSE);
        }
    }

    fn end(&mut self) -> io::Result<()> {
        let pid = i32::try_from(self.child.id()).map_err(io::Error::other)?;
        kill(Pid::from_raw(pid), Signal::SIGTERM)?;
        let deadline = Instant::now() + END_TIMEOUT;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                self.child.kill()?;
                self.child.wait()?;
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("cannot end process {}: {error}", self.child.id());
        }
    }
}
