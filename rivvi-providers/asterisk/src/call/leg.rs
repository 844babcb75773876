//! One leg of a call, judged by its events: pure.

use chrono::{DateTime, Utc};
use rivvi_core::domain::Disposition;
use rivvi_core::provider::{Answerer, CallEvent};

use super::cause::{Cause, Heard};
use crate::ari::{ChannelState, DialStatus, Event, What};

/// What is known of a leg. How it ended is decided by the cause of its channel's end and by what was seen before, and by
/// nothing else: Asterisk's `dialstatus` says `NOANSWER` for most refusals.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Leg {
    ringing: bool,
    heard: Heard,
    answered_at: Option<DateTime<Utc>>,
    by: Option<Answerer>,
    ended_here: bool,
    over: bool,
}

impl Leg {
    /// A leg that is found in this state, with its beginning unseen.
    pub(crate) fn found(state: ChannelState, now: DateTime<Utc>) -> Self {
        let up = state == ChannelState::Up;
        let ringing = up || state == ChannelState::Ringing;
        let heard = if ringing { Heard::Ringing } else { Heard::Nothing };
        Self { ringing, heard, answered_at: up.then_some(now), ..Self::default() }
    }

    /// Whether somebody or something has answered.
    pub(crate) fn is_answered(&self) -> bool {
        self.answered_at.is_some()
    }

    /// Whether anything was told of it.
    pub(crate) fn is_heard_of(&self) -> bool {
        self.ringing || self.is_answered()
    }

    /// Whether it is over.
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    /// Notes that this side ends the call.
    pub(crate) fn end_here(&mut self) {
        self.ended_here = true;
    }

    /// Notes who or what answered. Returns what is to be told, if that is new.
    pub(crate) fn answered_by(&mut self, by: Answerer) -> Option<CallEvent> {
        // Not knowing takes back nothing that is known.
        let new = by != Answerer::Unknown && self.by.replace(by) != Some(by);
        new.then_some(CallEvent::Answered { by })
    }

    /// Everything that is known, for whoever asks anew.
    pub(crate) fn told_so_far(&self) -> Vec<(Option<DateTime<Utc>>, CallEvent)> {
        let mut events = vec![(None, CallEvent::Accepted { reference: None })];
        if self.ringing {
            events.push((None, CallEvent::Ringing));
        }
        if self.is_answered() {
            events.push((self.answered_at, CallEvent::Answered { by: self.by.unwrap_or(Answerer::Unknown) }));
        }
        events
    }

    /// Takes an event of this very channel. Returns what it tells about the call.
    pub(crate) fn judge(&mut self, event: &Event) -> Vec<CallEvent> {
        match &event.what {
            _ if self.over => Vec::new(),
            What::Dial(DialStatus::Progress) => {
                self.heard = Heard::Ringing;
                Vec::new()
            }
            What::Dial(DialStatus::Ringing) | What::State(ChannelState::Ringing) => self.ring(),
            What::Dial(DialStatus::Answer) | What::State(ChannelState::Up) | What::StasisStart { .. } => {
                self.answer(event.at)
            }
            What::HangupRequest { soft } => {
                if !soft {
                    self.heard = self.heard.max(Heard::End);
                }
                self.ended_here |= soft;
                Vec::new()
            }
            What::Destroyed { cause, sip } => vec![self.end(Cause { code: *cause, sip: *sip }, event.at)],
            _ => Vec::new(),
        }
    }

    fn ring(&mut self) -> Vec<CallEvent> {
        self.heard = Heard::Ringing;
        if std::mem::replace(&mut self.ringing, true) || self.is_answered() {
            return Vec::new();
        }
        vec![CallEvent::Ringing]
    }

    fn answer(&mut self, at: DateTime<Utc>) -> Vec<CallEvent> {
        self.heard = Heard::Ringing;
        if self.is_answered() {
            return Vec::new();
        }
        self.answered_at = Some(at);
        vec![CallEvent::Answered { by: self.by.unwrap_or(Answerer::Unknown) }]
    }

    /// The end, by its cause.
    pub(crate) fn end(&mut self, cause: Cause, at: DateTime<Utc>) -> CallEvent {
        self.over = true;
        let disposition = match self.answered_at {
            Some(_) => self.answered_disposition(),
            None if self.ended_here && matches!(cause.code, 0 | 16 | 19 | 32) => Disposition::Canceled,
            None => cause.disposition(self.heard),
        };
        self.ended(disposition, cause.to_string(), at)
    }

    /// The end of a leg that nobody saw and nobody knows the cause of.
    pub(crate) fn end_unseen(&mut self, at: DateTime<Utc>) -> CallEvent {
        self.over = true;
        let disposition = if self.is_answered() { self.answered_disposition() } else { Disposition::Unknown };
        // When it ended is not known, so neither is for how long they talked.
        self.answered_at = None;
        self.ended(disposition, "ended while nobody looked".into(), at)
    }

    /// The end as the server noted it while nobody looked.
    pub(crate) fn end_noted(&mut self, noted: Noted, at: DateTime<Utc>) -> CallEvent {
        // What was heard is not noted; that the server made the call ring is likely.
        self.heard = Heard::Ringing;
        if noted.answered {
            let talked = chrono::TimeDelta::seconds(noted.seconds);
            self.answered_at = Some(self.answered_at.unwrap_or(at - talked));
        }
        let cause = Cause { code: noted.cause, sip: None };
        match self.end(cause, at) {
            CallEvent::Ended { disposition, reason, .. } => {
                let talk_time = noted.answered.then(|| u64::try_from(noted.seconds).unwrap_or_default());
                CallEvent::Ended {
                    disposition,
                    reason,
                    talk_time: talk_time.map(std::time::Duration::from_secs),
                }
            }
            other => other,
        }
    }

    fn answered_disposition(&self) -> Disposition {
        match self.by {
            Some(Answerer::Machine) => Disposition::Voicemail,
            _ => Disposition::AnsweredHuman,
        }
    }

    fn ended(&self, disposition: Disposition, reason: String, at: DateTime<Utc>) -> CallEvent {
        let talk_time = self.answered_at.map(|since| (at - since).to_std().unwrap_or_default());
        CallEvent::Ended { disposition, reason: Some(reason), talk_time }
    }
}

/// What the server notes about a call when its channel is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Noted {
    cause: u16,
    answered: bool,
    seconds: i64,
}

/// What the server remembers of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Nothing: it never had it, or it was restarted.
    None,
    /// It was asked for the call, and did not note its end.
    Asked,
    /// It noted the end.
    Ended(Noted),
}

impl Mark {
    /// Reads `asked` or `ended,CAUSE,DISPOSITION,SECONDS`.
    pub(crate) fn read(value: &str) -> Self {
        let mut parts = value.split(',');
        match parts.next() {
            Some("ended") => {
                let cause = parts.next().and_then(|cause| cause.parse().ok());
                let answered = parts.next() == Some("ANSWERED");
                let seconds = parts.next().and_then(|seconds| seconds.parse().ok()).unwrap_or_default();
                match cause {
                    Some(cause) => Self::Ended(Noted { cause, answered, seconds }),
                    None => Self::Asked,
                }
            }
            Some("") | None => Self::None,
            Some(_) => Self::Asked,
        }
    }
}
