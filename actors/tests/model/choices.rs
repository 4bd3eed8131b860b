//! Decisions that are read from bytes.

/// Decisions, a byte each. Once there are no more, each is 0.
pub(crate) struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn are_over(&self) -> bool {
        self.0.is_empty()
    }

    /// One of `count`, from 0.
    pub(crate) fn below(&mut self, count: u8) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first % count
    }

    pub(crate) fn yes(&mut self) -> bool {
        self.below(2) == 1
    }

    pub(crate) fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::from(self.below(u8::try_from(of.len()).unwrap()))]
    }
}
