//! Retry plan: whether, after a call that did not reach a human, another one is due, and how much later.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::Span;

/// What happens after each kind of unsuccessful call. A cause without a rule is not retried.
///
/// The delay is the earliest time of the retry; calling windows and attempt caps may put it off further.
///
/// ```toml
/// busy = { after = "15m", max = 2 }
/// no_answer = { after = "2h", max = 3, backoff = 2.0, at_most = "1d" }
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetryPlan {
    /// The line was busy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub busy: Option<RetryRule>,
    /// Nobody answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_answer: Option<RetryRule>,
    /// A voicemail or an answering machine answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub voicemail: Option<RetryRule>,
    /// The call was rejected by the person called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejected: Option<RetryRule>,
    /// The call failed on the way: network, carrier or provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<RetryRule>,
}

impl RetryPlan {
    /// Whether a call that ended with `cause` is retried, given the retries the contact had before it.
    pub fn next(&self, cause: RetryCause, used: &RetriesUsed) -> RetryVerdict {
        let Some(rule) = self.rule(cause) else {
            return RetryVerdict::NotPlanned;
        };
        let used = used.of(cause);
        if used < rule.max {
            RetryVerdict::After(rule.delay(used))
        } else {
            RetryVerdict::Exhausted { max: rule.max }
        }
    }

    /// The rule for a cause.
    pub fn rule(&self, cause: RetryCause) -> Option<&RetryRule> {
        match cause {
            RetryCause::Busy => &self.busy,
            RetryCause::NoAnswer => &self.no_answer,
            RetryCause::Voicemail => &self.voicemail,
            RetryCause::Rejected => &self.rejected,
            RetryCause::Failed => &self.failed,
        }
        .as_ref()
    }
}

/// How a call ended that may be worth another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryCause {
    /// The line was busy.
    Busy,
    /// Nobody answered.
    NoAnswer,
    /// A voicemail or an answering machine answered.
    Voicemail,
    /// The call was rejected by the person called.
    Rejected,
    /// The call failed on the way.
    Failed,
}

impl RetryCause {
    /// All causes.
    pub const ALL: [Self; 5] = [Self::Busy, Self::NoAnswer, Self::Voicemail, Self::Rejected, Self::Failed];
}

impl fmt::Display for RetryCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Busy => "busy",
            Self::NoAnswer => "no answer",
            Self::Voicemail => "voicemail",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
        })
    }
}

/// What the plan says to a retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryVerdict {
    /// Retry, this long after the call ended or later.
    After(Duration),
    /// No more retries for this cause.
    Exhausted {
        /// How many the rule grants.
        max: u8,
    },
    /// The plan has no rule for this cause.
    NotPlanned,
}

/// How often and how late to retry after one cause.
///
/// The first retry comes `after` a span of 1 second to 366 days. With a `backoff` factor of 1 to 100 each further
/// one takes that many times longer than the one before, up to `at_most` (366 days if left out). Delays are exact to
/// the millisecond and the same on every machine.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RuleText", into = "RuleText")]
pub struct RetryRule {
    after: Span,
    max: u8,
    backoff: Option<f64>,
    at_most: Option<Span>,
}

impl RetryRule {
    /// The shortest delay: a retry is never immediate.
    pub const SHORTEST: Span = Span::new(Duration::from_secs(1));
    /// The longest delay.
    pub const LONGEST: Span = Span::from_days(366);
    /// The largest backoff factor.
    pub const STEEPEST: f64 = 100.0;

    /// A rule for `max` (at least 1) retries, each `after` the same delay.
    pub fn new(after: Span, max: u8) -> Result<Self, RetryError> {
        if max == 0 {
            return Err(RetryError::NoRetries);
        }
        if !(Self::SHORTEST..=Self::LONGEST).contains(&after) {
            return Err(RetryError::Delay { after });
        }
        Ok(Self { after, max, backoff: None, at_most: None })
    }

    /// The rule with each delay `factor` times the one before, up to `at_most`.
    pub fn with_backoff(self, factor: f64, at_most: Option<Span>) -> Result<Self, RetryError> {
        if !(1.0..=Self::STEEPEST).contains(&factor) {
            return Err(RetryError::Backoff { factor });
        }
        match at_most {
            Some(at_most) if !(self.after..=Self::LONGEST).contains(&at_most) => {
                Err(RetryError::AtMost { at_most, after: self.after })
            }
            _ => Ok(Self { backoff: Some(factor), at_most, ..self }),
        }
    }

    /// The delay of the first retry.
    pub fn after(&self) -> Span {
        self.after
    }

    /// How many retries there are.
    pub fn max(&self) -> u8 {
        self.max
    }

    /// The factor from one delay to the next, if they grow.
    pub fn backoff(&self) -> Option<f64> {
        self.backoff
    }

    /// What the delay grows to at most, if the rule says so.
    pub fn at_most(&self) -> Option<Span> {
        self.at_most
    }

    /// The delay of the retry that follows `used` earlier ones.
    fn delay(&self, used: u8) -> Duration {
        let Some(factor) = self.backoff else {
            return self.after.duration();
        };
        let most = self.at_most.unwrap_or(Self::LONGEST).duration();
        // Plain multiplication, as `powi` may differ from one machine to another.
        let millis = (0..used).fold(self.after.duration().as_secs_f64() * 1e3, |millis, _| millis * factor);
        if millis < most.as_secs_f64() * 1e3 { Duration::from_millis(millis.round() as u64) } else { most }
    }
}

/// Why something is not a retry rule.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RetryError {
    /// `max` is 0.
    #[error("a rule with max = 0 never retries: leave the rule out")]
    NoRetries,
    /// `after` is out of range.
    #[error("a retry may come after {} to {}, not after {after}", RetryRule::SHORTEST, RetryRule::LONGEST)]
    Delay {
        /// The delay given.
        after: Span,
    },
    /// `backoff` is out of range or not a number.
    #[error("backoff multiplies each delay by 1 to {}, not by {factor}", RetryRule::STEEPEST)]
    Backoff {
        /// The factor given.
        factor: f64,
    },
    /// `at_most` is out of range.
    #[error(
        "at_most must lie between the first delay, {after}, and {}, but is {at_most}",
        RetryRule::LONGEST
    )]
    AtMost {
        /// The limit given.
        at_most: Span,
        /// The first delay.
        after: Span,
    },
    /// `at_most` limits nothing.
    #[error("at_most needs a backoff: without one every delay is the same")]
    AtMostWithoutBackoff,
}

/// How many retries a contact has had, by cause. Written as only the causes that had any.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct RetriesUsed {
    #[serde(skip_serializing_if = "is_zero")]
    busy: u8,
    #[serde(skip_serializing_if = "is_zero")]
    no_answer: u8,
    #[serde(skip_serializing_if = "is_zero")]
    voicemail: u8,
    #[serde(skip_serializing_if = "is_zero")]
    rejected: u8,
    #[serde(skip_serializing_if = "is_zero")]
    failed: u8,
}

impl RetriesUsed {
    /// The retries after one cause.
    pub fn of(&self, cause: RetryCause) -> u8 {
        match cause {
            RetryCause::Busy => self.busy,
            RetryCause::NoAnswer => self.no_answer,
            RetryCause::Voicemail => self.voicemail,
            RetryCause::Rejected => self.rejected,
            RetryCause::Failed => self.failed,
        }
    }

    /// The retries after all causes.
    pub fn total(&self) -> u16 {
        RetryCause::ALL.into_iter().map(|cause| u16::from(self.of(cause))).sum()
    }

    /// Counts one more; stays at 255.
    pub fn count(&mut self, cause: RetryCause) {
        let used = match cause {
            RetryCause::Busy => &mut self.busy,
            RetryCause::NoAnswer => &mut self.no_answer,
            RetryCause::Voicemail => &mut self.voicemail,
            RetryCause::Rejected => &mut self.rejected,
            RetryCause::Failed => &mut self.failed,
        };
        *used = used.saturating_add(1);
    }
}

fn is_zero(count: &u8) -> bool {
    *count == 0
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "RetryRule", deny_unknown_fields)]
struct RuleText {
    after: Span,
    max: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    backoff: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_most: Option<Span>,
}

impl TryFrom<RuleText> for RetryRule {
    type Error = RetryError;

    fn try_from(text: RuleText) -> Result<Self, RetryError> {
        let rule = Self::new(text.after, text.max)?;
        match (text.backoff, text.at_most) {
            (Some(factor), at_most) => rule.with_backoff(factor, at_most),
            (None, Some(_)) => Err(RetryError::AtMostWithoutBackoff),
            (None, None) => Ok(rule),
        }
    }
}

impl From<RetryRule> for RuleText {
    fn from(RetryRule { after, max, backoff, at_most }: RetryRule) -> Self {
        Self { after, max, backoff, at_most }
    }
}

#[cfg(test)]
mod tests;
