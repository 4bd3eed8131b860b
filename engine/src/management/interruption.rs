//! Ends a connection before its peer does.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use tokio::task::coop::{Unconstrained, unconstrained};
use tokio::task::{AbortHandle, JoinError, JoinHandle, spawn_local};

thread_local! {
    /// How many interruptions have come to connections of this thread.
    static COME: Cell<u64> = const { Cell::new(0) };
}

/// What a connection is interrupted by, waited for in a task of its own: a connection is polled with every push and every ACK.
/// It is looked at only when one has come to any connection of this thread, since what is known of a task that has nothing to do
/// is not in the processor's cache. Ends with whoever waits for it, who has to be one task, the same all the time.
pub(super) struct Interruption<T> {
    /// Looked at also where whoever waits has done much in this turn: it would not be found out later.
    task: Unconstrained<JoinHandle<T>>,
    abort: AbortHandle,
    /// How many had come when this was looked at.
    seen: Option<u64>,
}

impl<T: 'static> Interruption<T> {
    /// One that comes when `what` is over, on this thread.
    pub(super) fn by(what: impl Future<Output = T> + 'static) -> Self {
        let coming = Coming;
        // not awaited in another future, which would have room for it twice
        let task = spawn_local(what.inspect(move |_| drop(coming)));
        Self { abort: task.abort_handle(), task: unconstrained(task), seen: None }
    }
}

impl<T> Future for Interruption<T> {
    /// An error tells that what it was waited for with has failed.
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let come = COME.get();
        if self.seen.replace(come) == Some(come) {
            return Poll::Pending; // and whoever waits is known
        }
        Pin::new(&mut self.task).poll(context)
    }
}

impl<T> Drop for Interruption<T> {
    fn drop(&mut self) {
        self.abort.abort();
    }
}

/// Counts an interruption when it is dropped, in whatever way the interruption comes.
struct Coming;

impl Drop for Coming {
    fn drop(&mut self) {
        COME.set(COME.get() + 1);
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn};
    use std::pin::pin;

    use tokio::sync::{mpsc, oneshot};
    use tokio::task::{LocalSet, yield_now};

    use super::*;

    /// Polls once, as a connection does with every push, and tells whether it has come.
    async fn look<T: 'static>(interruption: &mut Interruption<T>) -> bool {
        poll_fn(|context| Poll::Ready(Pin::new(&mut *interruption).poll(context).is_ready())).await
    }

    #[tokio::test]
    async fn it_comes_though_it_was_looked_at_before() {
        let connection = async {
            let (sender, receiver) = oneshot::channel::<u8>();
            let mut interruption = Interruption::by(receiver);
            let mut other = Interruption::by(pending::<()>());
            for _ in 0..3 {
                assert!(!look(&mut interruption).await && !look(&mut other).await);
                yield_now().await;
            }
            sender.send(7).unwrap();
            assert_eq!(interruption.await.unwrap(), Ok(7), "whoever waits is woken");
            assert!(!look(&mut other).await);
        };
        LocalSet::new().run_until(connection).await;
    }

    #[tokio::test]
    async fn it_comes_where_what_it_was_waited_for_with_fails() {
        let connection = async {
            let (sender, receiver) = oneshot::channel::<()>();
            let failing = async {
                let _ = receiver.await;
                panic!("on purpose");
            };
            let mut interruption = Interruption::by(failing);
            assert!(!look(&mut interruption).await);
            drop(sender);
            let failed: Result<(), JoinError> = interruption.await;
            assert!(failed.unwrap_err().is_panic());
        };
        LocalSet::new().run_until(connection).await;
    }

    #[tokio::test]
    async fn it_comes_to_one_who_has_done_all_that_may_be_done_in_a_turn() {
        let connection = async {
            let (sender, receiver) = oneshot::channel::<()>();
            let mut interruption = Interruption::by(receiver);
            let (work, mut to_do) = mpsc::unbounded_channel();
            (0..1000).for_each(|number| work.send(number).unwrap());
            let is_looked_at = poll_fn(|context| {
                while pin!(to_do.recv()).poll(context).is_ready() {}
                Poll::Ready(Pin::new(&mut interruption).poll(context).is_pending())
            });
            assert!(is_looked_at.await);
            assert!(!to_do.is_empty(), "there was time for everything");
            yield_now().await;
            sender.send(()).unwrap();
            assert!(matches!(interruption.await, Ok(Ok(()))));
        };
        LocalSet::new().run_until(connection).await;
    }

    #[tokio::test]
    async fn it_is_waited_for_no_longer_than_by_the_connection() {
        let connection = async {
            let (sender, receiver) = oneshot::channel::<()>();
            drop(Interruption::by(receiver));
            yield_now().await;
            yield_now().await;
            assert!(sender.is_closed());
        };
        LocalSet::new().run_until(connection).await;
    }
}
