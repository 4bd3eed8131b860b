//! The protobuf wire format, as far as messages are written by hand.

use prost::encoding::{WireType, decode_varint, encoded_len_varint, key_len};

/// How many bytes a field has whose content has so many.
#[inline]
pub(crate) fn field_len(field: u32, content: usize) -> usize {
    key_len(field) + encoded_len_varint(content as u64) + content
}

/// The content of a field that begins with what [`put_header`] puts there.
pub(crate) fn content_of(field: &[u8]) -> &[u8] {
    let mut rest = field;
    let number_and_type = decode_varint(&mut rest);
    let length = decode_varint(&mut rest);
    debug_assert!(number_and_type.is_ok() && length == Ok(rest.len() as u64), "not such a field");
    rest
}

/// Appends what stands before the content of a field.
#[inline]
pub(crate) fn put_header(buffer: &mut Vec<u8>, field: u32, content: usize) {
    put_varint(buffer, u64::from(field << 3 | WireType::LengthDelimited as u32));
    put_varint(buffer, content as u64);
}

/// Appends a number. That of the library takes several times as long: it stands in every response ten times.
#[inline]
fn put_varint(buffer: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        buffer.push(lowest_byte(number) | 0x80);
        number >>= 7;
    }
    buffer.push(lowest_byte(number));
}

#[inline]
fn lowest_byte(number: u64) -> u8 {
    let [lowest, ..] = number.to_le_bytes();
    lowest
}

/// Appends a field.
#[inline]
pub(crate) fn put_field(buffer: &mut Vec<u8>, field: u32, content: &[u8]) {
    put_header(buffer, field, content.len());
    buffer.extend_from_slice(content);
}

#[cfg(test)]
mod tests {
    use prost::encoding::{encode_key, encode_varint};

    use super::*;

    #[test]
    fn headers_are_as_the_library_writes_them() {
        for field in [1, 2, 15, 16, 2047, 2048] {
            for content in [0, 1, 127, 128, 16_383, 16_384, 1 << 20, u32::MAX as usize] {
                let (mut ours, mut theirs) = (Vec::new(), Vec::new());
                put_header(&mut ours, field, content);
                encode_key(field, WireType::LengthDelimited, &mut theirs);
                encode_varint(content as u64, &mut theirs);
                assert_eq!(ours, theirs, "field {field} with {content} bytes");
                assert_eq!(ours.len() + content, field_len(field, content));
            }
        }
    }
}
