//! How calls and contacts end.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a call ended. Each call gets exactly one, once, and keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Disposition {
    /// A human answered.
    AnsweredHuman,
    /// A voicemail or another machine answered.
    Voicemail,
    /// The line was busy.
    Busy,
    /// Nobody answered before the ring timeout.
    NoAnswer,
    /// The callee declined the call.
    Rejected,
    /// The network says that no such number exists.
    InvalidNumber,
    /// The network or the provider could not complete the call.
    Failed,
    /// We ended the call before anyone answered.
    Canceled,
    /// Whether the call took place could not be found out before the deadline.
    Unknown,
    /// Proved not to have been dialled; not an attempt.
    NotPlaced,
    /// A message was handed to its provider; [what became of it](super::MessageDelivery) is told later.
    Sent,
}

impl Disposition {
    /// Every disposition, in the order of declaration.
    pub const ALL: [Self; 11] = [
        Self::AnsweredHuman,
        Self::Voicemail,
        Self::Busy,
        Self::NoAnswer,
        Self::Rejected,
        Self::InvalidNumber,
        Self::Failed,
        Self::Canceled,
        Self::Unknown,
        Self::NotPlaced,
        Self::Sent,
    ];

    /// The name used in campaign files, reports and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AnsweredHuman => "answered_human",
            Self::Voicemail => "voicemail",
            Self::Busy => "busy",
            Self::NoAnswer => "no_answer",
            Self::Rejected => "rejected",
            Self::InvalidNumber => "invalid_number",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Unknown => "unknown",
            Self::NotPlaced => "not_placed",
            Self::Sent => "sent",
        }
    }

    /// Whether the callee's phone may have rung: everything but [`NotPlaced`](Self::NotPlaced).
    pub const fn is_attempt(self) -> bool {
        !matches!(self, Self::NotPlaced)
    }
}

impl fmt::Display for Disposition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a contact ended. Each contact gets exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// Reached: a human answered, or a message was delivered.
    Completed,
    /// Attempted as often as the plan and the caps allow, without reaching a human.
    Exhausted,
    /// Never to be contacted in this run: suppressed, without a known zone, over a cap, or refused by a host's rule.
    Excluded,
    /// The run ended before the contact's next legal instant.
    Expired,
    /// The run was cancelled first.
    Cancelled,
    /// The last call's fate could not be found out, so nobody calls again.
    Unknown,
    /// A message could not be delivered, and its text was said to a human by speech synthesis instead.
    FallbackDelivered,
    /// A message could not be delivered, and no human heard its text by speech synthesis either.
    FallbackFailed,
}

impl Outcome {
    /// Every outcome, in the order of declaration.
    pub const ALL: [Self; 8] = [
        Self::Completed,
        Self::Exhausted,
        Self::Excluded,
        Self::Expired,
        Self::Cancelled,
        Self::Unknown,
        Self::FallbackDelivered,
        Self::FallbackFailed,
    ];

    /// The name used in reports and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Exhausted => "exhausted",
            Self::Excluded => "excluded",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
            Self::FallbackDelivered => "fallback_delivered",
            Self::FallbackFailed => "fallback_failed",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
