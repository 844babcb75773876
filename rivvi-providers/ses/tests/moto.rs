//! SES as moto plays it.
//!
//! Needs `RIVVI_TEST_S3`, the URL of a moto server, such as one that `scripts/services` starts.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first error")]

use aws_sdk_sesv2::config::{BehaviorVersion, Builder, Credentials, Region};
use rivvi_core::clock::{Clock, SystemClock};
use rivvi_core::domain::{CallId, EmailAddress, IdSource};
use rivvi_core::provider::{Delivery, EmailProvider, ProviderErrorKind, SendEmail};
use rivvi_provider_ses::{Ses, SesOptions};

fn endpoint() -> String {
    std::env::var("RIVVI_TEST_S3").unwrap_or_else(|_| {
        panic!(
            "RIVVI_TEST_S3 is not set: expected the URL of a moto server; start one with `scripts/services` and load \
             the variables it prints"
        )
    })
}

fn address(local: &str) -> EmailAddress {
    EmailAddress::new(&format!("{local}@clinic.example")).unwrap()
}

fn id() -> CallId {
    CallId::from_uuid(IdSource::random().next(SystemClock::new().now()))
}

/// Verifies a sender of its own.
async fn verified() -> Ses {
    let from = address(&format!("office-{}", id()));
    let config = Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(endpoint())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new("rivvi", "local", None, None, "local"));
    let client = aws_sdk_sesv2::Client::from_conf(config.build());
    client.create_email_identity().email_identity(from.expose()).send().await.unwrap();
    Ses::local(&endpoint(), SesOptions::new(from))
}

#[tokio::test]
async fn an_email_is_taken() {
    let ses = verified().await;
    let mut email = SendEmail::new(id(), address("dana"), "תזכורת", "שלום דנה, התור שלך מחר.");
    email.org_name = "מרפאת הצפון".into();
    let first = ses.send_email(&email).await.unwrap().reference.unwrap();
    let second = ses.send_email(&email).await.unwrap().reference.unwrap();
    assert!(!first.is_empty() && first != second);
}

#[tokio::test]
async fn a_sender_that_is_not_verified_is_refused() {
    let ses = Ses::local(&endpoint(), SesOptions::new(address(&format!("nobody-{}", id()))));
    let error = ses.send_email(&SendEmail::new(id(), address("dana"), "A", "B")).await.unwrap_err();
    assert_eq!(
        (error.kind, error.delivery),
        (ProviderErrorKind::InvalidRequest, Delivery::NotSent),
        "{error:?}"
    );
    assert!(!format!("{error:?}").contains("clinic.example"), "{error:?}");
}

#[tokio::test]
async fn an_address_that_ses_does_not_take_is_refused_here() {
    let to = EmailAddress::new("דנה@clinic.example").unwrap();
    let error = verified().await.send_email(&SendEmail::new(id(), to, "A", "B")).await.unwrap_err();
    assert_eq!(
        (error.kind, error.delivery),
        (ProviderErrorKind::InvalidNumber, Delivery::NotSent),
        "{error:?}"
    );
}
