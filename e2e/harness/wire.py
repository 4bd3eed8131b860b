"""The bytes of HTTP/2, as few as a cheap ADS stream takes: no library, nothing that it does not look at."""

from harness import xds

FRAME_HEADER_BYTES = 9
WINDOW_BYTES = (1 << 31) - 1
WINDOW_BYTES_AT_FIRST = (1 << 16) - 1
INITIAL_WINDOW_SIZE = 4

ACK = END_STREAM = 1
END_HEADERS = 4


class Kind:
    """Of frames."""

    DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8


def http2_frame(kind, flags, stream, payload):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


# windows that never close: nothing has to be said about them later
PREFACE = b"".join([
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    http2_frame(Kind.SETTINGS, 0, 0, INITIAL_WINDOW_SIZE.to_bytes(2, "big") + WINDOW_BYTES.to_bytes(4, "big")),
    http2_frame(Kind.WINDOW_UPDATE, 0, 0, (WINDOW_BYTES - WINDOW_BYTES_AT_FIRST).to_bytes(4, "big")),
])
SETTINGS_ACK = http2_frame(Kind.SETTINGS, ACK, 0, b"")


def take_frames(data):
    """Takes all whole frames from the front of a bytearray: a list of (kind, flags, payload)."""
    frames, position = [], 0
    while len(data) - position >= FRAME_HEADER_BYTES:
        start = position + FRAME_HEADER_BYTES
        end = start + int.from_bytes(data[position:position + 3], "big")
        if len(data) < end:
            break
        frames.append((data[position + 3], data[position + 4], bytes(data[start:end])))
        position = end
    del data[:position]
    return frames


def take_messages(data):
    """Takes all whole gRPC messages from the front of a bytearray."""
    messages, position = [], 0
    while len(data) - position >= 5:
        end = position + 5 + int.from_bytes(data[position + 1:position + 5], "big")
        if len(data) < end:
            break
        messages.append(bytes(data[position + 5:end]))
        position = end
    del data[:position]
    return messages


def request_headers(protocol):
    """The header block of the call: literals only, names by their index in HPACK's static table where they have one."""
    return b"".join([
        b"\x83",  # :method POST
        b"\x86",  # :scheme http
        b"\x01" + _hpack_text("legation"),  # :authority
        b"\x04" + _hpack_text(f"/{xds.SERVICE}/{xds.METHODS[protocol]}"),  # :path
        b"\x0f\x10" + _hpack_text("application/grpc"),  # content-type
        b"\x00" + _hpack_text("te") + _hpack_text("trailers"),
    ])


def _hpack_text(text):
    encoded = text.encode()
    assert len(encoded) < 127
    return bytes([len(encoded)]) + encoded

