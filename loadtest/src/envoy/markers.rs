//! The changes that a response carries: texts of the form `change-<service>-<number>` in its resources, which the
//! harness's own definitions bring there.

use std::sync::LazyLock;

use memchr::memmem::Finder;

const PREFIX: &[u8] = b"change-";

static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(PREFIX));

/// The (service, number) of every marker, in the order in which they stand. Digits are followed by a byte that is none.
pub fn markers(message: &[u8]) -> impl Iterator<Item = (u32, u64)> {
    FINDER.find_iter(message).filter_map(|at| marker(&message[at + PREFIX.len()..]))
}

fn marker(text: &[u8]) -> Option<(u32, u64)> {
    let (service, rest) = number(text)?;
    let (number, _) = number(rest.strip_prefix(b"-")?)?;
    Some((u32::try_from(service).ok()?, number))
}

/// A decimal number and what follows it.
fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let mut value: Option<u64> = None;
    for (position, byte) in text.iter().enumerate() {
        if !byte.is_ascii_digit() {
            return value.map(|value| (value, &text[position..]));
        }
        value = Some(value.unwrap_or(0).checked_mul(10)?.checked_add(u64::from(byte - b'0'))?);
    }
    value.map(|value| (value, &text[text.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_found_among_other_bytes() {
        let check = |message: &str, expected: &[(u32, u64)]| {
            assert_eq!(markers(message.as_bytes()).collect::<Vec<_>>(), expected, "{message}");
        };
        check("", &[]);
        check("change-3-17", &[(3, 17)]);
        check("\x0a\x0bchange-3-17\x12change-0-0.local", &[(3, 17), (0, 0)]);
        check("exchange-1-2x", &[(1, 2)]);
        check("change-change-1-2x", &[(1, 2)]);
        check("change-1", &[]);
        check("change-1-", &[]);
        check("change--1", &[]);
        check("change-x-1 change-1-x", &[]);
        check("change-4294967296-1 change-1-18446744073709551616", &[]);
        check("change-4294967295-18446744073709551615 ", &[(u32::MAX, u64::MAX)]);
    }
}
