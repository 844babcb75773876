//! Finding out who or what answered: pure.
//!
//! `AMD()` of the dialplan tells human from machine by the rhythm of what is heard. Whether a machine's greeting is over
//! is told by `TALK_DETECT` after that.

use std::time::Duration;

use chrono::{DateTime, Utc};
use rivvi_core::flow::{Detected, Token};
use rivvi_core::provider::Answerer;

use super::order::Order;
use crate::ari::What;

/// A greeting that is not heard for so long was over before.
const GREETING_HEARD_MAX: Duration = Duration::from_millis(1500);

/// One detection.
#[derive(Debug)]
pub(crate) struct Detection {
    pub(crate) token: Token,
    await_greeting_end: bool,
    stage: Stage,
}

#[derive(Debug, PartialEq)]
enum Stage {
    /// In the dialplan.
    Listening,
    /// A machine speaks, or is about to be heard speaking.
    Greeting { silent_at: Option<DateTime<Utc>> },
}

impl Detection {
    pub(crate) fn new(token: Token, await_greeting_end: bool) -> Self {
        Self { token, await_greeting_end, stage: Stage::Listening }
    }

    /// Whether nothing is found yet.
    pub(crate) fn is_listening(&self) -> bool {
        self.stage == Stage::Listening
    }

    /// The channel is back from the dialplan with what `AMD()` found. Returns the result, unless it is to be told later.
    pub(crate) fn back(
        &mut self,
        found: Detected,
        now: DateTime<Utc>,
        orders: &mut Vec<Order>,
    ) -> Option<Detected> {
        if found == Detected::Voicemail && self.await_greeting_end {
            self.stage = Stage::Greeting { silent_at: Some(now + GREETING_HEARD_MAX) };
            orders.push(Order::WatchTalking);
            return None;
        }
        Some(found)
    }

    /// What the callee's line does during a greeting. Returns the result when it is over.
    pub(crate) fn take(&mut self, what: &What) -> Option<Detected> {
        match (what, &mut self.stage) {
            (What::TalkingStarted, Stage::Greeting { silent_at }) => {
                *silent_at = None;
                None
            }
            (What::TalkingFinished, Stage::Greeting { .. }) => Some(Detected::Voicemail),
            _ => None,
        }
    }

    /// When it is to be looked at again.
    pub(crate) fn wake_at(&self) -> Option<DateTime<Utc>> {
        match self.stage {
            Stage::Greeting { silent_at } => silent_at,
            Stage::Listening => None,
        }
    }

    /// Returns the result if nothing was heard for long enough.
    pub(crate) fn wake(&mut self, now: DateTime<Utc>) -> Option<Detected> {
        self.wake_at().filter(|at| *at <= now).map(|_| Detected::Voicemail)
    }
}

/// Reads what the dialplan tells: `AMDSTATUS` and `AMDCAUSE`.
///
/// The cause has details behind dashes, as in `INITIALSILENCE-2500-2500`. Asterisk takes whoever says nothing at first
/// for a machine; that is not known.
pub(crate) fn read(status: Option<&str>, cause: Option<&str>) -> Detected {
    match status {
        Some("HUMAN") => Detected::Human,
        Some("MACHINE") if !cause.unwrap_or_default().starts_with("INITIALSILENCE") => Detected::Voicemail,
        _ => Detected::Unknown,
    }
}

/// What the engine is told about who answered.
pub(crate) fn answerer(found: Detected) -> Answerer {
    match found {
        Detected::Human => Answerer::Human,
        Detected::Voicemail | Detected::Ivr => Answerer::Machine,
        Detected::Unknown => Answerer::Unknown,
    }
}
