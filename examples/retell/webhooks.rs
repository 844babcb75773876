//! The web server that Retell talks to.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode};
use axum::routing::post;
use rivvi::Rivvi;
use rivvi::provider::{WebhookError, WebhookRequest};
use tokio::net::TcpListener;

/// The longest webhook that is taken: those with long transcripts have some hundred kilobytes.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// Takes webhooks until it is dropped.
pub(crate) async fn serve(listener: TcpListener, rivvi: Rivvi) {
    let routes =
        Router::new().route("/webhook", post(webhook)).route("/inbound", post(inbound)).with_state(rivvi);
    if let Err(error) = axum::serve(listener, routes).await {
        eprintln!("warning: webhooks are not taken any more: {error}; calls are looked up instead");
    }
}

/// News of a call: acknowledged once it is stored.
async fn webhook(State(rivvi): State<Rivvi>, request: Request) -> Response<Body> {
    let Some(request) = whole(request).await else { return status(StatusCode::PAYLOAD_TOO_LARGE) };
    match rivvi.receive("retell", &request).await {
        Ok(answer) => answer.map(Body::from),
        Err(error) => refuse(&error),
    }
}

/// Somebody calls back: who answers?
async fn inbound(State(rivvi): State<Rivvi>, request: Request) -> Response<Body> {
    let Some(request) = whole(request).await else { return status(StatusCode::PAYLOAD_TOO_LARGE) };
    match rivvi.receive_inbound("retell", &request).await {
        Ok(answer) => answer.map(Body::from),
        Err(error) => refuse(&error),
    }
}

async fn whole(request: Request) -> Option<WebhookRequest> {
    let (head, body) = request.into_parts();
    Some(WebhookRequest::from_parts(head, to_bytes(body, BYTES_MAX).await.ok()?))
}

fn refuse(error: &WebhookError) -> Response<Body> {
    eprintln!("warning: a webhook was refused: {error}");
    status(error.status())
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
