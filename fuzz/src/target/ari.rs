//! Events of Asterisk.

use rivvi_provider_asterisk::fuzzing::read_event;

pub(super) const WORDS: &[&str] = &[
    "\"type\":",
    "\"timestamp\":",
    "2026-01-31T09:47:39.723+0000",
    "Dial",
    "ChannelStateChange",
    "StasisStart",
    "StasisEnd",
    "ChannelHangupRequest",
    "ChannelDestroyed",
    "ChannelDtmfReceived",
    "ChannelTalkingStarted",
    "PlaybackFinished",
    "RecordingFailed",
    "ChannelUserevent",
    "rivvi_action_result",
    "\"userevent\":",
    "\"result\":",
    "\"target_uri\":\"channel:",
    "\"cause\":",
    "\"tech_cause\":",
    "\"digit\":\"",
    "\"args\":[",
    "null",
    "{\"",
    "}",
    "\\u0000",
];

/// One event. An error tells where, and nothing of what stands there: it is short.
pub(super) fn event(input: &[u8]) {
    if let Err(error) = read_event(&String::from_utf8_lossy(input)) {
        let place = "an event cannot be read at column 00000000".len();
        assert!(
            error.len() <= place
                || error.ends_with("expected a timestamp such as 2026-01-31T09:47:39.723+0000")
        );
    }
}
