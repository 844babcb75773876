//! What the provider tells, and who follows links.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Response, StatusCode, Uri, header};
use axum::routing::{any, get};
use rivvi::Rivvi;
use rivvi::message::ShortLinks;

use crate::hosted::webhooks::{receive, status};

#[derive(Debug, Clone)]
struct Served {
    rivvi: Rivvi,
    provider: Arc<str>,
}

/// Where webhooks and hits on short links go. Some gateways put a secret into the path of their webhooks, and some use GET.
pub(crate) fn routes(rivvi: Rivvi, provider: &str) -> Router {
    Router::new()
        .route("/webhook", any(webhook))
        .route("/webhook/{*secret}", any(webhook))
        .fallback(get(hit))
        .with_state(Served { rivvi, provider: provider.into() })
}

/// A receipt, or an answer.
async fn webhook(State(served): State<Served>, request: Request) -> Response<Body> {
    receive(&served.rivvi, &served.provider, request).await
}

/// Somebody follows a link, which ends in its token.
async fn hit(State(served): State<Served>, uri: Uri) -> Response<Body> {
    let text = uri.to_string();
    let token = text.len().checked_sub(ShortLinks::TOKEN_LEN).and_then(|start| text.get(start..));
    match served.rivvi.follow_link(token.unwrap_or_default()).await {
        Ok(Some(target)) => redirect(&target),
        Ok(None) => status(StatusCode::NOT_FOUND),
        Err(error) => {
            eprintln!("warning: a hit on a link was not counted: {error}");
            status(StatusCode::SERVICE_UNAVAILABLE)
        }
    }
}

fn redirect(target: &str) -> Response<Body> {
    let Ok(target) = HeaderValue::from_str(target) else { return status(StatusCode::NOT_FOUND) };
    let mut response = status(StatusCode::FOUND);
    response.headers_mut().insert(header::LOCATION, target);
    // The next hit is to be counted as well.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
