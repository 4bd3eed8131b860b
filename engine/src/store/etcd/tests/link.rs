//! A network between a store and etcd that can be broken.

use std::net::Ipv4Addr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::super::EtcdSettings;

/// What becomes of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Open,
    /// They wait.
    Paused,
    /// Those that come back from etcd are lost.
    Deaf,
    /// The same, once this was sent.
    DeafAfter(&'static str),
    /// Connections end, and there are no new ones.
    Cut,
}

/// Connections to one member, all in one state.
pub(super) struct Link {
    port: u16,
    state: watch::Sender<State>,
    task: JoinHandle<()>,
}

impl Link {
    pub(super) async fn to(member: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_ne!(port, member, "a link to itself has no end");
        let (state, states) = watch::channel(State::Open);
        let sender = state.clone();
        let task = tokio::spawn(async move {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let (states, sender) = (states.clone(), sender.clone());
                tokio::spawn(async move {
                    if *states.borrow() == State::Cut {
                        return;
                    }
                    let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, member)).await else { return };
                    let (near_reader, near_writer) = near.into_split();
                    let (far_reader, far_writer) = far.into_split();
                    tokio::select! {
                        () = pass(near_reader, far_writer, states.clone(), Some(&sender)) => {}
                        () = pass(far_reader, near_writer, states, None) => {}
                    }
                });
            }
        });
        Self { port, state, task }
    }

    pub(super) fn set(&self, state: State) {
        self.state.send_replace(state);
    }

    /// The store under `root` at the other end.
    pub(super) fn settings(&self, root: &str) -> EtcdSettings {
        EtcdSettings::parse(&format!("etcd://127.0.0.1:{}/{root}", self.port)).unwrap()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut states: watch::Receiver<State>,
    // for what is sent; nothing for answers
    sender: Option<&watch::Sender<State>>,
) {
    let mut buffer = vec![0; 16 * 1024];
    let mut is_cut = states.clone();
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            _ = is_cut.wait_for(|state| *state == State::Cut) => return,
        };
        let Ok(bytes @ 1..) = read else { return };
        let Ok(state) = states.wait_for(|state| *state != State::Paused).await.map(|state| *state) else {
            return;
        };
        if let (State::DeafAfter(sent), Some(sender)) = (state, sender)
            && buffer[..bytes].windows(sent.len()).any(|part| part == sent.as_bytes())
        {
            sender.send_replace(State::Deaf);
        }
        match state {
            State::Cut => return,
            State::Deaf if sender.is_none() => {}
            _ => {
                if to.write_all(&buffer[..bytes]).await.is_err() {
                    return;
                }
            }
        }
    }
}
