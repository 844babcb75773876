//! What a session asks for.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::definition::RecordingRules;
use super::input::Token;
use crate::domain::Personal;
use crate::provider::CallEvent;

/// Something to be done, in the order given, by whoever runs the session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
#[non_exhaustive]
pub enum Effect {
    /// Play a recording; answer with [`Input::PlaybackFinished`](super::Input::PlaybackFinished).
    Play {
        /// Names this playback.
        token: Token,
        /// The recording, as the flow names it.
        audio: Personal<String>,
    },
    /// Speak a text; answer with [`Input::PlaybackFinished`](super::Input::PlaybackFinished).
    Say {
        /// Names this playback.
        token: Token,
        /// What to say.
        text: Personal<String>,
        /// The language of the text, if the flow tells it.
        language: Option<Personal<String>>,
        /// The voice, if the flow names one.
        voice: Option<String>,
    },
    /// Stop a playback; nothing needs to be answered.
    StopPlayback {
        /// Which.
        token: Token,
    },
    /// Answer with [`Input::Timer`](super::Input::Timer) after a while. It replaces every timer before.
    StartTimer {
        /// Names this timer.
        token: Token,
        /// After how long.
        after: Duration,
    },
    /// Recognize what is said; answer with [`Input::SpeechResult`](super::Input::SpeechResult), as often as more is
    /// understood.
    Listen {
        /// Names this listening.
        token: Token,
        /// What is expected to be said.
        hints: Vec<String>,
        /// The language that is spoken, if the flow tells it.
        language: Option<Personal<String>>,
    },
    /// Stop listening; nothing needs to be answered.
    StopListening {
        /// Which.
        token: Token,
    },
    /// Record the callee; answer with [`Input::RecordingFinished`](super::Input::RecordingFinished).
    Record {
        /// Names this recording.
        token: Token,
        /// What ends it.
        rules: RecordingRules,
    },
    /// Stop a recording and keep it; nothing needs to be answered.
    StopRecording {
        /// Which.
        token: Token,
    },
    /// Press keys towards the callee; `w` is a pause of half a second. The session waits by itself for as long as that
    /// takes.
    SendDtmf {
        /// The keys.
        digits: Personal<String>,
    },
    /// Find out who or what answered; answer with [`Input::DetectionResult`](super::Input::DetectionResult).
    Detect {
        /// Names this detection.
        token: Token,
        /// Whether a voicemail is told only when its greeting is over.
        await_greeting_end: bool,
    },
    /// Connect the callee with an agent; answer with [`Input::TransferResult`](super::Input::TransferResult).
    Transfer {
        /// Names this transfer.
        token: Token,
        /// Whom to, as the flow names it; `None` leaves it to the provider.
        to: Option<Personal<String>>,
        /// How long it may ring.
        ring_timeout: Duration,
    },
    /// Let go of an agent, whether called or connected; nothing needs to be answered.
    StopTransfer {
        /// Which transfer.
        token: Token,
    },
    /// Have the host carry out an action. The key is the same whenever this request is made again, and no other request
    /// of the session has it.
    Action {
        /// Tells this request apart.
        key: String,
        /// The name under which the host registered the action.
        name: String,
        /// What the action gets.
        parameters: Personal<BTreeMap<String, String>>,
    },
    /// Put the callee's number on the suppression list, at once.
    OptOut,
    /// Call the callee again.
    Callback {
        /// When.
        at: DateTime<Utc>,
    },
    /// Hang up.
    HangUp,
    /// The conversation is over; nothing follows.
    Ended {
        /// How.
        ending: FlowEnding,
    },
}

impl Effect {
    /// What a provider tells the engine about this effect, if that is to take effect outside the call.
    pub fn call_event(&self) -> Option<CallEvent> {
        match self {
            Self::Action { key, name, parameters } => Some(CallEvent::Action {
                key: key.clone(),
                name: name.clone(),
                parameters: parameters.clone(),
            }),
            Self::OptOut => Some(CallEvent::OptOut),
            Self::Callback { at } => Some(CallEvent::Callback { at: *at }),
            _ => None,
        }
    }
}

/// How a conversation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlowEnding {
    /// It came to its end.
    Completed,
    /// The callee, an agent or the network hung up.
    HungUp,
    /// The callee pressed the opt-out key.
    OptedOut,
    /// The flow led nowhere, or in a circle: it was not valid.
    Broken,
}

impl FlowEnding {
    /// The name used in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::HungUp => "hung_up",
            Self::OptedOut => "opted_out",
            Self::Broken => "broken",
        }
    }
}
