//! As much of HTTP/2, gRPC and protobuf as one cheap ADS stream takes, without IO.
//!
//! | module | holds |
//! |---|---|
//! | [`protobuf`] | fields of messages, read in place and written |
//! | [`frame`] | the frames of HTTP/2 |
//! | [`connection`] | a client's connection with one stream of gRPC messages on it |

pub mod connection;
pub mod frame;
pub mod protobuf;

/// Why what a peer has sent cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Of protobuf.
    #[error("a protobuf message is malformed")]
    Protobuf,
    /// Of HTTP/2: longer than it may be, or shorter than it must be.
    #[error("a frame of kind {0} has an unlawful length")]
    FrameLength(u8),
    /// Padding that is longer than its frame.
    #[error("a frame is padded beyond its end")]
    Padding,
    /// Of gRPC: no compression was offered.
    #[error("a message is compressed")]
    Compressed,
}
