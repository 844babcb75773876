//! What the codes of the SMS API mean.
//!
//! Sources: the statuses of <https://developer.vonage.com/en/messaging/sms/guides/troubleshooting-sms>, the codes of
//! <https://developer.vonage.com/en/messaging/sms/guides/delivery-receipts>.

use rivvi_core::domain::{DeliveryFailure, DeliveryState};
use rivvi_core::provider::{Delivery, ProviderErrorKind};

use crate::failure::Refusal;
use crate::receipt::Fate;

/// The status of a part that was accepted.
pub(super) const ACCEPTED: &str = "0";

/// What the other statuses in the answer to a request mean, and whether the message can have gone out.
const STATUSES: [(&str, ProviderErrorKind, Delivery); 19] = {
    use Delivery::{NotSent, Unknown};
    use ProviderErrorKind as Kind;
    [
        ("1", Kind::RateLimited, NotSent),
        ("2", Kind::InvalidRequest, NotSent),
        ("3", Kind::InvalidRequest, NotSent),
        ("4", Kind::Unauthorized, NotSent),
        // An internal error, which says nothing of how far it came.
        ("5", Kind::Unavailable, Unknown),
        // No route for such a number.
        ("6", Kind::InvalidNumber, NotSent),
        // The number is barred.
        ("7", Kind::Unsubscribed, NotSent),
        ("8", Kind::AccountBlocked, NotSent),
        ("9", Kind::AccountBlocked, NotSent),
        ("10", Kind::RateLimited, NotSent),
        ("11", Kind::AccountBlocked, NotSent),
        ("12", Kind::InvalidRequest, NotSent),
        ("14", Kind::Unauthorized, NotSent),
        ("15", Kind::InvalidRequest, NotSent),
        ("22", Kind::InvalidRequest, NotSent),
        ("23", Kind::InvalidRequest, NotSent),
        // A trial account, and a number that is not on its list.
        ("29", Kind::AccountBlocked, NotSent),
        ("32", Kind::InvalidRequest, NotSent),
        // The number is not in use any more.
        ("33", Kind::InvalidNumber, NotSent),
    ]
};

/// The refusal that a status tells, on top of what the status of HTTP says. A status that is not documented may mean
/// anything.
pub(super) fn refusal(answer: Refusal, status: &str, error_text: Option<&str>) -> Refusal {
    if matches!(status, "2" | "3") && is_about_recipient(error_text) {
        return answer.with_code(status, ProviderErrorKind::InvalidNumber);
    }
    match STATUSES.iter().find(|(known, ..)| *known == status) {
        Some((code, kind, delivery)) => Refusal { delivery: *delivery, ..answer.with_code(code, *kind) },
        None => Refusal { kind: ProviderErrorKind::Protocol, delivery: Delivery::Unknown, ..answer },
    }
}

/// Whether a parameter is refused that differs from message to message, and not one that would be wrong for all.
fn is_about_recipient(error_text: Option<&str>) -> bool {
    let text = format!("{} ", error_text.unwrap_or_default().to_ascii_lowercase());
    ["to address ", "parameter: to ", "to param ", "invalid to "].iter().any(|words| text.contains(words))
}

/// Why a message did not arrive, by the `err-code` of a receipt.
const ERROR_CODES: [(u32, DeliveryFailure); 21] = {
    use DeliveryFailure as Failure;
    [
        (1, Failure::Other),
        (2, Failure::Unreachable),
        // Absent for good: the number is no longer in use.
        (3, Failure::InvalidNumber),
        (4, Failure::Blocked),
        (5, Failure::Other),
        (6, Failure::Blocked),
        (7, Failure::Unreachable),
        (8, Failure::Unreachable),
        // The recipient has asked for no more messages.
        (9, Failure::Unsubscribed),
        (10, Failure::Blocked),
        // No route for text messages to this number: mostly a landline.
        (11, Failure::NoSms),
        (12, Failure::NoSms),
        (13, Failure::Blocked),
        (14, Failure::Blocked),
        // The recipient has no money on a prepaid card.
        (15, Failure::Blocked),
        (50, Failure::Blocked),
        (51, Failure::Blocked),
        (52, Failure::Blocked),
        // The recipient has not consented.
        (53, Failure::Unsubscribed),
        (54, Failure::Blocked),
        (99, Failure::Other),
    ]
};

/// What the `status` and the `err-code` of a receipt tell; nothing for a status that is not documented.
pub(super) fn fate(status: &str, error_code: Option<&str>) -> Option<Fate> {
    let state = match status {
        "accepted" | "buffered" | "unknown" => return Some(Fate::of(DeliveryState::Sent)),
        "delivered" => return Some(Fate::of(DeliveryState::Delivered)),
        "failed" | "rejected" | "expired" => DeliveryState::Undelivered,
        _ => return None,
    };
    let code = error_code.filter(|code| *code != "0");
    let known = code.and_then(|code| code.parse().ok());
    let known = known.and_then(|code: u32| ERROR_CODES.iter().find(|(known, _)| *known == code));
    let failure = match known {
        Some((_, failure)) if *failure != DeliveryFailure::Other => *failure,
        _ if status == "expired" => DeliveryFailure::Expired,
        _ => DeliveryFailure::Other,
    };
    let code = code.filter(|code| code.len() <= 16).map(str::to_owned);
    Some(Fate { state, failure: Some(failure), code })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every status and code that the vendor documents, and some that it does not.
    #[test]
    fn every_status_of_an_answer_has_its_meaning() {
        use Delivery::{NotSent, Unknown};
        use ProviderErrorKind as Kind;
        for (status, text, kind, delivery) in [
            ("1", "Throttled", Kind::RateLimited, NotSent),
            ("2", "Missing from param", Kind::InvalidRequest, NotSent),
            ("2", "Missing to param", Kind::InvalidNumber, NotSent),
            ("3", "Invalid value for parameter: ttl", Kind::InvalidRequest, NotSent),
            ("3", "Invalid value for parameter: topic", Kind::InvalidRequest, NotSent),
            ("3", "Invalid value for parameter: to", Kind::InvalidNumber, NotSent),
            ("3", "to address is not numeric", Kind::InvalidNumber, NotSent),
            ("4", "Bad Credentials", Kind::Unauthorized, NotSent),
            ("5", "Internal Error", Kind::Unavailable, Unknown),
            ("6", "Unroutable message - rejected", Kind::InvalidNumber, NotSent),
            ("7", "Number barred", Kind::Unsubscribed, NotSent),
            ("8", "Partner account barred", Kind::AccountBlocked, NotSent),
            ("9", "Partner quota exceeded", Kind::AccountBlocked, NotSent),
            ("10", "Too many existing binds", Kind::RateLimited, NotSent),
            ("11", "Account not enabled for HTTP", Kind::AccountBlocked, NotSent),
            ("12", "Message too long", Kind::InvalidRequest, NotSent),
            ("14", "Invalid signature", Kind::Unauthorized, NotSent),
            ("15", "Invalid sender address", Kind::InvalidRequest, NotSent),
            ("22", "Invalid network code", Kind::InvalidRequest, NotSent),
            ("23", "Invalid callback URL", Kind::InvalidRequest, NotSent),
            ("29", "Non white-listed destination", Kind::AccountBlocked, NotSent),
            ("32", "Signature and API secret disallowed", Kind::InvalidRequest, NotSent),
            ("33", "Number de-activated", Kind::InvalidNumber, NotSent),
            ("34", "Something new", Kind::Protocol, Unknown),
            ("", "", Kind::Protocol, Unknown),
        ] {
            let refusal = refusal(Refusal::of_status(200, None), status, Some(text));
            assert_eq!((refusal.kind, refusal.delivery), (kind, delivery), "{status}: {text}");
        }
    }

    #[test]
    fn every_word_of_a_receipt_has_its_meaning() {
        use DeliveryFailure as Failure;
        use DeliveryState as State;
        for (status, state) in [
            ("accepted", State::Sent),
            ("buffered", State::Sent),
            ("unknown", State::Sent),
            ("delivered", State::Delivered),
        ] {
            assert_eq!(fate(status, Some("0")), Some(Fate::of(state)), "{status}");
        }
        assert_eq!(fate("teleported", Some("1")), None);
        for (code, failure) in [
            (0, Failure::Other),
            (1, Failure::Other),
            (2, Failure::Unreachable),
            (3, Failure::InvalidNumber),
            (4, Failure::Blocked),
            (5, Failure::Other),
            (6, Failure::Blocked),
            (7, Failure::Unreachable),
            (8, Failure::Unreachable),
            (9, Failure::Unsubscribed),
            (10, Failure::Blocked),
            (11, Failure::NoSms),
            (12, Failure::NoSms),
            (13, Failure::Blocked),
            (14, Failure::Blocked),
            (15, Failure::Blocked),
            (50, Failure::Blocked),
            (51, Failure::Blocked),
            (52, Failure::Blocked),
            (53, Failure::Unsubscribed),
            (54, Failure::Blocked),
            (99, Failure::Other),
            (77, Failure::Other),
        ] {
            for status in ["failed", "rejected"] {
                let fate = fate(status, Some(&code.to_string())).unwrap();
                assert_eq!(
                    (fate.state, fate.failure),
                    (State::Undelivered, Some(failure)),
                    "{status} {code}"
                );
                assert_eq!(fate.code, (code != 0).then(|| code.to_string()));
            }
        }
        let expired = |code| fate("expired", code).unwrap().failure;
        assert_eq!(expired(Some("1")), Some(Failure::Expired));
        assert_eq!(expired(None), Some(Failure::Expired));
        assert_eq!(expired(Some("2")), Some(Failure::Unreachable));
        assert_eq!(fate("failed", Some("Dana Cohen, Haifa")).unwrap().code, None, "that is no code");
    }
}
