//! The bytes of a connection, of which the first are held back until the peer was heard: what HTTP/2 says of itself at once goes out
//! together with its answer to what the peer says, in one packet. A peer speaks first without being asked (RFC 9113, section 3.4).

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream of bytes both ways.
#[derive(Debug)]
pub struct PackedStream<S> {
    inner: S,
    /// What is to be written before all else.
    held: Vec<u8>,
    was_heard: bool,
}

impl<S: AsyncWrite + Unpin> PackedStream<S> {
    /// One of which nothing was read, nor written.
    pub fn new(inner: S) -> Self {
        Self { inner, held: Vec::new(), was_heard: false }
    }

    /// Writes what was held back, and with it as much of `more` as there is room for. How much of that.
    fn poll_write_held(
        &mut self,
        context: &mut Context<'_>,
        more: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            let held = std::iter::once(IoSlice::new(&self.held));
            let all: Vec<_> = held.chain(more.iter().copied()).collect();
            let written = ready!(Pin::new(&mut self.inner).poll_write_vectored(context, &all))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            if written >= self.held.len() {
                let of_more = written - self.held.len();
                self.held = Vec::new();
                return Poll::Ready(Ok(of_more));
            }
            self.held.drain(..written);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for PackedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        self.was_heard |= buffer.filled().len() > before;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for PackedStream<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if !self.was_heard {
            let before = self.held.len();
            slices.iter().for_each(|slice| self.held.extend_from_slice(slice));
            return Poll::Ready(Ok(self.held.len() - before));
        }
        if !self.held.is_empty() {
            let written = ready!(self.poll_write_held(context, slices))?;
            if written > 0 {
                return Poll::Ready(Ok(written));
            }
        }
        Pin::new(&mut self.inner).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.was_heard && !self.held.is_empty() {
            ready!(self.poll_write_held(context, &[]))?;
        }
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.held.is_empty() {
            ready!(self.poll_write_held(context, &[]))?;
        }
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    async fn read(from: &mut (impl AsyncRead + Unpin), count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        from.read_exact(&mut bytes).await.unwrap();
        bytes
    }

    /// A stream and its peer, with room for so many bytes that nobody has read.
    fn pair(room: usize) -> (PackedStream<DuplexStream>, DuplexStream) {
        let (ours, peer) = duplex(room);
        (PackedStream::new(ours), peer)
    }

    /// A socket to a peer that says one thing again and again; keeps apart what it was told by different calls.
    #[derive(Default)]
    struct Packets(Vec<Vec<u8>>);

    impl AsyncRead for Packets {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            buffer.put_slice(b"h");
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Packets {
        fn poll_write(
            self: Pin<&mut Self>,
            context: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.poll_write_vectored(context, &[IoSlice::new(bytes)])
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let packet: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            let len = packet.len();
            self.0.push(packet);
            Poll::Ready(Ok(len))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn what_is_written_first_goes_out_with_the_first_answer() {
        let mut stream = PackedStream::new(Packets::default());
        stream.write_all(b"settings").await.unwrap();
        stream.flush().await.unwrap();
        assert!(stream.inner.0.is_empty());
        read(&mut stream, 1).await;
        stream.write_all(b"answer").await.unwrap();
        stream.write_all(b"more").await.unwrap();
        assert_eq!(stream.inner.0, [b"settingsanswer".to_vec(), b"more".to_vec()]);
    }

    #[tokio::test]
    async fn it_goes_out_without_an_answer_too() {
        let (mut stream, mut peer) = pair(100);
        stream.write_all(b"settings").await.unwrap();
        peer.write_all(b"hello").await.unwrap();
        assert_eq!(read(&mut stream, 5).await, b"hello");
        stream.flush().await.unwrap();
        assert_eq!(read(&mut peer, 8).await, b"settings");
    }

    #[tokio::test]
    async fn it_goes_out_before_the_end_though_nobody_was_heard() {
        let (mut stream, mut peer) = pair(100);
        stream.write_all(b"settings").await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(read(&mut peer, 8).await, b"settings");
        assert_eq!(peer.read(&mut [0]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn nothing_is_lost_where_there_is_little_room() {
        for room in 1..=15 {
            let (mut stream, mut peer) = pair(room);
            stream.write_all(b"settings").await.unwrap();
            peer.write_all(b"h").await.unwrap();
            read(&mut stream, 1).await;
            let write = async { stream.write_all(b"answer").await.unwrap() };
            let ((), bytes) = tokio::join!(write, read(&mut peer, 14));
            assert_eq!(bytes, b"settingsanswer", "with room for {room}");
        }
    }
}
