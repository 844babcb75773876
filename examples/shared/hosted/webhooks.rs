//! The web server that vendors talk to.

use std::net::SocketAddr;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{Response, StatusCode};
use rivvi::Rivvi;
use rivvi::provider::{WebhookError, WebhookRequest};
use tokio::net::TcpListener;

use crate::shared::outcome::Failure;

/// The longest webhook that is taken: those with long transcripts have some hundred kilobytes.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// Listens, and tells where: the port may have been left to the system.
pub(crate) async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Failure> {
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| Failure::Input(format!("--listen {address}: {error}; expected a free address")))?;
    let address = listener.local_addr().map_err(|error| Failure::Broken(error.to_string()))?;
    Ok((listener, address))
}

/// Takes webhooks until it is dropped.
pub(crate) async fn serve(listener: TcpListener, routes: Router) {
    if let Err(error) = axum::serve(listener, routes).await {
        eprintln!(
            "warning: webhooks are not taken any more: {error}; the vendor is asked instead, if it can be"
        );
    }
}

/// News from a provider: acknowledged once it is stored.
pub(crate) async fn receive(rivvi: &Rivvi, provider: &str, request: Request) -> Response<Body> {
    let Some(request) = whole(request).await else { return status(StatusCode::PAYLOAD_TOO_LARGE) };
    match rivvi.receive(provider, &request).await {
        Ok(answer) => answer.map(Body::from),
        Err(error) => refuse(&error),
    }
}

/// A webhook with all of its body, unless it is too long.
pub(crate) async fn whole(request: Request) -> Option<WebhookRequest> {
    let (head, body) = request.into_parts();
    Some(WebhookRequest::from_parts(head, to_bytes(body, BYTES_MAX).await.ok()?))
}

pub(crate) fn refuse(error: &WebhookError) -> Response<Body> {
    eprintln!("warning: a webhook was refused: {error}");
    status(error.status())
}

pub(crate) fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
