//! The suite for providers of e-mail: one case per promise of [`EmailProvider`].
//!
//! A provider is checked against a far side that its author can look into. The author implements [`EmailHarness`] for
//! the pair of both, and [`email_conformance!`](crate::email_conformance) makes a test of each case:
//!
//! ```
//! use std::sync::{Arc, Mutex};
//!
//! use async_trait::async_trait;
//! use rivvi_core::domain::{EmailAddress, ProviderName};
//! use rivvi_core::provider::{EmailProvider, ProviderError, ProviderErrorKind, SendEmail, SentEmail};
//! use rivvi_core::testkit::email::{EmailFault, EmailHarness, ReceivedEmail};
//!
//! #[derive(Debug, Default)]
//! struct Drawer(Mutex<(Vec<ReceivedEmail>, Option<EmailFault>)>);
//!
//! #[async_trait]
//! impl EmailProvider for Drawer {
//!     fn name(&self) -> ProviderName {
//!         "drawer".into()
//!     }
//!
//!     async fn send_email(&self, email: &SendEmail) -> Result<SentEmail, ProviderError> {
//!         let mut drawer = self.0.lock().unwrap();
//!         if drawer.1.take().is_some() {
//!             return Err(ProviderError::not_sent(&self.name(), "send_email", ProviderErrorKind::RateLimited));
//!         }
//!         drawer.0.push(ReceivedEmail {
//!             to: email.to.expose().into(),
//!             sender_name: email.sender_name(),
//!             subject: email.subject_line().into_inner(),
//!             text: email.text.expose().clone(),
//!             id: email.message_id.to_string(),
//!             headers: Vec::new(),
//!         });
//!         Ok(SentEmail::default())
//!     }
//! }
//!
//! struct Harness(Arc<Drawer>);
//!
//! #[async_trait]
//! impl EmailHarness for Harness {
//!     fn provider(&self) -> Arc<dyn EmailProvider> {
//!         self.0.clone()
//!     }
//!
//!     async fn received(&self, to: &EmailAddress) -> Vec<ReceivedEmail> {
//!         let drawer = self.0.0.lock().unwrap();
//!         drawer.0.iter().filter(|email| email.to == to.expose()).cloned().collect()
//!     }
//!
//!     fn faults(&self) -> Vec<EmailFault> {
//!         vec![EmailFault::RateLimited]
//!     }
//!
//!     async fn fail_next(&self, _: &EmailAddress, fault: EmailFault) {
//!         self.0.0.lock().unwrap().1 = Some(fault);
//!     }
//!
//!     fn secrets(&self) -> Vec<String> {
//!         Vec::new()
//!     }
//! }
//!
//! rivvi_core::email_conformance!(async || Harness(Arc::default()));
//! # fn main() {}
//! ```

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::at_once;
use crate::clock::{Clock, SystemClock};
use crate::domain::{CallId, EmailAddress, IdSource};
use crate::provider::{Delivery, EmailProvider, ProviderError, ProviderErrorKind, SendEmail};

/// A provider and its far side.
#[async_trait]
pub trait EmailHarness: Send + Sync + 'static {
    /// The provider, always the same one.
    fn provider(&self) -> Arc<dyn EmailProvider>;

    /// The e-mails to this address that the far side has taken, in their order.
    async fn received(&self, to: &EmailAddress) -> Vec<ReceivedEmail>;

    /// What can be made to go wrong; at least one of them.
    fn faults(&self) -> Vec<EmailFault>;

    /// Has the next e-mail, which goes to this address, go wrong, and those after it go well again.
    async fn fail_next(&self, to: &EmailAddress, fault: EmailFault);

    /// Keys and passwords of the provider, which must not be seen anywhere.
    fn secrets(&self) -> Vec<String>;

    /// Has the far side be as it was after a fault that lasts, such as [`EmailFault::Unreachable`]. Called after every
    /// e-mail that was to go wrong. Default: nothing is to be done.
    async fn mend(&self) {}
}

/// An e-mail as the far side has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedEmail {
    /// To whom.
    pub to: String,
    /// The name of the sender, decoded.
    pub sender_name: Option<String>,
    /// The subject, decoded.
    pub subject: String,
    /// The text, decoded.
    pub text: String,
    /// Where our id of the message is, whole: a `Message-ID`, a tag.
    pub id: String,
    /// The names of its headers, as far as it has any.
    pub headers: Vec<String>,
}

/// How an e-mail goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EmailFault {
    /// The credentials are refused.
    Unauthorized,
    /// The account is blocked.
    AccountBlocked,
    /// There are too many of them.
    RateLimited,
    /// The address is refused.
    AddressRefused,
    /// What it says is refused.
    ContentRefused,
    /// It is not taken just now.
    Busy,
    /// There is no connection.
    Unreachable,
    /// The connection breaks before it is taken.
    CutBeforeTaken,
    /// It is taken, and the connection breaks before the answer.
    CutAfterTaken,
    /// It is taken, and there is no answer.
    SilenceAfterTaken,
    /// It is taken, and the answer makes no sense.
    GarbledAnswer,
}

impl EmailFault {
    /// Every fault.
    pub const ALL: [Self; 11] = [
        Self::Unauthorized,
        Self::AccountBlocked,
        Self::RateLimited,
        Self::AddressRefused,
        Self::ContentRefused,
        Self::Busy,
        Self::Unreachable,
        Self::CutBeforeTaken,
        Self::CutAfterTaken,
        Self::SilenceAfterTaken,
        Self::GarbledAnswer,
    ];

    /// What the provider tells of it, and whether it must be certain that nothing was sent (`true`), must not be
    /// (`false`), or may be either.
    fn expected(self) -> (&'static [ProviderErrorKind], Option<bool>) {
        use ProviderErrorKind as Kind;
        match self {
            Self::Unauthorized => (&[Kind::Unauthorized], Some(true)),
            Self::AccountBlocked => (&[Kind::AccountBlocked], Some(true)),
            Self::RateLimited => (&[Kind::RateLimited], Some(true)),
            Self::AddressRefused => (&[Kind::InvalidNumber], Some(true)),
            Self::ContentRefused => (&[Kind::InvalidRequest], Some(true)),
            Self::Busy => (&[Kind::Unavailable, Kind::RateLimited], None),
            Self::Unreachable => (&[Kind::Unavailable], Some(true)),
            Self::CutBeforeTaken => (&[Kind::Unavailable], None),
            Self::CutAfterTaken => (&[Kind::Unavailable], Some(false)),
            Self::SilenceAfterTaken => (&[Kind::Timeout], Some(false)),
            Self::GarbledAnswer => (&[Kind::Protocol, Kind::Unavailable], Some(false)),
        }
    }

    fn takes(self) -> bool {
        matches!(self, Self::CutAfterTaken | Self::SilenceAfterTaken | Self::GarbledAnswer)
    }
}

fn new_id() -> CallId {
    let now = SystemClock::new().now();
    CallId::from_uuid(IdSource::random().next(now))
}

/// An e-mail to an address of its own.
fn email(subject: &str, text: &str) -> SendEmail {
    let id = new_id();
    let to = EmailAddress::new(&format!("yosefa.{id}@recipients.example")).unwrap();
    let mut email = SendEmail::new(id, to, subject, text);
    email.org_name = "North Clinic".into();
    email
}

/// Line ends as they come, and without those at the end, which transports add.
fn lines(text: &str) -> String {
    text.replace("\r\n", "\n").trim_end_matches('\n').to_owned()
}

/// The one e-mail that the far side has for this address.
async fn received(harness: &impl EmailHarness, sent: &SendEmail) -> ReceivedEmail {
    let mut received = harness.received(&sent.to).await;
    assert_eq!(received.len(), 1, "sent once");
    received.remove(0)
}

/// An e-mail that was accepted arrives once, in any script, as it was written.
pub async fn accepted_email_arrives_as_it_was_written(harness: &impl EmailHarness) {
    for (name, subject, text) in [
        ("North Clinic", "Your appointment", "Tomorrow at nine.\nBring your card."),
        (
            "מרפאת \"הצפון\", בע\"מ",
            "תזכורת: התור שלך מחר בתשע, נא להביא את הכרטיס 🙂",
            "שלום יוספה,\r\nלהתראות — מחר.",
        ),
        ("A, B <c@d.example>", "100 % \\ \"quoted\"", "=20 is not a space\n=\n"),
        ("", "", "No subject"),
    ] {
        let mut sent = email(subject, text);
        sent.org_name = name.into();
        harness.provider().send_email(&sent).await.unwrap();
        let received = received(harness, &sent).await;
        assert_eq!(received.to, sent.to.expose());
        assert_eq!(received.subject, subject);
        assert_eq!(lines(&received.text), lines(text));
        assert_eq!(received.sender_name.unwrap_or_default(), name);
    }
}

/// Nothing in a text ends it, or is lost on the way: dots, long lines, empty lines.
pub async fn any_text_arrives_whole(harness: &impl EmailHarness) {
    let long = "long ".repeat(2_000);
    for text in [
        "before\r\n.\r\nafter",
        ".\n..\n...\n.text",
        "RSET\r\n\r\n\r\nQUIT\r\n.\r\nMAIL FROM:<x@example.org>",
        long.trim_end(),
        &"א".repeat(3_000),
    ] {
        let sent = email("Any text", text);
        harness.provider().send_email(&sent).await.unwrap();
        assert_eq!(lines(&received(harness, &sent).await.text), lines(text));
    }
}

/// Our id goes with the message.
pub async fn our_id_goes_with_the_message(harness: &impl EmailHarness) {
    let sent = email("Id", "Text");
    harness.provider().send_email(&sent).await.unwrap();
    let received = received(harness, &sent).await;
    assert!(received.id.contains(&sent.message_id.to_string()), "{:?}", received.id);
}

/// Neither subject nor name of the sender can add a header, a recipient or a text.
pub async fn no_header_can_be_smuggled_in(harness: &impl EmailHarness) {
    let victim = EmailAddress::new(&format!("victim.{}@recipients.example", new_id())).unwrap();
    for end in ["\r\n", "\n", "\r", "\u{85}", "\u{2028}", "\0"] {
        let smuggled = format!("A{end}Bcc: {}{end}X-Smuggled: yes{end}{end}Another text", victim.expose());
        let mut sent = email(&smuggled, "The text");
        sent.org_name = smuggled.clone();
        harness.provider().send_email(&sent).await.unwrap();
        let received = received(harness, &sent).await;
        assert!(!received.subject.contains(['\r', '\n']), "{received:?}");
        assert_eq!(lines(&received.text), "The text");
        for name in &received.headers {
            assert!(!["bcc", "x-smuggled"].contains(&name.to_ascii_lowercase().as_str()), "{received:?}");
        }
    }
    assert_eq!(harness.received(&victim).await, []);
}

/// Every fault is told as what it is; that nothing was sent is said only where that is so; and nothing is repeated.
pub async fn every_fault_is_told_as_what_it_is(harness: &impl EmailHarness) {
    assert!(!harness.faults().is_empty(), "something can be made to go wrong");
    for fault in harness.faults() {
        let sent = email("Fault", "Text");
        harness.fail_next(&sent.to, fault).await;
        let answer = harness.provider().send_email(&sent).await;
        harness.mend().await;
        let error = answer.expect_err(&format!("{fault:?} was not told"));
        let (kinds, certain) = fault.expected();
        assert!(kinds.contains(&error.kind), "{fault:?}: {error:?}");
        let not_sent = error.delivery == Delivery::NotSent;
        assert!(certain.is_none_or(|certain| certain == not_sent), "{fault:?}: {error:?}");
        assert_eq!(error.provider, harness.provider().name());
        let arrived = harness.received(&sent.to).await.len();
        assert_eq!(arrived, usize::from(fault.takes()), "{fault:?}: {arrived} arrived");
    }
}

/// After each fault, what is sent next arrives.
pub async fn after_a_fault_it_goes_on(harness: &impl EmailHarness) {
    for fault in harness.faults() {
        let (broken, whole) = (email("Fault", "Text"), email("After it", "Text"));
        harness.fail_next(&broken.to, fault).await;
        harness.provider().send_email(&broken).await.unwrap_err();
        harness.mend().await;
        let answer = harness.provider().send_email(&whole).await;
        assert!(answer.is_ok(), "after {fault:?}: {answer:?}");
        assert_eq!(received(harness, &whole).await.subject, "After it");
    }
}

/// Any number may be sent at once; each arrives once and where it belongs.
pub async fn many_are_sent_at_once(harness: &impl EmailHarness) {
    let emails: Vec<SendEmail> =
        (0..24).map(|number| email("Many", &format!("You are number {number}."))).collect();
    let answers = at_once(emails.len(), |number| {
        let (provider, email) = (harness.provider(), emails[number].clone());
        async move { provider.send_email(&email).await }
    });
    let mut references = BTreeSet::new();
    for (answer, sent) in answers.await.into_iter().zip(&emails) {
        if let Some(reference) = answer.unwrap().reference {
            assert!(references.insert(reference), "each has a reference of its own");
        }
        assert_eq!(lines(&received(harness, sent).await.text), *sent.text.expose());
    }
}

/// Whoever stops waiting disturbs nobody else.
pub async fn who_leaves_disturbs_nobody(harness: &impl EmailHarness) {
    for patience in [0, 1, 2, 5, 10] {
        let left = email("Left", "Nobody waits for this.");
        let provider = harness.provider();
        let _ = tokio::time::timeout(Duration::from_millis(patience), provider.send_email(&left)).await;
        let sent = email("Stayed", "Somebody waits for this.");
        provider.send_email(&sent).await.unwrap();
        assert_eq!(lines(&received(harness, &sent).await.text), "Somebody waits for this.");
        assert!(harness.received(&left.to).await.len() <= 1);
    }
}

/// Neither secrets nor people show in errors and `Debug`.
pub async fn secrets_and_people_are_told_to_nobody(harness: &impl EmailHarness) {
    for fault in harness.faults() {
        let sent = email("Xenophilius", "An appointment of Xenophilius");
        harness.fail_next(&sent.to, fault).await;
        let error = harness.provider().send_email(&sent).await.unwrap_err();
        harness.mend().await;
        let shown = format!("{} {:?} {sent:?}", told(&error), harness.provider());
        for hidden in
            harness.secrets().iter().map(String::as_str).chain(["Xenophilius", "yosefa", "appointment"])
        {
            assert!(!shown.contains(hidden), "{fault:?} shows {hidden:?}: {shown}");
        }
    }
}

/// An error with all its causes, as a log shows it.
fn told(error: &ProviderError) -> String {
    let mut text = format!("{error} {error:?}");
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, " {error} {error:?}");
        cause = error.source();
    }
    text
}

#[doc(hidden)]
#[macro_export]
macro_rules! __email_cases {
    ([$($then:tt)*] $($given:tt)*) => {
        $($then)*! {
            [$($given)*]
            accepted_email_arrives_as_it_was_written,
            any_text_arrives_whole,
            our_id_goes_with_the_message,
            no_header_can_be_smuggled_in,
            every_fault_is_told_as_what_it_is,
            after_a_fault_it_goes_on,
            many_are_sent_at_once,
            who_leaves_disturbs_nobody,
            secrets_and_people_are_told_to_nobody,
        }
    };
}

/// Makes a test of every case of the suite for providers of e-mail, each named like its case and with a harness of its
/// own.
///
/// The argument is a function or closure that returns a future of a [`EmailHarness`](crate::testkit::email::EmailHarness).
/// Attributes before it go to every test.
#[macro_export]
macro_rules! email_conformance {
    ($(#[$attribute:meta])* $factory:expr) => {
        $crate::__email_cases! { [$crate::__email_tests] [$(#[$attribute])*] ($factory) }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __email_tests {
    ([$attributes:tt $factory:tt] $($case:ident,)*) => {
        $($crate::__email_test! { $attributes $factory $case })*

        #[test]
        fn email_suite_is_complete() {
            $crate::testkit::email::assert_suite_is_complete();
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __email_test {
    ([$($attribute:tt)*] ($factory:expr) $case:ident) => {
        #[test]
        $($attribute)*
        fn $case() {
            $crate::testkit::run_case(async {
                let harness = ($factory)().await;
                $crate::testkit::email::$case(&harness).await;
            });
        }
    };
}

macro_rules! cases {
    ([] $($case:ident,)*) => {
        /// The name of every case.
        pub const CASES: &[&str] = &[$(stringify!($case),)*];
    };
}

__email_cases! { [cases] }

/// Asserts that every case is in the list from which tests are made.
///
/// # Panics
/// If one is not.
pub fn assert_suite_is_complete() {
    super::assert_lists_all(include_str!("email.rs"), CASES.iter().copied(), "email");
}
