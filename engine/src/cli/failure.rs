//! What a command prints, and why it failed.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, Write as _};

/// Why a command failed, and with which code it exits.
#[derive(Debug)]
pub(super) struct Failure {
    /// What failed and what to do, in one line or more.
    pub(super) message: String,
    /// 1 where something failed, 2 where the command or its settings cannot be used.
    pub(super) exit_code: u8,
}

impl Failure {
    /// Something failed.
    pub(super) fn failed(error: &dyn Error) -> Self {
        Self { message: with_causes(error), exit_code: 1 }
    }

    /// The command or its settings cannot be used; clap exits with this code as well.
    pub(super) fn usage(error: &dyn Error) -> Self {
        Self { message: with_causes(error), exit_code: 2 }
    }

    /// Something failed that is no error of Rust's.
    pub(super) fn message(message: String) -> Self {
        Self { message, exit_code: 1 }
    }
}

/// Prints to standard output. Who closes it has read enough.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::failed(&error)),
        _ => Ok(()),
    }
}

/// The error and what caused it, in one line.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}
