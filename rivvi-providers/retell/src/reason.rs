//! Retell's words for how a call ended.

use rivvi_core::domain::Disposition;

/// What a `disconnection_reason` means to a campaign. A word that is not known is judged by the status of the call.
///
/// Source: the 39 words of retell-sdk 6.2.13 (`PhoneCallResponse.disconnection_reason`), and two that older calls have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// A human was talked to.
    Talked,
    /// A human was talked to and does not want to be called again.
    TalkedAndOptedOut,
    /// A human was talked to and wants to be called again.
    TalkedAndWantsCallback,
    /// It ended this way whether or not anybody had answered.
    Always(Disposition),
    /// A human was talked to until then, if anybody had answered; else this.
    TalkedOr(Disposition),
    /// Not a word we know.
    Unknown,
}

/// The meaning of a word.
pub(crate) fn meaning(reason: &str) -> Meaning {
    use Disposition::{Busy, Canceled, Failed, InvalidNumber, NoAnswer, NotPlaced, Rejected, Voicemail};
    match reason {
        "user_hangup"
        | "agent_hangup"
        | "call_transfer"
        | "transfer_bridged"
        | "transfer_cancelled"
        | "call_take_over"
        | "inactivity"
        | "max_duration_reached" => Meaning::Talked,
        "user_requested_dnc" => Meaning::TalkedAndOptedOut,
        "user_requested_callback" => Meaning::TalkedAndWantsCallback,
        "voicemail_reached" | "ivr_reached" | "machine_detected" => Meaning::Always(Voicemail),
        "dial_busy" => Meaning::Always(Busy),
        "dial_no_answer" => Meaning::Always(NoAnswer),
        "user_declined" => Meaning::Always(Rejected),
        "invalid_destination" => Meaning::Always(InvalidNumber),
        // Whether the phone rang is not said, so these count as attempts.
        "dial_failed"
        | "telephony_provider_permission_denied"
        | "telephony_provider_unavailable"
        | "sip_routing_error"
        | "marked_as_spam"
        | "network_blocked"
        | "scam_detected"
        | "no_concurrency_fallback" => Meaning::Always(Failed),
        // Our own `stop-call`, or that of somebody at the dashboard.
        "manual_stopped" => Meaning::TalkedOr(Canceled),
        // Refused by Retell itself before it dials; money may also run out in the middle of a call.
        "concurrency_limit_reached"
        | "no_valid_payment"
        | "credit_exhausted"
        | "budget_reached"
        | "registered_call_timeout" => Meaning::TalkedOr(NotPlaced),
        // The agent broke down: nobody was talked to as was meant.
        "error_llm_websocket_open"
        | "error_llm_websocket_lost_connection"
        | "error_llm_websocket_runtime"
        | "error_llm_websocket_corrupt_payload"
        | "error_no_audio_received"
        | "error_asr"
        | "error_retell"
        | "error_unknown"
        | "error_user_not_joined"
        | "error_inbound_webhook" => Meaning::Always(Failed),
        _ => Meaning::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words of retell-sdk 6.2.13 with what each means.
    const WORDS: [(&str, Meaning); 39] = [
        ("user_hangup", Meaning::Talked),
        ("agent_hangup", Meaning::Talked),
        ("user_requested_dnc", Meaning::TalkedAndOptedOut),
        ("user_requested_callback", Meaning::TalkedAndWantsCallback),
        ("call_transfer", Meaning::Talked),
        ("voicemail_reached", Meaning::Always(Disposition::Voicemail)),
        ("ivr_reached", Meaning::Always(Disposition::Voicemail)),
        ("inactivity", Meaning::Talked),
        ("max_duration_reached", Meaning::Talked),
        ("concurrency_limit_reached", Meaning::TalkedOr(Disposition::NotPlaced)),
        ("no_concurrency_fallback", Meaning::Always(Disposition::Failed)),
        ("no_valid_payment", Meaning::TalkedOr(Disposition::NotPlaced)),
        ("credit_exhausted", Meaning::TalkedOr(Disposition::NotPlaced)),
        ("budget_reached", Meaning::TalkedOr(Disposition::NotPlaced)),
        ("scam_detected", Meaning::Always(Disposition::Failed)),
        ("dial_busy", Meaning::Always(Disposition::Busy)),
        ("dial_failed", Meaning::Always(Disposition::Failed)),
        ("dial_no_answer", Meaning::Always(Disposition::NoAnswer)),
        ("invalid_destination", Meaning::Always(Disposition::InvalidNumber)),
        ("telephony_provider_permission_denied", Meaning::Always(Disposition::Failed)),
        ("telephony_provider_unavailable", Meaning::Always(Disposition::Failed)),
        ("sip_routing_error", Meaning::Always(Disposition::Failed)),
        ("marked_as_spam", Meaning::Always(Disposition::Failed)),
        ("network_blocked", Meaning::Always(Disposition::Failed)),
        ("user_declined", Meaning::Always(Disposition::Rejected)),
        ("error_llm_websocket_open", Meaning::Always(Disposition::Failed)),
        ("error_llm_websocket_lost_connection", Meaning::Always(Disposition::Failed)),
        ("error_llm_websocket_runtime", Meaning::Always(Disposition::Failed)),
        ("error_llm_websocket_corrupt_payload", Meaning::Always(Disposition::Failed)),
        ("error_no_audio_received", Meaning::Always(Disposition::Failed)),
        ("error_asr", Meaning::Always(Disposition::Failed)),
        ("error_retell", Meaning::Always(Disposition::Failed)),
        ("error_unknown", Meaning::Always(Disposition::Failed)),
        ("error_user_not_joined", Meaning::Always(Disposition::Failed)),
        ("registered_call_timeout", Meaning::TalkedOr(Disposition::NotPlaced)),
        ("transfer_bridged", Meaning::Talked),
        ("transfer_cancelled", Meaning::Talked),
        ("manual_stopped", Meaning::TalkedOr(Disposition::Canceled)),
        ("call_take_over", Meaning::Talked),
    ];

    #[test]
    fn every_word_has_its_meaning() {
        for (word, expected) in WORDS {
            assert_eq!(meaning(word), expected, "{word}");
        }
        for older in ["machine_detected", "error_inbound_webhook"] {
            assert_ne!(meaning(older), Meaning::Unknown);
        }
        for strange in ["", "USER_HANGUP", "abducted_by_aliens"] {
            assert_eq!(meaning(strange), Meaning::Unknown);
        }
    }
}
