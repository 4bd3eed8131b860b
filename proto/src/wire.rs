//! The protobuf wire format, as far as messages are written by hand.

use prost::encoding::{WireType, decode_varint, encode_key, encode_varint, encoded_len_varint, key_len};

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
    encode_key(field, WireType::LengthDelimited, buffer);
    encode_varint(content as u64, buffer);
}

/// Appends a field.
#[inline]
pub(crate) fn put_field(buffer: &mut Vec<u8>, field: u32, content: &[u8]) {
    put_header(buffer, field, content.len());
    buffer.extend_from_slice(content);
}
