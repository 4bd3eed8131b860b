//! Which definitions were deleted lately: what is gone does not tell when it went.

use std::collections::VecDeque;
use std::sync::Arc;

use legation_proto::version::Transaction;

/// Deletions that are remembered. Who asks has just listed, so a few would do.
const DELETIONS_MAX: usize = 1024;

/// The last deletions, oldest first.
pub(super) struct Deletions {
    last: VecDeque<(Transaction, Arc<str>)>,
    /// Every deletion after this transaction is known.
    known_after: Transaction,
}

impl Deletions {
    /// No deletions; those up to `transaction` are not known.
    pub(super) fn after(transaction: Transaction) -> Self {
        Self { last: VecDeque::new(), known_after: transaction }
    }

    /// Remembers that `key` was deleted at `transaction`, which is not before that of the last.
    pub(super) fn push(&mut self, transaction: Transaction, key: Arc<str>) {
        if self.last.len() == DELETIONS_MAX
            && let Some((forgotten, _)) = self.last.pop_front()
        {
            self.known_after = forgotten;
        }
        self.last.push_back((transaction, key));
    }

    /// Whether it is certain that nothing under `prefix` was deleted after `since`.
    pub(super) fn is_none_under(&self, prefix: &str, since: Transaction) -> bool {
        since >= self.known_after
            && self
                .last
                .iter()
                .rev()
                .take_while(|(transaction, _)| *transaction > since)
                .all(|(_, key)| !key.starts_with(prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forgotten_is_not_denied() {
        let mut deletions = Deletions::after(10);
        assert!(!deletions.is_none_under("a/", 9), "nobody knows");
        assert!(deletions.is_none_under("a/", 10));
        deletions.push(11, "a/1".into());
        deletions.push(12, "b/1".into());
        assert_eq!(
            [9, 10, 11, 12].map(|since| deletions.is_none_under("a/", since)),
            [false, false, true, true]
        );
        assert_eq!([10, 11, 12].map(|since| deletions.is_none_under("b/", since)), [false, false, true]);
        for _ in 0..DELETIONS_MAX {
            deletions.push(13, "c/1".into());
        }
        assert_eq!([11, 12, 13].map(|since| deletions.is_none_under("a/", since)), [false, true, true]);
    }
}
