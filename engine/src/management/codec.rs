//! gRPC messages that are encoded already: responses go out as the actors made them, requests come in decoded.

use std::marker::PhantomData;

use bytes::{BufMut, Bytes};
use prost::Message;
use tonic::Status;
use tonic::codec::{Codec, EncodeBuf, Encoder};
use tonic_prost::ProstDecoder;

/// Decodes requests of type `T`, sends responses that are encoded already.
#[derive(Debug)]
pub struct FrameCodec<T>(PhantomData<T>);

impl<T> Default for FrameCodec<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: Message + Default + Send + 'static> Codec for FrameCodec<T> {
    type Encode = Bytes;
    type Decode = T;
    type Encoder = FrameEncoder;
    type Decoder = ProstDecoder<T>;

    fn encoder(&mut self) -> FrameEncoder {
        FrameEncoder
    }

    fn decoder(&mut self) -> ProstDecoder<T> {
        ProstDecoder::default()
    }
}

/// Writes bytes as they are.
#[derive(Clone, Copy, Debug)]
pub struct FrameEncoder;

impl Encoder for FrameEncoder {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, frame: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(frame);
        Ok(())
    }
}
