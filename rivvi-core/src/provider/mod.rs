//! What a provider must be able to do.
//!
//! A provider is a crate that depends on `rivvi-core` alone. It implements [`VoiceProvider`] and is checked by
//! `rivvi_core::testkit::voice`. Providers that push events deliver [`CallUpdate`]s to an [`UpdateSink`]; providers
//! with webhooks read them in [`VoiceProvider::decode_webhook`]. Both give the same updates. A provider through which people
//! call in asks the engine who answers, by [`VoiceProvider::decode_inbound`] and [`VoiceProvider::encode_inbound`].

mod action;
mod email;
mod error;
mod inbound;
mod recognition;
mod sms;
mod speech;
mod update;
mod voice;
mod webhook;

pub use action::ActionResult;
pub use email::{EmailProvider, SendEmail, SentEmail};
pub use error::{Delivery, ProviderError, ProviderErrorKind};
pub use inbound::{AnsweredCall, InboundAnswer, InboundCall, InboundOptOut};
pub use recognition::{Recognition, RecognitionRequest, Recognized, SpeechRecognizer};
pub use sms::{FindSms, InboundSms, SendSms, SentSms, SmsCapabilities, SmsLookup, SmsNews, SmsProvider};
pub use speech::{AudioFormat, SpeechRequest, SpeechSynthesizer, SpeechText, SpeechUsage};
pub use update::{Answerer, CallEvent, CallRef, CallUpdate, InboundRef};
pub use voice::{
    CallLookup, FindCall, Lookup, PlaceCall, PlacedCall, UpdateSink, VoiceCapabilities, VoiceProvider,
};
pub use webhook::{WebhookError, WebhookRequest};
