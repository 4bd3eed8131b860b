//! The frames of HTTP/2, RFC 9113 section 4 and 6: those that a client with one stream meets.

/// The bytes of a frame's header.
pub const HEADER_BYTES: usize = 9;
/// The longest payload that both sides may send unless they agree on more, which this client does not.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 14;
/// The window of everything until something is said.
pub const WINDOW_AT_FIRST: u32 = (1 << 16) - 1;
/// The largest window.
pub const WINDOW_MAX: u32 = (1 << 31) - 1;
/// The parameter of SETTINGS that sets the windows of streams.
pub const INITIAL_WINDOW_SIZE: u16 = 4;

/// Kinds of frames.
pub mod kind {
    /// Parts of messages.
    pub const DATA: u8 = 0;
    /// Begins a response, or ends a stream.
    pub const HEADERS: u8 = 1;
    /// Ends a stream at once.
    pub const RST_STREAM: u8 = 3;
    /// Parameters of the connection.
    pub const SETTINGS: u8 = 4;
    /// Has to be answered.
    pub const PING: u8 = 6;
    /// The connection takes no more streams.
    pub const GOAWAY: u8 = 7;
    /// Credit.
    pub const WINDOW_UPDATE: u8 = 8;
}

/// Flags of frames.
pub mod flag {
    /// Of SETTINGS and PING.
    pub const ACK: u8 = 1;
    /// Of DATA and HEADERS.
    pub const END_STREAM: u8 = 1;
    /// Of HEADERS: there is no CONTINUATION.
    pub const END_HEADERS: u8 = 4;
    /// Of DATA.
    pub const PADDED: u8 = 8;
}

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The length of the payload.
    pub length: usize,
    /// One of [`kind`], or another.
    pub kind: u8,
    /// Of [`flag`].
    pub flags: u8,
    /// The stream, 0 for the connection.
    pub stream: u32,
}

impl Header {
    /// Reads a header.
    pub const fn read(bytes: &[u8; HEADER_BYTES]) -> Self {
        let [a, b, c, kind, flags, d, e, f, g] = *bytes;
        Self {
            length: (a as usize) << 16 | (b as usize) << 8 | c as usize,
            kind,
            flags,
            stream: u32::from_be_bytes([d, e, f, g]) & WINDOW_MAX,
        }
    }

    /// Whether a flag is set.
    pub const fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Writes the header of a frame whose payload follows.
pub fn put_header(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, length: usize) {
    debug_assert!(length <= PAYLOAD_BYTES_MAX);
    let [.., a, b, c] = length.to_be_bytes();
    out.extend_from_slice(&[a, b, c, kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
}

/// Writes a frame.
pub fn put(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    put_header(out, kind, flags, stream, payload.len());
    out.extend_from_slice(payload);
}

/// What a client says first. Windows are as large as they can be, so that a server never waits for credit.
pub fn put_preface(out: &mut Vec<u8>) {
    out.extend_from_slice(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    put_header(out, kind::SETTINGS, 0, 0, 6);
    out.extend_from_slice(&INITIAL_WINDOW_SIZE.to_be_bytes());
    out.extend_from_slice(&WINDOW_MAX.to_be_bytes());
    put(out, kind::WINDOW_UPDATE, 0, 0, &(WINDOW_MAX - WINDOW_AT_FIRST).to_be_bytes());
}

/// The header block of a gRPC call: literals, whose names are indices into HPACK's static table where they stand in it.
pub fn request_headers(authority: &str, path: &str) -> Vec<u8> {
    let mut block = vec![0x83, 0x86, 0x01]; // :method POST, :scheme http, :authority
    put_text(&mut block, authority);
    block.push(0x04); // :path
    put_text(&mut block, path);
    block.extend_from_slice(&[0x0f, 0x10]); // content-type
    put_text(&mut block, "application/grpc");
    block.push(0x00);
    put_text(&mut block, "te");
    put_text(&mut block, "trailers");
    block
}

fn put_text(block: &mut Vec<u8>, text: &str) {
    let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
    debug_assert!(length < 127, "a longer one takes more than a byte");
    block.push(length);
    block.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_round_trip() {
        for (length, kind, flags, stream) in
            [(0, 4, 1, 0), (PAYLOAD_BYTES_MAX, 0, 9, WINDOW_MAX), (258, 6, 0, 3)]
        {
            let mut out = Vec::new();
            put_header(&mut out, kind, flags, stream, length);
            let header = Header::read(out.as_slice().try_into().expect("nine bytes"));
            assert_eq!(header, Header { length, kind, flags, stream });
        }
        let reserved_bit = [0, 0, 0, 0, 0, 0x80, 0, 0, 1];
        assert_eq!(Header::read(&reserved_bit).stream, 1);
    }

    #[test]
    fn the_preface_opens_both_windows() {
        let mut out = Vec::new();
        put_preface(&mut out);
        assert_eq!(
            &out[24..],
            b"\0\0\x06\x04\0\0\0\0\0\0\x04\x7f\xff\xff\xff\0\0\x04\x08\0\0\0\0\0\x7f\xff\0\0"
        );
    }
}
