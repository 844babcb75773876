//! What Retell tells and asks.

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode};
use axum::routing::post;
use rivvi::Rivvi;

use crate::hosted::webhooks::{receive, refuse, status, whole};

/// Where Retell's webhooks go.
pub(crate) fn routes(rivvi: Rivvi) -> Router {
    Router::new().route("/webhook", post(webhook)).route("/inbound", post(inbound)).with_state(rivvi)
}

/// News of a call.
async fn webhook(State(rivvi): State<Rivvi>, request: Request) -> Response<Body> {
    receive(&rivvi, "retell", request).await
}

/// Somebody calls back: who answers?
async fn inbound(State(rivvi): State<Rivvi>, request: Request) -> Response<Body> {
    let Some(request) = whole(request).await else { return status(StatusCode::PAYLOAD_TOO_LARGE) };
    match rivvi.receive_inbound("retell", &request).await {
        Ok(answer) => answer.map(Body::from),
        Err(error) => refuse(&error),
    }
}
