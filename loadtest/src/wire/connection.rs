//! A client's connection with one stream of gRPC messages on it: bytes in, events and bytes out.

use super::Violation;
use super::frame::{
    self, HEADER_BYTES, Header, INITIAL_WINDOW_SIZE, WINDOW_AT_FIRST, WINDOW_MAX, flag, kind,
};

/// The bytes before each message of gRPC: whether it is compressed, and its length.
const MESSAGE_HEADER_BYTES: usize = 5;
/// What is read before credit is given back.
const REPLENISH_AT: u64 = WINDOW_MAX as u64 / 2;
/// What buffers may keep when they are empty.
const KEPT_BYTES: usize = 1 << 12;

/// What a server has said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// The stream was accepted.
    Accepted,
    /// A whole message.
    Message(&'a [u8]),
    /// The stream has ended; another can be opened, unless the connection is going away.
    Ended,
    /// The server has read everything up to [`Outgoing::ping`].
    Pong,
}

/// A connection. Its client writes what is in [`Outgoing::buffer`].
#[derive(Debug)]
pub struct Connection {
    /// What is to be sent.
    pub outgoing: Outgoing,
    incoming: Incoming,
}

/// What is to be sent, within the credit that the server gives.
#[derive(Debug)]
pub struct Outgoing {
    /// Frames that can be written.
    pub buffer: Vec<u8>,
    /// Messages with their headers that wait for credit.
    waiting: Vec<u8>,
    stream: Option<u32>,
    stream_next: u32,
    connection_credit: i64,
    stream_credit: i64,
    stream_credit_at_first: i64,
    going_away: bool,
}

/// What has come and is not whole.
#[derive(Debug, Default)]
struct Incoming {
    frame: Vec<u8>,
    message: Vec<u8>,
    connection_used: u64,
    stream_used: u64,
}

impl Default for Connection {
    fn default() -> Self {
        Self::new()
    }
}

impl Connection {
    /// A connection, with the preface to be sent.
    pub fn new() -> Self {
        let mut buffer = Vec::new();
        frame::put_preface(&mut buffer);
        let outgoing = Outgoing {
            buffer,
            waiting: Vec::new(),
            stream: None,
            stream_next: 1,
            connection_credit: i64::from(WINDOW_AT_FIRST),
            stream_credit: 0,
            stream_credit_at_first: i64::from(WINDOW_AT_FIRST),
            going_away: false,
        };
        Self { outgoing, incoming: Incoming::default() }
    }

    /// Opens the stream, with a header block as [`frame::request_headers`] makes it.
    pub fn open_stream(&mut self, headers: &[u8]) {
        let outgoing = &mut self.outgoing;
        let stream = outgoing.stream_next;
        outgoing.stream_next += 2;
        outgoing.stream = Some(stream);
        outgoing.stream_credit = outgoing.stream_credit_at_first;
        outgoing.waiting.clear();
        self.incoming.message.clear();
        self.incoming.stream_used = 0;
        frame::put(&mut outgoing.buffer, kind::HEADERS, flag::END_HEADERS, stream, headers);
    }

    /// Takes in what was read.
    ///
    /// # Errors
    ///
    /// If it cannot be understood, also by `on_event`: then the connection is of no more use.
    pub fn receive(
        &mut self,
        input: &[u8],
        mut on_event: impl FnMut(&mut Outgoing, Event<'_>) -> Result<(), Violation>,
    ) -> Result<(), Violation> {
        let Self { outgoing, incoming } = self;
        if incoming.frame.is_empty() {
            let rest = incoming.frames(outgoing, input, &mut on_event)?;
            incoming.frame.extend_from_slice(rest);
            return Ok(());
        }
        let mut joined = std::mem::take(&mut incoming.frame);
        joined.extend_from_slice(input);
        let rest = incoming.frames(outgoing, &joined, &mut on_event)?.len();
        joined.drain(..joined.len() - rest);
        joined.shrink_to(KEPT_BYTES);
        incoming.frame = joined;
        Ok(())
    }
}

impl Incoming {
    /// Takes all whole frames and returns the rest.
    fn frames<'a>(
        &mut self,
        outgoing: &mut Outgoing,
        mut input: &'a [u8],
        on_event: &mut impl FnMut(&mut Outgoing, Event<'_>) -> Result<(), Violation>,
    ) -> Result<&'a [u8], Violation> {
        while let Some((header, after)) = input.split_first_chunk::<HEADER_BYTES>() {
            let header = Header::read(header);
            if header.length > frame::PAYLOAD_BYTES_MAX {
                return Err(Violation::FrameLength(header.kind));
            }
            let Some((payload, rest)) = after.split_at_checked(header.length) else { break };
            self.frame(outgoing, header, payload, on_event)?;
            input = rest;
        }
        Ok(input)
    }

    fn frame(
        &mut self,
        outgoing: &mut Outgoing,
        header: Header,
        payload: &[u8],
        on_event: &mut impl FnMut(&mut Outgoing, Event<'_>) -> Result<(), Violation>,
    ) -> Result<(), Violation> {
        let of_stream = outgoing.stream == Some(header.stream);
        let ends_stream = header.has(flag::END_STREAM);
        match header.kind {
            kind::DATA => {
                self.use_window(outgoing, header, of_stream);
                if of_stream {
                    self.data(outgoing, unpadded(header, payload)?, on_event)?;
                    // again, as the stream may have been ended meanwhile
                    if ends_stream && outgoing.stream == Some(header.stream) {
                        outgoing.end_stream();
                        on_event(outgoing, Event::Ended)?;
                    }
                }
            }
            kind::HEADERS if of_stream && ends_stream => {
                outgoing.end_stream();
                on_event(outgoing, Event::Ended)?;
            }
            kind::HEADERS if of_stream => on_event(outgoing, Event::Accepted)?,
            kind::RST_STREAM if of_stream => {
                outgoing.end_stream();
                on_event(outgoing, Event::Ended)?;
            }
            kind::SETTINGS if !header.has(flag::ACK) => {
                for setting in payload.chunks(6) {
                    let &[a, b, c, d, e, f] = setting else {
                        return Err(Violation::FrameLength(header.kind));
                    };
                    if u16::from_be_bytes([a, b]) == INITIAL_WINDOW_SIZE {
                        outgoing.set_initial_window(u32::from_be_bytes([c, d, e, f]));
                    }
                }
                frame::put(&mut outgoing.buffer, kind::SETTINGS, flag::ACK, 0, &[]);
            }
            kind::PING if header.has(flag::ACK) => on_event(outgoing, Event::Pong)?,
            kind::PING => frame::put(&mut outgoing.buffer, kind::PING, flag::ACK, 0, payload),
            kind::GOAWAY => {
                let last = number(header, payload)?;
                outgoing.going_away = true;
                if outgoing.stream.is_some_and(|stream| stream > last) {
                    outgoing.end_stream();
                    on_event(outgoing, Event::Ended)?;
                }
            }
            kind::WINDOW_UPDATE => {
                let credit = i64::from(number(header, payload)?);
                if header.stream == 0 {
                    outgoing.connection_credit += credit;
                } else if of_stream {
                    outgoing.stream_credit += credit;
                }
                outgoing.flush();
            }
            // CONTINUATION and PRIORITY say nothing here, and of what is unknown nothing has to be known
            _ => {}
        }
        Ok(())
    }

    /// Gives credit back before the server runs out of it.
    fn use_window(&mut self, outgoing: &mut Outgoing, header: Header, of_stream: bool) {
        let length = header.length as u64;
        self.connection_used += length;
        replenish(&mut self.connection_used, 0, outgoing);
        if of_stream {
            self.stream_used += length;
            replenish(&mut self.stream_used, header.stream, outgoing);
        }
    }

    /// Takes messages out of a part of the stream: in place, where they are whole.
    fn data(
        &mut self,
        outgoing: &mut Outgoing,
        mut part: &[u8],
        on_event: &mut impl FnMut(&mut Outgoing, Event<'_>) -> Result<(), Violation>,
    ) -> Result<(), Violation> {
        if !self.message.is_empty() {
            // what is lacking of the message's header, then what is lacking of the message
            for _ in 0..2 {
                let length = message_length(&self.message)?.unwrap_or(MESSAGE_HEADER_BYTES);
                let (lacking, rest) =
                    part.split_at(part.len().min(length.saturating_sub(self.message.len())));
                self.message.extend_from_slice(lacking);
                part = rest;
            }
            match message_length(&self.message)? {
                Some(length) if length == self.message.len() => {
                    on_event(outgoing, Event::Message(&self.message[MESSAGE_HEADER_BYTES..]))?;
                    self.message.clear();
                    self.message.shrink_to(KEPT_BYTES);
                }
                _ => return Ok(()),
            }
        }
        while let Some(length) = message_length(part)? {
            let Some((message, rest)) = part.split_at_checked(length) else { break };
            on_event(outgoing, Event::Message(&message[MESSAGE_HEADER_BYTES..]))?;
            part = rest;
        }
        self.message.extend_from_slice(part);
        Ok(())
    }
}

impl Outgoing {
    /// Sends a message on the stream, as soon as there is credit; drops it if there is no stream.
    pub fn send(&mut self, message: &[u8]) {
        if self.stream.is_none() {
            return;
        }
        self.waiting.push(0);
        // a request of 4 GiB has no place in memory
        self.waiting.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
        self.waiting.extend_from_slice(message);
        self.flush();
    }

    /// Asks the server to answer when it has read everything before.
    pub fn ping(&mut self) {
        frame::put(&mut self.buffer, kind::PING, 0, 0, &[0; 8]);
    }

    /// Whether messages wait for credit.
    pub const fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether there is a stream.
    pub const fn has_stream(&self) -> bool {
        self.stream.is_some()
    }

    /// Whether the server wants no more streams on this connection.
    pub const fn is_going_away(&self) -> bool {
        self.going_away
    }

    fn flush(&mut self) {
        let Some(stream) = self.stream else { return };
        let mut sent = 0;
        while sent < self.waiting.len() {
            let credit = usize::try_from(self.connection_credit.min(self.stream_credit)).unwrap_or(0);
            let length = (self.waiting.len() - sent).min(credit).min(frame::PAYLOAD_BYTES_MAX);
            if length == 0 {
                break;
            }
            frame::put(&mut self.buffer, kind::DATA, 0, stream, &self.waiting[sent..sent + length]);
            sent += length;
            self.connection_credit -= length as i64;
            self.stream_credit -= length as i64;
        }
        self.waiting.drain(..sent);
    }

    /// Also for the stream that there is, whose credit may become negative.
    fn set_initial_window(&mut self, window: u32) {
        let window = i64::from(window);
        self.stream_credit += window - self.stream_credit_at_first;
        self.stream_credit_at_first = window;
        self.flush();
    }

    fn end_stream(&mut self) {
        self.stream = None;
        self.waiting.clear();
    }
}

fn replenish(used: &mut u64, stream: u32, outgoing: &mut Outgoing) {
    if *used >= REPLENISH_AT {
        let credit = u32::try_from(*used).unwrap_or(WINDOW_MAX);
        frame::put(&mut outgoing.buffer, kind::WINDOW_UPDATE, 0, stream, &credit.to_be_bytes());
        *used = 0;
    }
}

/// The length of a message with its header, if as much as that is there.
fn message_length(part: &[u8]) -> Result<Option<usize>, Violation> {
    match part.first_chunk() {
        None => Ok(None),
        Some(&[0, a, b, c, d]) => Ok(Some(MESSAGE_HEADER_BYTES + u32::from_be_bytes([a, b, c, d]) as usize)),
        Some(_) => Err(Violation::Compressed),
    }
}

fn unpadded(header: Header, payload: &[u8]) -> Result<&[u8], Violation> {
    if !header.has(flag::PADDED) {
        return Ok(payload);
    }
    let (&padding, data) = payload.split_first().ok_or(Violation::Padding)?;
    let length = data.len().checked_sub(usize::from(padding)).ok_or(Violation::Padding)?;
    Ok(&data[..length])
}

/// The number that a frame begins with, without the reserved bit.
fn number(header: Header, payload: &[u8]) -> Result<u32, Violation> {
    let bytes = payload.first_chunk().ok_or(Violation::FrameLength(header.kind))?;
    Ok(u32::from_be_bytes(*bytes) & WINDOW_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        frame::put(&mut out, kind, flags, stream, payload);
        out
    }

    fn message(content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).expect("short");
        [&[0][..], &length.to_be_bytes(), content].concat()
    }

    fn opened() -> Connection {
        let mut connection = Connection::new();
        connection.open_stream(b"");
        connection.outgoing.buffer.clear();
        connection
    }

    fn receive(connection: &mut Connection, input: &[u8]) -> Result<Vec<String>, Violation> {
        let mut events = Vec::new();
        connection.receive(input, |_, event| {
            events.push(match event {
                Event::Message(content) if content.len() < 100 => {
                    String::from_utf8_lossy(content).into_owned()
                }
                Event::Message(content) => format!("{} bytes", content.len()),
                other => format!("{other:?}"),
            });
            Ok(())
        })?;
        Ok(events)
    }

    /// The same events come of the input as a whole, and of any two parts of it, and of its single bytes.
    fn check(input: &[u8], expected: &[&str]) {
        assert_eq!(receive(&mut opened(), input).expect("lawful"), expected);
        let step = input.len().div_ceil(200).max(1);
        for at in (0..input.len()).step_by(step) {
            let mut connection = opened();
            let mut events = receive(&mut connection, &input[..at]).expect("lawful");
            events.extend(receive(&mut connection, &input[at..]).expect("lawful"));
            assert_eq!(events, expected, "in two parts at {at}");
        }
        let mut connection = opened();
        let events: Vec<_> =
            input.iter().flat_map(|byte| receive(&mut connection, &[*byte]).expect("lawful")).collect();
        assert_eq!(events, expected, "byte by byte");
    }

    #[test]
    fn messages_are_found_however_they_are_cut() {
        let (a, b) = (message(b"first"), message(b"second"));
        let both = [a.clone(), b.clone()].concat();
        check(&frame(kind::DATA, 0, 1, &a), &["first"]);
        check(&frame(kind::DATA, 0, 1, &both), &["first", "second"]);
        check(&frame(kind::DATA, 0, 1, &message(b"")), &[""]);
        for at in 0..both.len() {
            let parts = [frame(kind::DATA, 0, 1, &both[..at]), frame(kind::DATA, 0, 1, &both[at..])].concat();
            assert_eq!(
                receive(&mut opened(), &parts).expect("lawful"),
                ["first", "second"],
                "frames cut at {at}"
            );
        }
        let long = message(&[b'x'; 40_000]);
        let frames: Vec<u8> = long.chunks(16_384).flat_map(|part| frame(kind::DATA, 0, 1, part)).collect();
        check(&[frames, frame(kind::DATA, 0, 1, &a)].concat(), &["40000 bytes", "first"]);
        check(&frame(kind::DATA, flag::PADDED, 1, &[&[3][..], &a, &[0; 3]].concat()), &["first"]);
        check(&frame(kind::DATA, 0, 3, &a), &[]);
    }

    #[test]
    fn a_stream_begins_and_ends() {
        let accepted = frame(kind::HEADERS, flag::END_HEADERS, 1, b"...");
        let goaway = |last: u32| frame(kind::GOAWAY, 0, 0, &[last.to_be_bytes(), [0; 4]].concat());
        check(&accepted, &["Accepted"]);
        check(&frame(kind::HEADERS, flag::END_STREAM, 1, b"..."), &["Ended"]);
        check(
            &[accepted.clone(), frame(9, 4, 1, b"..."), frame(kind::RST_STREAM, 0, 1, &[0; 4])].concat(),
            &["Accepted", "Ended"],
        );
        check(&frame(kind::DATA, flag::END_STREAM, 1, &message(b"last")), &["last", "Ended"]);
        check(&goaway(0), &["Ended"]);
        check(&[goaway(1), frame(kind::DATA, 0, 1, &message(b"more"))].concat(), &["more"]);
        check(&frame(kind::PING, flag::ACK, 0, &[0; 8]), &["Pong"]);
        let mut connection = opened();
        receive(&mut connection, &goaway(1)).expect("lawful");
        assert!(connection.outgoing.is_going_away() && connection.outgoing.has_stream());
    }

    #[test]
    fn after_a_stream_ended_the_next_one_is_heard() {
        let mut connection = opened();
        let half = &message(b"never whole")[..7];
        let input = [frame(kind::DATA, 0, 1, half), frame(kind::RST_STREAM, 0, 1, &[0; 4])].concat();
        assert_eq!(receive(&mut connection, &input).expect("lawful"), ["Ended"]);
        connection.open_stream(b"");
        assert_eq!(connection.outgoing.buffer, frame(kind::HEADERS, flag::END_HEADERS, 3, b""));
        let input = [frame(kind::DATA, 0, 1, b"late"), frame(kind::DATA, 0, 3, &message(b"new"))].concat();
        assert_eq!(receive(&mut connection, &input).expect("lawful"), ["new"]);
    }

    #[test]
    fn what_has_to_be_answered_is() {
        let mut connection = opened();
        let input = [
            frame(kind::SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9]),
            frame(kind::PING, 0, 0, b"12345678"),
            frame(kind::SETTINGS, flag::ACK, 0, &[]),
        ];
        receive(&mut connection, &input.concat()).expect("lawful");
        let expected =
            [frame(kind::SETTINGS, flag::ACK, 0, &[]), frame(kind::PING, flag::ACK, 0, b"12345678")].concat();
        assert_eq!(connection.outgoing.buffer, expected);
    }

    #[test]
    fn what_is_sent_waits_for_credit() {
        let window = |bytes: u32| [&[0, 4][..], &bytes.to_be_bytes()].concat();
        let update = |stream, credit: u32| frame(kind::WINDOW_UPDATE, 0, stream, &credit.to_be_bytes());
        let mut connection = opened();
        receive(&mut connection, &frame(kind::SETTINGS, 0, 0, &window(3))).expect("lawful");
        connection.outgoing.buffer.clear();
        connection.outgoing.send(b"hello");
        let sent = |connection: &mut Connection| std::mem::take(&mut connection.outgoing.buffer);
        assert_eq!(sent(&mut connection), frame(kind::DATA, 0, 1, &[0, 0, 0]));
        assert!(connection.outgoing.is_waiting());
        receive(&mut connection, &update(0, 100)).expect("lawful");
        assert_eq!(sent(&mut connection), b"", "the connection's credit is not the stream's");
        receive(&mut connection, &update(1, 4)).expect("lawful");
        assert_eq!(sent(&mut connection), frame(kind::DATA, 0, 1, b"\0\x05he"));
        receive(&mut connection, &frame(kind::SETTINGS, 0, 0, &window(1))).expect("lawful");
        receive(&mut connection, &update(1, 2)).expect("lawful");
        let settings_ack = frame(kind::SETTINGS, flag::ACK, 0, &[]);
        assert_eq!(sent(&mut connection), settings_ack, "a smaller window takes credit back");
        receive(&mut connection, &update(1, 9)).expect("lawful");
        assert_eq!(sent(&mut connection), frame(kind::DATA, 0, 1, b"llo"));
        assert!(!connection.outgoing.is_waiting());
    }

    #[test]
    fn the_credit_of_the_connection_is_shared_by_its_streams() {
        let mut connection = opened();
        connection.outgoing.send(&vec![0; 70_000]);
        let data = |buffer: &[u8]| -> usize {
            let (mut rest, mut total) = (buffer, 0);
            while let Some((header, after)) = rest.split_first_chunk() {
                let header = Header::read(header);
                assert!(header.kind == kind::DATA && header.length <= frame::PAYLOAD_BYTES_MAX);
                total += header.length;
                rest = &after[header.length..];
            }
            total
        };
        assert_eq!(data(&connection.outgoing.buffer), 65_535);
        receive(&mut connection, &frame(kind::RST_STREAM, 0, 1, &[0; 4])).expect("lawful");
        connection.open_stream(b"");
        connection.outgoing.buffer.clear();
        connection.outgoing.send(b"hello");
        assert!(connection.outgoing.buffer.is_empty() && connection.outgoing.is_waiting());
        receive(&mut connection, &frame(kind::WINDOW_UPDATE, 0, 0, &[0, 0, 1, 0])).expect("lawful");
        assert_eq!(data(&connection.outgoing.buffer), 10);
    }

    #[test]
    fn credit_is_given_back_when_half_is_used() {
        let mut connection = opened();
        let input = frame(kind::DATA, 0, 1, &message(&[0; 16_379]));
        let mut frames = 0;
        while connection.outgoing.buffer.is_empty() {
            receive(&mut connection, &input).expect("lawful");
            frames += 1;
        }
        assert_eq!(frames, (1 << 30) / 16_384);
        let credit = (1u32 << 30).to_be_bytes();
        let expected =
            [frame(kind::WINDOW_UPDATE, 0, 0, &credit), frame(kind::WINDOW_UPDATE, 0, 1, &credit)].concat();
        assert_eq!(connection.outgoing.buffer, expected);
    }

    #[test]
    fn what_is_unlawful_is_an_error() {
        let check =
            |input: &[u8], expected| assert_eq!(receive(&mut opened(), input), Err(expected), "{input:02x?}");
        check(&frame(kind::DATA, 0, 1, &[1, 0, 0, 0, 0]), Violation::Compressed);
        check(&frame(kind::DATA, flag::PADDED, 1, &[9, 0]), Violation::Padding);
        check(&frame(kind::DATA, flag::PADDED, 1, &[]), Violation::Padding);
        check(&frame(kind::SETTINGS, 0, 0, &[0]), Violation::FrameLength(kind::SETTINGS));
        check(&frame(kind::WINDOW_UPDATE, 0, 0, &[0]), Violation::FrameLength(kind::WINDOW_UPDATE));
        check(b"\xff\xff\xff\0\0\0\0\0\x01", Violation::FrameLength(kind::DATA));
    }
}
