//! Events, read from what Asterisk writes: unknown fields and events are passed over, missing ones are missing.

use chrono::{DateTime, Utc};
use rivvi_core::provider::ActionResult;
use serde::{Deserialize, Serialize};

/// Something that happened to a channel, or to the application.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    /// When, by the clock of the server.
    pub(crate) at: DateTime<Utc>,
    /// The id of the channel; empty if it is about none.
    pub(crate) channel: String,
    /// What.
    pub(crate) what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// An outgoing call came on.
    Dial(DialStatus),
    /// The state of the channel changed.
    State(ChannelState),
    /// The channel is ours to command.
    StasisStart {
        /// What was given when it was sent to us.
        args: Vec<String>,
    },
    /// The channel is not ours to command any more; it may come back.
    StasisEnd,
    /// Somebody asked for the end of the call.
    HangupRequest {
        /// From this side, by ARI or dialplan. The cause is then no Q.850 cause.
        soft: bool,
    },
    /// The channel is gone.
    Destroyed {
        /// The Q.850 cause.
        cause: u16,
        /// The SIP status, if there was one, also one that Asterisk made up.
        sip: Option<u16>,
    },
    /// A key was pressed, and let go.
    Dtmf(char),
    /// Somebody begins to speak; told after `TALK_DETECT(set)`.
    TalkingStarted,
    /// Somebody stopped speaking.
    TalkingFinished,
    /// A playback began.
    PlaybackStarted {
        /// Its id.
        id: String,
    },
    /// A playback is over, by itself or not.
    PlaybackFinished {
        /// Its id.
        id: String,
    },
    /// A recording is over and stored.
    RecordingFinished {
        /// Its name.
        name: String,
    },
    /// A recording could not be made.
    RecordingFailed {
        /// Its name.
        name: String,
    },
    /// Another process of ours has a result of an action for the call of this channel.
    ActionResult {
        /// The key of the action.
        key: String,
        /// What it gives back.
        result: ActionResult,
    },
    /// Another program took the application over.
    Replaced,
    /// Something else.
    Other,
}

/// How an outgoing call comes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DialStatus {
    Begun,
    Ringing,
    /// Early media or a session in progress: the callee's side has the call.
    Progress,
    Answer,
    /// Any ending. How it ended is told by the cause alone: Asterisk says `NOANSWER` for most of them.
    Over,
}

/// The state of a channel, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChannelState {
    Ringing,
    Up,
    Other,
}

/// A channel in a list.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Channel {
    pub(crate) id: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    dialplan: Option<Dialplan>,
}

/// A bridge in a list.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Bridge {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) channels: Vec<String>,
}

/// What a channel is doing.
#[derive(Debug, Clone, Deserialize)]
struct Dialplan {
    #[serde(default)]
    app_name: String,
    #[serde(default)]
    app_data: String,
}

impl Channel {
    /// With what it entered our application, if it is there.
    pub(crate) fn entered(&self, app: &str) -> Option<Vec<String>> {
        let dialplan = self.dialplan.as_ref().filter(|dialplan| dialplan.app_name == "Stasis")?;
        let mut parts = dialplan.app_data.split(',').map(str::to_owned);
        (parts.next().as_deref() == Some(app) && self.state() == ChannelState::Up).then(|| parts.collect())
    }

    pub(crate) fn state(&self) -> ChannelState {
        state(&self.state)
    }
}

fn state(name: &str) -> ChannelState {
    match name {
        "Ringing" => ChannelState::Ringing,
        "Up" => ChannelState::Up,
        _ => ChannelState::Other,
    }
}

impl Event {
    /// Reads an event.
    ///
    /// # Errors
    /// If it is no event at all; where, but not what, because it may hold personal data.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let raw: Raw<'_> = serde_json::from_str(text)
            .map_err(|error| format!("an event cannot be read at column {}", error.column()))?;
        let at = DateTime::parse_from_str(raw.timestamp, TIMESTAMP).map_err(|_| {
            format!("{}: expected a timestamp such as 2026-01-31T09:47:39.723+0000", raw.kind())
        })?;
        Ok(Self { at: at.to_utc(), channel: raw.channel_id(), what: raw.what() })
    }
}

/// Without a colon in the offset, so it is not RFC 3339.
const TIMESTAMP: &str = "%Y-%m-%dT%H:%M:%S%.f%z";

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(rename = "type", borrow)]
    kind: std::borrow::Cow<'a, str>,
    timestamp: &'a str,
    channel: Option<Channel>,
    peer: Option<Channel>,
    dialstatus: Option<String>,
    args: Option<Vec<String>>,
    soft: Option<bool>,
    cause: Option<serde_json::Value>,
    tech_cause: Option<u16>,
    digit: Option<String>,
    playback: Option<Playback>,
    recording: Option<Recording>,
    eventname: Option<String>,
    userevent: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Playback {
    id: String,
    #[serde(default)]
    target_uri: String,
}

#[derive(Deserialize)]
struct Recording {
    name: String,
    #[serde(default)]
    target_uri: String,
}

/// The name of the event by which one process tells another the result of an action.
pub(super) const ACTION_RESULT: &str = "rivvi_action_result";

#[derive(Serialize, Deserialize)]
pub(super) struct UserEvent {
    pub(super) key: String,
    pub(super) result: ActionResult,
}

impl Raw<'_> {
    fn kind(&self) -> &str {
        &self.kind
    }

    fn channel_id(&self) -> String {
        let target = |uri: &str| uri.strip_prefix("channel:").unwrap_or_default().to_owned();
        match (&self.channel, &self.peer, &self.playback, &self.recording) {
            (Some(channel), ..) => channel.id.clone(),
            (_, Some(peer), ..) => peer.id.clone(),
            (_, _, Some(playback), _) => target(&playback.target_uri),
            (.., Some(recording)) => target(&recording.target_uri),
            _ => String::new(),
        }
    }

    fn what(self) -> What {
        let playback = |playback: Option<Playback>| playback.map(|playback| playback.id).unwrap_or_default();
        let recording = |recording: Option<Recording>| recording.map(|it| it.name).unwrap_or_default();
        match self.kind.as_ref() {
            "Dial" => What::Dial(match self.dialstatus.as_deref().unwrap_or_default() {
                "" => DialStatus::Begun,
                "RINGING" => DialStatus::Ringing,
                "PROGRESS" | "PROCEEDING" => DialStatus::Progress,
                "ANSWER" => DialStatus::Answer,
                _ => DialStatus::Over,
            }),
            "ChannelStateChange" => {
                What::State(self.channel.as_ref().map_or(ChannelState::Other, Channel::state))
            }
            "StasisStart" => What::StasisStart { args: self.args.unwrap_or_default() },
            "StasisEnd" => What::StasisEnd,
            "ChannelHangupRequest" => What::HangupRequest { soft: self.soft.unwrap_or_default() },
            "ChannelDestroyed" => {
                let cause = self.cause.as_ref().and_then(serde_json::Value::as_u64);
                let cause = cause.and_then(|cause| u16::try_from(cause).ok()).unwrap_or_default();
                What::Destroyed { cause, sip: self.tech_cause }
            }
            "ChannelDtmfReceived" => match self.digit.and_then(|digit| digit.chars().next()) {
                Some(digit) => What::Dtmf(digit),
                None => What::Other,
            },
            "ChannelTalkingStarted" => What::TalkingStarted,
            "ChannelTalkingFinished" => What::TalkingFinished,
            "PlaybackStarted" => What::PlaybackStarted { id: playback(self.playback) },
            "PlaybackFinished" => What::PlaybackFinished { id: playback(self.playback) },
            "RecordingFinished" => What::RecordingFinished { name: recording(self.recording) },
            "RecordingFailed" => What::RecordingFailed { name: recording(self.recording) },
            "ChannelUserevent" if self.eventname.as_deref() == Some(ACTION_RESULT) => {
                let told = self.userevent.and_then(|told| serde_json::from_value(told).ok());
                told.map_or(What::Other, |UserEvent { key, result }| What::ActionResult { key, result })
            }
            "ApplicationReplaced" => What::Replaced,
            _ => What::Other,
        }
    }
}

/// The events that [`What`] knows, for the server to leave out the others.
pub(super) const KNOWN: [&str; 15] = [
    "ApplicationReplaced",
    "ChannelDestroyed",
    "ChannelDtmfReceived",
    "ChannelHangupRequest",
    "ChannelStateChange",
    "ChannelTalkingFinished",
    "ChannelTalkingStarted",
    "ChannelUserevent",
    "Dial",
    "PlaybackFinished",
    "PlaybackStarted",
    "RecordingFailed",
    "RecordingFinished",
    "StasisEnd",
    "StasisStart",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Event {
        Event::read(text).unwrap()
    }

    #[test]
    fn fields_that_nobody_knows_and_fields_that_are_null_do_not_matter() {
        let event = read(
            r#"{"type":"ChannelDestroyed","timestamp":"2026-01-31T09:47:39.723+0000","new":{"a":[1]},"cause":17,
                "cause_txt":"User busy","tech_cause":null,"channel":{"id":"x","state":null_state}}"#
                .replace("null_state", "\"Down\"")
                .as_str(),
        );
        assert_eq!(event.what, What::Destroyed { cause: 17, sip: None });
        assert_eq!(event.channel, "x");
        assert_eq!(event.at, "2026-01-31T09:47:39.723Z".parse::<DateTime<Utc>>().unwrap());
        assert_eq!(
            read(r#"{"type":"Brand\u004eew","timestamp":"2026-01-31T11:47:39.723+0200"}"#).what,
            What::Other
        );
    }

    #[test]
    fn what_is_no_event_is_told_without_its_content() {
        for text in ["", "[]", "{\"secret\": 1", r#"{"type":"Dial","timestamp":"secret"}"#] {
            let error = Event::read(text).unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
