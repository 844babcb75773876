//! The suite for providers of e-mail on a real SMTP server.
//!
//! Needs `RIVVI_TEST_SMTP`, the URL of the control of the SMTP server that `scripts/services` starts.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first error")]

mod server;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rivvi_core::domain::{CallId, EmailAddress, Secret};
use rivvi_core::provider::{Delivery, EmailProvider, ProviderErrorKind, SendEmail};
use rivvi_core::testkit::email::{EmailFault, EmailHarness, ReceivedEmail};
use rivvi_provider_smtp::{Smtp, SmtpOptions, SmtpOptionsError, SmtpSecurity};

use server::{Way, fail_next, mails, server};

const PASSWORD: &str = "correct horse";

fn address(local: &str) -> EmailAddress {
    EmailAddress::new(&format!("{local}@clinic.example")).unwrap()
}

fn new_id() -> CallId {
    use rivvi_core::clock::{Clock, SystemClock};
    CallId::from_uuid(rivvi_core::domain::IdSource::random().next(SystemClock::new().now()))
}

fn email() -> SendEmail {
    let id = new_id();
    SendEmail::new(id, address(&format!("dana.{id}")), "Subject", "Text")
}

/// Options for the server, by the way to it, with a sender of one's own.
async fn options(security: SmtpSecurity) -> (SmtpOptions, Way) {
    let server = server().await;
    let way = Way::to(if security == SmtpSecurity::Tls { server.tls } else { server.smtp }).await;
    let mut options = SmtpOptions::new("localhost", address(&format!("office.{}", new_id())));
    options.port = Some(way.port);
    options.security = security;
    options.credentials = Some(("rivvi".into(), Secret::new(PASSWORD)));
    options.root_certificates = server.certificate;
    options.command_timeout = Duration::from_secs(3);
    options.message_timeout = Duration::from_secs(3);
    (options, way)
}

struct Harness {
    smtp: Smtp,
    way: Way,
}

async fn harness() -> Harness {
    let (options, way) = options(SmtpSecurity::StartTls).await;
    Harness { smtp: Smtp::new(options).unwrap(), way }
}

#[async_trait]
impl EmailHarness for Harness {
    fn provider(&self) -> Arc<dyn EmailProvider> {
        Arc::new(self.smtp.clone())
    }

    async fn received(&self, to: &EmailAddress) -> Vec<ReceivedEmail> {
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        let read = |mail: serde_json::Value| ReceivedEmail {
            to: text(&mail["to"]).unwrap(),
            sender_name: text(&mail["sender_name"]),
            subject: text(&mail["subject"]).unwrap(),
            text: text(&mail["text"]).unwrap(),
            id: text(&mail["id"]).unwrap(),
            headers: mail["headers"].as_array().unwrap().iter().map(|name| text(name).unwrap()).collect(),
        };
        mails(to).await.into_iter().map(read).collect()
    }

    /// All but a blocked account, which SMTP does not tell apart.
    fn faults(&self) -> Vec<EmailFault> {
        EmailFault::ALL.into_iter().filter(|fault| *fault != EmailFault::AccountBlocked).collect()
    }

    async fn fail_next(&self, to: &EmailAddress, fault: EmailFault) {
        let about = to.expose();
        let told = match fault {
            EmailFault::Unauthorized => format!("rcpt 530 5.7.0 log in before you write to {about}"),
            EmailFault::RateLimited => "rcpt 450 4.7.1 slow down".into(),
            EmailFault::AddressRefused => format!("rcpt 550 5.1.1 <{about}> is unknown"),
            EmailFault::ContentRefused => format!("message 554 5.7.1 looks like spam to {about}"),
            EmailFault::Busy => "data 451 4.3.0 later".into(),
            EmailFault::Unreachable => return self.way.close().await,
            EmailFault::CutBeforeTaken => "message cut".into(),
            EmailFault::CutAfterTaken => "message taken-cut".into(),
            EmailFault::SilenceAfterTaken => "message taken-silence".into(),
            EmailFault::GarbledAnswer => "message taken-garbage".into(),
            other => panic!("{other:?} is newer than this test"),
        };
        fail_next(to, &told).await;
    }

    fn secrets(&self) -> Vec<String> {
        vec![PASSWORD.into()]
    }

    async fn mend(&self) {
        self.way.open().await;
    }
}

rivvi_core::email_conformance!(harness);

#[tokio::test]
async fn every_kind_of_connection_is_used_again() {
    for security in [SmtpSecurity::StartTls, SmtpSecurity::Tls, SmtpSecurity::Plain] {
        let (options, way) = options(security).await;
        let smtp = Smtp::new(options).unwrap();
        for _ in 0..3 {
            let email = email();
            let sent = smtp.send_email(&email).await.unwrap();
            assert!(sent.reference.is_some());
            assert_eq!(mails(&email.to).await.len(), 1, "{security:?}");
            assert_eq!(way.connections(), 1, "{security:?}");
        }
    }
}

#[tokio::test]
async fn no_more_connections_are_made_than_allowed() {
    let (mut options, way) = options(SmtpSecurity::Plain).await;
    options.connections_max = 2;
    let smtp = Smtp::new(options).unwrap();
    let sending = (0..12).map(|_| {
        let smtp = smtp.clone();
        tokio::spawn(async move { smtp.send_email(&email()).await })
    });
    for sent in sending.collect::<Vec<_>>() {
        sent.await.unwrap().unwrap();
    }
    assert!(way.connections() <= 2, "{}", way.connections());
}

#[tokio::test]
async fn a_connection_that_was_closed_at_rest_is_opened_anew() {
    let (options, way) = options(SmtpSecurity::StartTls).await;
    let from = options.from.clone();
    let smtp = Smtp::new(options).unwrap();
    smtp.send_email(&email()).await.unwrap();
    way.close().await;
    way.open().await;
    smtp.send_email(&email()).await.unwrap();
    for closed in ["mail 421 4.4.2 idle for too long", "mail cut"] {
        fail_next(&from, closed).await;
        smtp.send_email(&email()).await.unwrap();
    }
}

#[tokio::test]
async fn each_step_tells_how_far_it_came() {
    use Delivery::{NotSent, Unknown};
    use ProviderErrorKind as Kind;
    let (options, _way) = options(SmtpSecurity::Plain).await;
    let smtp = Smtp::new(options).unwrap();
    for (fault, kind, delivery, taken) in [
        ("rcpt cut", Kind::Unavailable, NotSent, 0),
        ("rcpt 451 4.3.0 later", Kind::Unavailable, NotSent, 0),
        ("rcpt 553 5.1.3 what an address", Kind::InvalidNumber, NotSent, 0),
        ("data cut", Kind::Unavailable, NotSent, 0),
        ("data 250 2.0.0 gladly, but not so", Kind::Protocol, NotSent, 0),
        ("data 554 5.5.1 nobody to send to", Kind::InvalidRequest, NotSent, 0),
        ("message 452 4.3.1 full", Kind::Unavailable, NotSent, 0),
        ("message 354 again", Kind::Protocol, Unknown, 0),
        ("message cut", Kind::Unavailable, Unknown, 0),
        ("message taken-cut", Kind::Unavailable, Unknown, 1),
        ("message taken-silence", Kind::Timeout, Unknown, 1),
    ] {
        let email = email();
        fail_next(&email.to, fault).await;
        let error = smtp.send_email(&email).await.unwrap_err();
        assert_eq!((error.kind, error.delivery), (kind, delivery), "{fault}: {error:?}");
        assert_eq!(mails(&email.to).await.len(), taken, "{fault}");
    }
}

#[tokio::test]
async fn a_refused_sender_is_not_the_recipients_fault() {
    let (options, _way) = options(SmtpSecurity::Plain).await;
    fail_next(&options.from, "mail 553 5.1.8 not your address").await;
    let error = Smtp::new(options).unwrap().send_email(&email()).await.unwrap_err();
    assert_eq!(
        (error.kind, error.delivery),
        (ProviderErrorKind::InvalidRequest, Delivery::NotSent),
        "{error:?}"
    );
}

#[tokio::test]
async fn wrong_credentials_and_certificates_are_told() {
    let (right, _way) = options(SmtpSecurity::StartTls).await;
    let mut wrong = right.clone();
    wrong.credentials = Some(("rivvi".into(), Secret::new("wrong horse")));
    let error = Smtp::new(wrong).unwrap().send_email(&email()).await.unwrap_err();
    assert_eq!(
        (error.kind, error.delivery),
        (ProviderErrorKind::Unauthorized, Delivery::NotSent),
        "{error:?}"
    );
    let mut stranger = right.clone();
    stranger.root_certificates.clear();
    let error = Smtp::new(stranger).unwrap().send_email(&email()).await.unwrap_err();
    assert_eq!(
        (error.kind, error.delivery),
        (ProviderErrorKind::Unavailable, Delivery::NotSent),
        "{error:?}"
    );
    assert!(!format!("{error:?} {right:?}").contains(PASSWORD));
}

#[tokio::test]
async fn addresses_in_any_script_arrive() {
    let (options, _way) = options(SmtpSecurity::Plain).await;
    let id = new_id();
    let to = EmailAddress::new(&format!("דנה.{}@clinic.example", &id.to_string()[24..])).unwrap();
    let email = SendEmail::new(id, to.clone(), "Subject", "Text");
    Smtp::new(options).unwrap().send_email(&email).await.unwrap();
    assert_eq!(mails(&to).await.len(), 1);
}

#[test]
fn options_that_cannot_be_are_refused() {
    let with = |change: fn(&mut SmtpOptions)| {
        let mut options = SmtpOptions::new("smtp.clinic.example", address("office"));
        change(&mut options);
        Smtp::new(options).map(drop).err()
    };
    assert_eq!(with(|_| ()), None);
    assert_eq!(with(|options| options.host.clear()), Some(SmtpOptionsError::Host));
    assert_eq!(with(|options| options.security = SmtpSecurity::Plain), Some(SmtpOptionsError::Plain));
    assert_eq!(with(|options| options.connections_max = 0), Some(SmtpOptionsError::Connections));
    assert_eq!(with(|options| options.hello_name = Some("a\r\nb".into())), Some(SmtpOptionsError::Hello));
    assert_eq!(
        with(|options| options.root_certificates = b"-----BEGIN CERTIFICATE-----\nx".to_vec()),
        Some(SmtpOptionsError::Certificates)
    );
}
