//! What a host says alike of every vendor.

use std::time::Duration;

use rivvi_core::domain::{CallsPerSecond, Money, ProviderName};
use rivvi_core::provider::SmsCapabilities;

/// What a host says alike of every vendor.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SmsTerms {
    /// The name it is registered under, which is stored with messages. Give two accounts of one vendor two names.
    pub name: ProviderName,
    /// The longest a request may take; after that its answer counts as lost. More than 0 and at most 5 minutes. Default
    /// 25 s.
    pub timeout: Duration,
    /// How fast the account may be fed.
    pub messages_per_second: Option<CallsPerSecond>,
    /// How fast one sender may be fed.
    pub sender_messages_per_second: Option<CallsPerSecond>,
    /// How long after a request a message may still come into being. Default 2 minutes.
    pub settles_after: Duration,
    /// What a part of a message costs, for where the vendor's answer does not tell. Default unknown.
    pub price_per_part: Option<Money>,
}

impl SmsTerms {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: ProviderName::new(name),
            timeout: Duration::from_secs(25),
            messages_per_second: None,
            sender_messages_per_second: None,
            settles_after: Duration::from_secs(120),
            price_per_part: None,
        }
    }

    pub(crate) fn check(&self) -> Result<(), OptionsError> {
        if self.name.as_str().is_empty() {
            return Err(OptionsError { key: "terms.name", expected: "a name" });
        }
        if self.timeout.is_zero() || self.timeout > Duration::from_secs(300) {
            return Err(OptionsError { key: "terms.timeout", expected: "more than 0 and at most 5 minutes" });
        }
        Ok(())
    }

    pub(crate) fn capabilities(&self) -> SmsCapabilities {
        let mut can = SmsCapabilities::default();
        can.messages_per_second = self.messages_per_second;
        can.sender_messages_per_second = self.sender_messages_per_second;
        can.settles_after = self.settles_after;
        can
    }
}

/// Which option makes no sense, and what was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{key}: expected {expected}")]
pub struct OptionsError {
    /// The option.
    pub key: &'static str,
    /// What was expected.
    pub expected: &'static str,
}

/// Whether a text can be a key, a token or an id: something, without blanks.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_that_make_no_sense_are_refused() {
        type Spoil = fn(&mut SmsTerms);
        let cases: [(Spoil, &str); 3] = [
            (|terms| terms.name = ProviderName::new(""), "terms.name"),
            (|terms| terms.timeout = Duration::ZERO, "terms.timeout"),
            (|terms| terms.timeout = Duration::from_secs(301), "terms.timeout"),
        ];
        assert_eq!(SmsTerms::new("vendor").check(), Ok(()));
        for (spoil, key) in cases {
            let mut terms = SmsTerms::new("vendor");
            spoil(&mut terms);
            assert_eq!(terms.check().unwrap_err().key, key);
        }
    }
}
