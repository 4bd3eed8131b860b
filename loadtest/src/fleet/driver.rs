//! The thread.

use std::io;
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;

use mio::{Poll, Token, Waker};

use super::{Change, Command, FleetSettings};

pub(super) fn start(
    _settings: FleetSettings,
    commands: Receiver<Command>,
    _changes: Receiver<Change>,
) -> io::Result<(JoinHandle<()>, Waker)> {
    let poll = Poll::new()?;
    let waker = Waker::new(poll.registry(), Token(0))?;
    let thread = std::thread::Builder::new().name("fleet".to_owned()).spawn(move || {
        let _poll = poll;
        while let Ok(command) = commands.recv() {
            if matches!(command, Command::End) {
                return;
            }
        }
    })?;
    Ok((thread, waker))
}
