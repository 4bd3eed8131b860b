//! Numbers as text, without an allocation.

/// Digits of the largest number.
pub(crate) const DIGITS_MAX: usize = 20;

/// A number in decimal digits.
#[derive(Clone, Copy, Debug)]
pub struct Decimal {
    digits: [u8; DIGITS_MAX],
    /// Where it begins.
    start: usize,
}

impl Decimal {
    /// The digits of `number`, the first of which is 0 only if it is the only one.
    pub fn of(mut number: u64) -> Self {
        let mut decimal = Self { digits: [b'0'; DIGITS_MAX], start: DIGITS_MAX };
        for digit in decimal.digits.iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
            decimal.start -= 1;
            if number == 0 {
                break;
            }
        }
        decimal
    }

    /// The text in ASCII.
    pub fn as_bytes(&self) -> &[u8] {
        &self.digits[self.start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_the_number() {
        for number in [0, 1, 9, 10, 99, 100, 1_234_567_890, u64::MAX - 1, u64::MAX] {
            assert_eq!(Decimal::of(number).as_bytes(), number.to_string().as_bytes());
        }
    }
}
