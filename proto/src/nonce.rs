//! What tells the responses on a stream apart.

use std::fmt;

use crate::decimal::Decimal;

/// The nonce of a response: its number on its stream, from 1 on, so that it is unique there and never empty (conformance 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Nonce(pub u64);

impl Nonce {
    /// The text on the wire, without an allocation: every response has one.
    pub fn text(self) -> Decimal {
        Decimal::of(self.0)
    }

    /// Whether a request has this nonce.
    pub fn is(self, text: &str) -> bool {
        self.text().as_bytes() == text.as_bytes()
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_its_text_alone() {
        let nonce = Nonce(10);
        assert_eq!(nonce.to_string(), "10");
        assert_eq!(nonce.text().as_bytes(), b"10");
        assert!(nonce.is("10"));
        for other in ["", "1", "010", "+10", "10 ", "100"] {
            assert!(!nonce.is(other), "{other:?}");
        }
    }
}
