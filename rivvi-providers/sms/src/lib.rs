//! Text messages through [Vonage](https://developer.vonage.com), [Twilio](https://www.twilio.com/docs/messaging), or any
//! gateway that speaks HTTP.
//!
//! ```text
//!   SendSms ──▶ request ──▶ POST, once ──▶ answer ──▶ code table ──▶ SentSms, or NotSent / Unknown
//!               (our id as client reference)
//!
//!   webhook ──▶ signature ──┬─▶ receipt ──▶ code table ──▶ CallUpdates
//!                           └─▶ message that came in ──▶ InboundSms
//! ```
//!
//! | Provider | Feature | Our id travels as | Looked up | Webhooks are signed by |
//! |---|---|---|---|---|
//! | [`VonageSms`] | `vonage` | `client-ref` | no | the parameters' hash or HMAC |
//! | [`VonageMessages`] | `vonage` | `client_ref` | no | a token with the body's hash |
//! | [`TwilioSms`] | `twilio` | the query of the status callback | by reference | HMAC over URL and parameters |
//! | [`HttpSms`] | `http` | what the template says | no | a header, an HMAC of the body, or a secret path |
//!
//! All of them are [`SmsProvider`](rivvi_core::provider::SmsProvider)s, and features of this crate. A request is made once:
//! no redirect, no retry. What each code of a vendor means stands in one table (`code.rs`), for refusals and receipts alike.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use rivvi_core::clock::SystemClock;
//! use rivvi_core::domain::{CallId, E164, Secret, Sender};
//! use rivvi_core::provider::{SendSms, SmsProvider};
//! use rivvi_provider_sms::{TwilioOptions, TwilioSms};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let mut options = TwilioOptions::new("AC00000000000000000000000000000001", Secret::new("token"));
//! options.webhook_url = Some("https://hooks.example.com/sms/twilio".into());
//! let twilio = TwilioSms::new(options, Arc::new(SystemClock::new()))?;
//!
//! let to = E164::from_e164("+972541234567")?;
//! let from = Sender::new("+97231234567").ok_or("no sender")?;
//! let id: CallId = "01890a5d-ac96-774b-bcce-b302099a8057".parse()?;
//! let sent = twilio.send_sms(&SendSms::new(id, to, from, "שלום, נתראה מחר בעשר")).await?;
//! # Ok(())
//! # }
//! ```
//!
//! What vendors do not promise is not relied on: fields may be absent or null, codes and words may be new.

// What providers share is not used by each.
#![cfg_attr(not(all(feature = "vonage", feature = "twilio", feature = "http")), allow(dead_code))]

mod client;
mod digest;
mod failure;
mod money;
mod options;
mod params;
mod receipt;

#[cfg(feature = "http")]
mod http_gateway;
#[cfg(feature = "twilio")]
mod twilio;
#[cfg(feature = "vonage")]
mod vonage;

#[cfg(feature = "http")]
pub use http_gateway::{ConfigError, HttpSms, HttpSmsConfig};
pub use options::{OptionsError, SmsTerms};
#[cfg(feature = "twilio")]
pub use twilio::{TwilioApiKey, TwilioOptions, TwilioSms};
#[cfg(feature = "vonage")]
pub use vonage::{
    VonageApplication, VonageCredentials, VonageMessages, VonageMessagesOptions, VonageSignature,
    VonageSignatureMethod, VonageSms, VonageSmsOptions,
};
