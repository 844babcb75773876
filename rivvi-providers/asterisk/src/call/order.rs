//! What is to be done for a call.

use std::time::Duration;

use chrono::{DateTime, Utc};
use rivvi_core::domain::Personal;
use rivvi_core::flow::{RecordingRules, Token};
use rivvi_core::provider::CallEvent;

/// Something to be done, in the order given. Channels, playbacks, recordings and bridges have ids that we choose.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Order {
    /// Tell the engine.
    Tell { event: CallEvent, at: DateTime<Utc> },
    /// Play a recording to the callee.
    Play { token: Token, playback: String, audio: Personal<String> },
    /// Make speech of a text; answer with [`Happening::Spoken`](super::Happening::Spoken).
    Speak { token: Token, text: Personal<String>, language: Option<Personal<String>>, voice: Option<String> },
    /// Recognize what the callee says; answer with [`Happening::Heard`](super::Happening::Heard).
    Listen { token: Token, language: Option<Personal<String>>, hints: Vec<String> },
    /// Stop that.
    StopListening,
    /// Stop a playback.
    StopPlayback { playback: String },
    /// Record the callee.
    Record { token: Token, name: String, rules: RecordingRules },
    /// Stop a recording and keep it.
    StopRecording { name: String },
    /// Keep a recording that is over; answer with [`Happening::Kept`](super::Happening::Kept).
    Keep { token: Option<Token>, name: String },
    /// Press keys towards the callee.
    Press { groups: Vec<Presses> },
    /// Send the channel into the dialplan, from where it comes back with what was detected.
    Detect,
    /// Have it told when the callee speaks.
    WatchTalking,
    /// Let the callee hear ringing, or stop that.
    Ring(bool),
    /// Call an agent.
    CallAgent { token: Token, channel: String, to: Option<Personal<String>>, ring_timeout: Duration },
    /// Connect the callee with this channel; answer with [`Happening::Bridged`](super::Happening::Bridged).
    Bridge { bridge: String, channel: String },
    /// Take a bridge down.
    EndBridge { bridge: String },
    /// Leave the call to the agent that the dialplan has under this name.
    Hand { agent: String },
    /// Have a channel made that hears both sides.
    Overhear { channel: String },
    /// Record what that channel hears.
    RecordAll { channel: String, name: String },
    /// End a channel.
    HangUp { channel: String },
    /// Nothing is left to be done.
    Done,
}

/// Keys pressed after one another, after a pause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Presses {
    /// Milliseconds before the first.
    pub(crate) pause: u32,
    /// The keys.
    pub(crate) keys: Personal<String>,
}

/// Half a second, which `w` stands for.
const PAUSE_MS: u32 = 500;

/// The keys in groups that one request presses each.
pub(crate) fn presses(digits: &str) -> Vec<Presses> {
    let mut groups: Vec<(u32, String)> = Vec::new();
    let mut pause = 0;
    for sign in digits.chars() {
        match (sign, groups.last_mut()) {
            ('w', _) => pause += PAUSE_MS,
            (key, Some((_, keys))) if pause == 0 => keys.push(key),
            (key, _) => groups.push((std::mem::take(&mut pause), key.into())),
        }
    }
    groups.into_iter().map(|(pause, keys)| Presses { pause, keys: keys.into() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_grouped_between_pauses() {
        let group = |pause, keys: &str| Presses { pause, keys: keys.to_owned().into() };
        assert_eq!(presses("ww1w23"), [group(1000, "1"), group(500, "23")]);
        assert_eq!(presses("12#"), [group(0, "12#")]);
        assert_eq!(presses("w"), []);
    }
}
