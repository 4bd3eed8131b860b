//! A floor of the h2 crate: prepared bytes go into its streams, and nothing is between.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Request, Response};
use legation_proto::service::Service;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tonic::Status;

use super::fanout::{Fanout, Gone, Outlet};
use super::prepared::PREFIX_BYTES;
use super::session::Session;
use super::tonic_server::unimplemented;

/// How long to wait when the process can open no further connection.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Most bytes of a request: as many as tonic takes.
const REQUEST_BYTES_MAX: usize = 4 << 20;

/// Serves Envoys for ever.
pub(super) async fn serve(listener: TcpListener, fanout: Arc<Fanout>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(serve_connection(stream, Arc::clone(&fanout)))),
            Err(_) => sleep(ACCEPT_RETRY).await,
        }
    }
}

/// An error ends the connection, which is all that there is to do about it.
async fn serve_connection(stream: TcpStream, fanout: Arc<Fanout>) {
    let _ = stream.set_nodelay(true); // a connection that has ended already
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(serve_stream(request, respond, Arc::clone(&fanout)));
    }
}

async fn serve_stream(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    fanout: Arc<Fanout>,
) -> Result<(), h2::Error> {
    let mut response = Response::new(());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    let outlet = Arc::new(ToH2(Mutex::new(respond.send_response(response, false)?)));
    let protocol = fanout.prepared.protocol;
    let status = if Service::of_method(request.uri().path()) == Some((Service::Aggregated, protocol)) {
        let session = Session::new(fanout, Arc::clone(&outlet) as Arc<dyn Outlet>);
        read(request.into_body(), session).await?
    } else {
        unimplemented(protocol)
    };
    outlet.end(status);
    Ok(())
}

/// Reads requests until either side ends the stream, and tells how it ends.
async fn read(mut body: RecvStream, mut session: Session) -> Result<Status, h2::Error> {
    let mut buffer = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        buffer.extend_from_slice(&data);
        if let Err(status) = take_requests(&mut buffer, &mut session) {
            return Ok(status);
        }
    }
    Ok(Status::ok(""))
}

fn take_requests(buffer: &mut BytesMut, session: &mut Session) -> Result<(), Status> {
    while let Some(request) = next_request(buffer)? {
        session.take(request)?;
    }
    Ok(())
}

/// The next request, if all of it is there.
fn next_request(buffer: &mut BytesMut) -> Result<Option<Bytes>, Status> {
    let Some(([compressed, length @ ..], content)) = buffer.split_first_chunk::<PREFIX_BYTES>() else {
        return Ok(None);
    };
    if *compressed != 0 {
        return Err(Status::unimplemented("compression is not offered"));
    }
    let bytes = u32::from_be_bytes(*length) as usize;
    if bytes > REQUEST_BYTES_MAX {
        return Err(Status::out_of_range(format!("a request may have {REQUEST_BYTES_MAX} bytes")));
    }
    if content.len() < bytes {
        return Ok(None);
    }
    buffer.advance(PREFIX_BYTES);
    Ok(Some(buffer.split_to(bytes).freeze()))
}

#[derive(Debug)]
struct ToH2(Mutex<SendStream<Bytes>>);

impl Outlet for ToH2 {
    /// h2 keeps what the windows of its stream and connection have no room for.
    fn send(&self, frame: Bytes) -> Result<(), Gone> {
        let mut stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        stream.send_data(frame, false).map_err(|_| Gone)
    }

    fn end(&self, status: Status) {
        let mut trailers = HeaderMap::new();
        let mut stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if status.add_header(&mut trailers).is_err() || stream.send_trailers(trailers).is_err() {
            stream.send_reset(Reason::INTERNAL_ERROR);
        }
    }
}
