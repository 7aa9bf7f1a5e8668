//! gRPC over a Unix socket, as much of it as unary calls need.

use crate::RuntimeError;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, Request};
use prost::Message;
use std::path::Path;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime as Executor};

/// A runtime under load answers late; one that hangs never does.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest answer taken. Status of one sandbox is some 10 KB; a list of a full node some 500 KB.
const MAX_ANSWER: usize = 64 << 20;

/// A connection to a runtime. Everything runs on the caller's thread.
#[derive(Debug)]
pub(crate) struct Client {
    executor: Executor,
    requests: SendRequest<Bytes>,
    socket: String,
}

impl Client {
    pub(crate) fn connect(socket: &Path) -> Result<Self, RuntimeError> {
        let name = socket.display().to_string();
        let failed = |source| RuntimeError::Connect { socket: name.clone(), source };
        let executor = Builder::new_current_thread().enable_io().enable_time().build().map_err(failed)?;
        let connect = async { tokio::time::timeout(TIMEOUT, UnixStream::connect(socket)).await };
        let stream = executor.block_on(connect).map_err(|_| RuntimeError::Timeout { method: "connect" })?;
        let stream = stream.map_err(failed)?;
        let protocol = |error: h2::Error| RuntimeError::Protocol { socket: name.clone(), reason: error.to_string() };
        let handshake = async { tokio::time::timeout(TIMEOUT, h2::client::handshake(stream)).await };
        let shaken = executor.block_on(handshake).map_err(|_| RuntimeError::Timeout { method: "connect" })?;
        let (requests, connection) = shaken.map_err(protocol)?;
        executor.spawn(async move {
            // What ends the connection is told by the call that waits for its answer.
            let _ = connection.await;
        });
        Ok(Self { executor, requests, socket: name })
    }

    /// One call of the runtime service.
    pub(crate) fn call<A: Message, B: Message + Default>(
        &self,
        method: &'static str,
        request: &A,
    ) -> Result<B, RuntimeError> {
        let body = framed(request);
        let call = async { tokio::time::timeout(TIMEOUT, self.exchange(method, body)).await };
        let answer = self.executor.block_on(call).map_err(|_| RuntimeError::Timeout { method })??;
        B::decode(answer).map_err(|error| self.protocol(&error))
    }

    async fn exchange(&self, method: &'static str, body: Bytes) -> Result<Bytes, RuntimeError> {
        let request = Request::post(format!("http://localhost/runtime.v1.RuntimeService/{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .map_err(|error| self.protocol(&error))?;
        let requests = self.requests.clone().ready().await.map_err(|error| self.protocol(&error))?;
        let (response, mut sending) =
            { requests }.send_request(request, false).map_err(|error| self.protocol(&error))?;
        sending.send_data(body, true).map_err(|error| self.protocol(&error))?;
        let response = response.await.map_err(|error| self.protocol(&error))?;
        // A call that fails at once has its status in the headers.
        status(method, response.headers())?;
        let mut stream = response.into_body();
        let mut answer = BytesMut::new();
        while let Some(chunk) = stream.data().await {
            let chunk = chunk.map_err(|error| self.protocol(&error))?;
            stream.flow_control().release_capacity(chunk.len()).map_err(|error| self.protocol(&error))?;
            answer.extend_from_slice(&chunk);
            if answer.len() > MAX_ANSWER {
                return Err(self.protocol(&"its answer is too long"));
            }
        }
        let trailers = stream.trailers().await.map_err(|error| self.protocol(&error))?;
        status(method, &trailers.unwrap_or_default())?;
        unframed(answer.freeze()).ok_or_else(|| self.protocol(&"its answer is cut"))
    }

    fn protocol(&self, reason: &dyn std::fmt::Display) -> RuntimeError {
        RuntimeError::Protocol { socket: self.socket.clone(), reason: reason.to_string() }
    }
}

/// Not compressed, length, message.
fn framed(message: &impl Message) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u8(0);
    bytes.put_u32(message.encoded_len() as u32);
    bytes.extend_from_slice(&message.encode_to_vec());
    bytes.freeze()
}

fn unframed(mut answer: Bytes) -> Option<Bytes> {
    if answer.remaining() < 5 || answer.get_u8() != 0 {
        return None;
    }
    let length = answer.get_u32() as usize;
    (answer.remaining() >= length).then(|| answer.split_to(length))
}

/// `grpc-status` and `grpc-message`; absent is fine here, and 0 is.
fn status(method: &'static str, headers: &HeaderMap) -> Result<(), RuntimeError> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    match text("grpc-status").and_then(|code| code.parse().ok()) {
        None | Some(0) => Ok(()),
        Some(code) => {
            let message = text("grpc-message").unwrap_or_default().to_owned();
            Err(RuntimeError::Refused { method, code, message })
        }
    }
}
