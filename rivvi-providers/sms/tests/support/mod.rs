//! Far sides that do what the vendors document, as far as messages go, and go wrong when they are told to.

#![allow(dead_code, reason = "each test uses a part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first error")]

pub(crate) mod twilio;
pub(crate) mod vonage;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use rivvi_core::domain::CallId;
use rivvi_core::provider::WebhookRequest;
use rivvi_core::testkit::http::{FarSide, response};

/// Messages that a far side has taken: our id, and what it says.
pub(crate) type Taken = Arc<Mutex<Vec<(CallId, String)>>>;

/// A far side with what it has taken.
pub(crate) struct Far {
    pub(crate) side: FarSide,
    pub(crate) taken: Taken,
    /// Our id in a request.
    id_of: fn(&Request<Bytes>) -> Option<CallId>,
}

impl Far {
    /// A far side that answers what `answer` says, which takes messages.
    pub(crate) async fn start(
        id_of: fn(&Request<Bytes>) -> Option<CallId>,
        answer: impl Fn(&Taken, &Request<Bytes>) -> Response<Bytes> + Send + Sync + 'static,
    ) -> Self {
        let taken = Taken::default();
        let side = FarSide::start({
            let taken = taken.clone();
            move |request| answer(&taken, request)
        })
        .await;
        Self { side, taken, id_of }
    }

    pub(crate) fn texts(&self, id: CallId) -> Vec<String> {
        let taken = self.taken.lock().unwrap();
        taken.iter().filter(|(own, _)| *own == id).map(|(_, text)| text.clone()).collect()
    }

    pub(crate) fn requests(&self, id: CallId) -> usize {
        self.side.requests().iter().filter(|request| (self.id_of)(request) == Some(id)).count()
    }
}

/// The parameters of a form or a query.
pub(crate) fn params(bytes: &[u8]) -> BTreeMap<String, String> {
    form_urlencoded::parse(bytes).into_owned().collect()
}

pub(crate) fn json(status: u16, body: &serde_json::Value) -> Response<Bytes> {
    response(status, &[("content-type", "application/json")], &body.to_string())
}

pub(crate) fn form<'a>(params: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(params).finish()
}

/// A webhook with a body of this kind.
pub(crate) fn post(uri: &str, kind: &str, body: String) -> WebhookRequest {
    let mut request = WebhookRequest::new(Bytes::from(body));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = uri.parse().unwrap();
    request.headers_mut().insert("content-type", kind.parse().unwrap());
    request
}

pub(crate) const FORM: &str = "application/x-www-form-urlencoded";
