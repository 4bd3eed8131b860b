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

    /// The nonce of which this is the text; `None` for a text that no nonce has.
    pub fn read(text: &str) -> Option<Self> {
        let is_text = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
        is_text.then(|| text.parse().ok()).flatten().map(Self)
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
        assert_eq!(Nonce::read("10"), Some(nonce));
        assert_eq!(Nonce::read(&Nonce(u64::MAX).to_string()), Some(Nonce(u64::MAX)));
        for other in ["", "0", "010", "+10", "-10", "10 ", "1e1", "18446744073709551616"] {
            assert_eq!(Nonce::read(other), None, "{other:?}");
        }
    }
}
