//! Fields of protobuf messages, read in place and written.

use super::Violation;

/// A field's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Of integers, enums and booleans.
    Varint(u64),
    /// Of strings, bytes and messages.
    Bytes(&'a [u8]),
    /// Of anything of fixed length, which nobody here looks at.
    Fixed,
}

/// Walks through the fields of a message; ends with the first that is malformed.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

/// The fields of a message, in the order in which they stand.
pub const fn fields(message: &[u8]) -> Fields<'_> {
    Fields { rest: message }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), Violation>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.rest = &[];
        }
        Some(field.ok_or(Violation::Protobuf))
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<(u64, Value<'a>)> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return None,
        };
        Some((key >> 3, value))
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for (position, &byte) in self.rest.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << (7 * position);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[position + 1..];
                return Some(value);
            }
        }
        None
    }
}

/// The last content of a field of bytes; empty if it is not there.
///
/// # Errors
///
/// If the message is malformed.
pub fn bytes_of(message: &[u8], number: u64) -> Result<&[u8], Violation> {
    let mut content: &[u8] = &[];
    for field in fields(message) {
        if let (found, Value::Bytes(bytes)) = field?
            && found == number
        {
            content = bytes;
        }
    }
    Ok(content)
}

/// Writes a field of bytes, a string, or an encoded message.
pub fn put_bytes(out: &mut Vec<u8>, number: u64, content: &[u8]) {
    put_varint(out, number << 3 | 2);
    put_varint(out, content.len() as u64);
    out.extend_from_slice(content);
}

/// Writes a field of an integer.
pub fn put_number(out: &mut Vec<u8>, number: u64, value: u64) {
    put_varint(out, number << 3);
    put_varint(out, value);
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(low_bits(value) | 0x80);
        value >>= 7;
    }
    out.push(low_bits(value));
}

fn low_bits(value: u64) -> u8 {
    value.to_le_bytes()[0] & 0x7f
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(message: &[u8], expected: &[Result<(u64, Value<'_>), Violation>]) {
        assert_eq!(fields(message).collect::<Vec<_>>(), expected, "{message:02x?}");
    }

    #[test]
    fn fields_are_read_in_place() {
        check(b"", &[]);
        check(b"\x08\x96\x01", &[Ok((1, Value::Varint(150)))]);
        check(b"\x12\x02hi\x1a\x00", &[Ok((2, Value::Bytes(b"hi"))), Ok((3, Value::Bytes(b"")))]);
        check(b"\x0912345678\x151234", &[Ok((1, Value::Fixed)), Ok((2, Value::Fixed))]);
        let highest = [&b"\x08"[..], &[0xff; 9], b"\x01"].concat();
        check(&highest, &[Ok((1, Value::Varint(u64::MAX)))]);
    }

    #[test]
    fn what_is_malformed_ends_the_walk() {
        for message in
            [&b"\x12\x03hi"[..], b"\x08", b"\x08\x80", b"\x0b", b"\x091234567", b"\x15123", &[0xff; 11]]
        {
            check(message, &[Err(Violation::Protobuf)]);
        }
        check(b"\x08\x01\x12\x7f", &[Ok((1, Value::Varint(1))), Err(Violation::Protobuf)]);
        assert_eq!(bytes_of(b"\x12\x02hi\x12\x7f", 2), Err(Violation::Protobuf));
    }

    #[test]
    fn what_is_written_can_be_read() {
        let long = [7; 300];
        let mut message = Vec::new();
        put_number(&mut message, 1, 0);
        put_number(&mut message, 100, u64::MAX);
        put_bytes(&mut message, 2, b"");
        put_bytes(&mut message, 3, &long);
        check(
            &message,
            &[
                Ok((1, Value::Varint(0))),
                Ok((100, Value::Varint(u64::MAX))),
                Ok((2, Value::Bytes(b""))),
                Ok((3, Value::Bytes(&long))),
            ],
        );
        assert_eq!(bytes_of(&message, 3), Ok(&long[..]));
        assert_eq!(bytes_of(&message, 4), Ok(&b""[..]));
    }
}
