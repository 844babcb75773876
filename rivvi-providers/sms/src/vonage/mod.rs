//! Vonage: the SMS API and the Messages API.

mod messages;
mod number;
mod sms;

pub use messages::{VonageApplication, VonageCredentials, VonageMessages, VonageMessagesOptions};
pub use sms::{VonageSignature, VonageSignatureMethod, VonageSms, VonageSmsOptions};

use rivvi_core::domain::{Currency, Money};

/// How old a webhook may be by default: Vonage delivers again for a day.
const WEBHOOK_AGE_MAX: std::time::Duration = std::time::Duration::from_secs(25 * 60 * 60);

/// A price as Vonage writes it, in euros unless it says otherwise.
fn price(text: &str, currency: Option<&str>) -> Option<Money> {
    crate::money::price(text, Currency::new(currency.unwrap_or("EUR"))?)
}
