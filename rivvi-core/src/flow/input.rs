//! What a session is told.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::key::Key;
use crate::domain::Personal;

/// Names one thing that a session asked for: a playback, a timer, a recording. Never used twice in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(pub u32);

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Something that happened, for [`step`](super::step). What was told before, and what belongs to something that is
/// over, changes nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
#[non_exhaustive]
pub enum Input {
    /// The conversation begins.
    Start,
    /// A prompt is over, played to its end, stopped or failed.
    PlaybackFinished {
        /// Which.
        token: Token,
    },
    /// A key was pressed.
    Digit {
        /// Tells this press apart from others; the same press told again has the same id.
        id: String,
        /// The key.
        key: Key,
    },
    /// Something was said.
    SpeechResult {
        /// Which listening heard it.
        token: Token,
        /// What was understood, from the beginning of this listening on.
        text: Personal<String>,
        /// How certain that is, 0 to 1.
        confidence: f32,
        /// Whether nothing follows.
        last: bool,
    },
    /// It is known who or what answered.
    DetectionResult {
        /// Which detection found it out.
        token: Token,
        /// Who or what.
        what: Detected,
    },
    /// A recording is over.
    RecordingFinished {
        /// Which.
        token: Token,
        /// Where it lies; `None` if it failed.
        reference: Option<Personal<String>>,
    },
    /// A transfer came on.
    TransferResult {
        /// Which.
        token: Token,
        /// How.
        outcome: TransferOutcome,
    },
    /// An action that the session waits for was carried out.
    ActionResult {
        /// The key of the action.
        key: String,
        /// Whether it worked.
        done: bool,
        /// What it gives back: kept as variables `<result>.<name>`.
        values: Personal<BTreeMap<String, String>>,
    },
    /// The time of a timer is over.
    Timer {
        /// Which.
        token: Token,
    },
    /// The call is over.
    HungUp,
}

/// Who or what answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Detected {
    /// A human.
    Human,
    /// A voicemail; told when its greeting is over if that was asked for.
    Voicemail,
    /// A machine with a menu.
    Ivr,
    /// Not told apart.
    Unknown,
}

impl Detected {
    /// The name it is kept under as a result.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Voicemail => "voicemail",
            Self::Ivr => "ivr",
            Self::Unknown => "unknown",
        }
    }
}

/// How a transfer came on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferOutcome {
    /// The agent answered and speaks with the callee.
    Connected,
    /// The agent left, the callee is still there.
    Ended,
    /// The agent is busy.
    Busy,
    /// The agent did not answer in time.
    NoAnswer,
    /// The agent could not be reached.
    Failed,
}

impl TransferOutcome {
    /// The name it is kept under as a result.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Ended => "ended",
            Self::Busy => "busy",
            Self::NoAnswer => "no_answer",
            Self::Failed => "failed",
        }
    }
}
