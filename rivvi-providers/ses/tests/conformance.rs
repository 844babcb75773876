//! The suite for providers of e-mail on a scripted server that answers as SES is documented to.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first error")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use bytes::Bytes;
use http::{Request, Response};
use rivvi_core::domain::EmailAddress;
use rivvi_core::provider::EmailProvider;
use rivvi_core::testkit::email::{EmailFault, EmailHarness, ReceivedEmail};
use rivvi_core::testkit::http::{FarSide, HttpFault, response};
use rivvi_provider_ses::{MESSAGE_ID_TAG, Ses, SesOptions};
use serde_json::{Value, json};

struct Harness {
    far: FarSide,
    ses: Ses,
    /// What the far side has taken.
    taken: Arc<Mutex<Vec<ReceivedEmail>>>,
}

const PATH: &str = "/v2/email/outbound-emails";
const KEY: &str = "a-secret-access-key";

fn refusal(status: u16, code: &str, message: &str) -> HttpFault {
    let body = json!({ "message": message }).to_string();
    HttpFault::Refuse(response(
        status,
        &[("x-amzn-errortype", code), ("content-type", "application/json")],
        &body,
    ))
}

/// Takes an e-mail.
fn take(taken: &Mutex<Vec<ReceivedEmail>>, request: &Request<Bytes>) -> Response<Bytes> {
    assert_eq!((request.method().as_str(), request.uri().path()), ("POST", PATH));
    assert!(request.headers()["authorization"].to_str().unwrap().starts_with("AWS4-HMAC-SHA256 "));
    let mut taken = taken.lock().unwrap();
    taken.push(read(&serde_json::from_slice(request.body()).unwrap()));
    let answer = json!({ "MessageId": format!("0100018b-{}", taken.len()) });
    response(200, &[("content-type", "application/json")], &answer.to_string())
}

async fn harness() -> Harness {
    use aws_sdk_sesv2::config::{BehaviorVersion, Builder, Credentials, Region};
    let taken = Arc::new(Mutex::new(Vec::new()));
    let taking = taken.clone();
    let far = FarSide::start(move |request| take(&taking, request)).await;
    let mut options = SesOptions::new(EmailAddress::new("office@clinic.example").unwrap());
    options.request_timeout = Duration::from_secs(2);
    let config = Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(far.url())
        .region(Region::from_static("eu-central-1"))
        .credentials_provider(Credentials::new("AKIAEXAMPLE", KEY, None, None, "test"));
    let ses = Ses::from_client_config(config, options);
    Harness { far, ses, taken }
}

#[async_trait]
impl EmailHarness for Harness {
    fn provider(&self) -> Arc<dyn EmailProvider> {
        Arc::new(self.ses.clone())
    }

    async fn received(&self, to: &EmailAddress) -> Vec<ReceivedEmail> {
        self.taken.lock().unwrap().iter().filter(|email| email.to == to.expose()).cloned().collect()
    }

    fn faults(&self) -> Vec<EmailFault> {
        EmailFault::ALL.to_vec()
    }

    async fn fail_next(&self, to: &EmailAddress, fault: EmailFault) {
        let about = format!("about {}", to.expose());
        let fault = match fault {
            EmailFault::Unauthorized => refusal(403, "UnrecognizedClientException", &about),
            EmailFault::AccountBlocked => refusal(400, "SendingPausedException", &about),
            EmailFault::RateLimited => refusal(429, "TooManyRequestsException", &about),
            EmailFault::AddressRefused => {
                refusal(400, "BadRequestException", &format!("Illegal address {about}"))
            }
            EmailFault::ContentRefused => refusal(400, "MessageRejected", &about),
            EmailFault::Busy => HttpFault::error_page(503),
            EmailFault::Unreachable => return self.far.vanish().await,
            EmailFault::CutBeforeTaken => HttpFault::CutBeforeRequest,
            EmailFault::CutAfterTaken => HttpFault::CutAfterRequest,
            EmailFault::SilenceAfterTaken => HttpFault::Silence,
            EmailFault::GarbledAnswer => HttpFault::Garble(response(200, &[], "<html>")),
            other => panic!("{other:?} is newer than this test"),
        };
        self.far.fail_next(PATH, fault);
    }

    fn secrets(&self) -> Vec<String> {
        vec![KEY.into()]
    }

    async fn mend(&self) {
        self.far.mend().await;
    }
}

rivvi_core::email_conformance!(harness);

fn read(body: &Value) -> ReceivedEmail {
    let text = |pointer: &str| body.pointer(pointer).unwrap().as_str().unwrap().to_owned();
    assert_eq!(body.pointer("/EmailTags/0/Name").unwrap(), MESSAGE_ID_TAG);
    assert_eq!(body.pointer("/Content/Simple/Body/Text/Charset").unwrap(), "UTF-8");
    assert_eq!(body.pointer("/Content/Simple/Subject/Charset").unwrap(), "UTF-8");
    assert_eq!(body.pointer("/Destination/ToAddresses").unwrap().as_array().unwrap().len(), 1);
    let from = text("/FromEmailAddress");
    assert!(from.is_ascii() && from.trim_end_matches('>').ends_with("office@clinic.example"), "{from}");
    ReceivedEmail {
        to: text("/Destination/ToAddresses/0"),
        sender_name: sender_name(&from),
        subject: text("/Content/Simple/Subject/Data"),
        text: text("/Content/Simple/Body/Text/Data"),
        id: text("/EmailTags/0/Value"),
        headers: Vec::new(),
    }
}

/// A quoted string, or encoded words (RFC 2047).
fn sender_name(from: &str) -> Option<String> {
    let (name, _) = from.rsplit_once(" <")?;
    if let Some(quoted) = name.strip_prefix('"') {
        let quoted = quoted.strip_suffix('"').unwrap();
        return Some(quoted.replace("\\\"", "\"").replace("\\\\", "\\"));
    }
    let words = name.split(' ').map(|word| {
        let word = word.strip_prefix("=?UTF-8?B?").and_then(|word| word.strip_suffix("?=")).unwrap();
        String::from_utf8(base64::engine::general_purpose::STANDARD.decode(word).unwrap()).unwrap()
    });
    Some(words.collect())
}
