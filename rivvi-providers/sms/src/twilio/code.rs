//! What Twilio's codes mean.
//!
//! Source: <https://www.twilio.com/docs/api/errors>.

use rivvi_core::domain::{DeliveryFailure, DeliveryState};
use rivvi_core::provider::ProviderErrorKind;

use crate::failure::{Refusal, refused_for};
use crate::receipt::Fate;

/// Why a message was not taken.
const REFUSALS: [(u32, ProviderErrorKind); 17] = {
    use ProviderErrorKind as Kind;
    [
        (20_003, Kind::Unauthorized),
        (20_404, Kind::InvalidRequest),
        (20_429, Kind::RateLimited),
        (21_211, Kind::InvalidNumber),
        (21_212, Kind::InvalidRequest),
        // The account may not send to the country of the number.
        (21_408, Kind::InvalidNumber),
        (21_602, Kind::InvalidRequest),
        (21_603, Kind::InvalidRequest),
        (21_604, Kind::InvalidRequest),
        (21_606, Kind::InvalidRequest),
        // A trial account, and a number that is not on its list.
        (21_608, Kind::AccountBlocked),
        (21_610, Kind::Unsubscribed),
        // The queue of the sender is full.
        (21_611, Kind::RateLimited),
        // No route from this sender to this number.
        (21_612, Kind::NoSms),
        (21_614, Kind::NoSms),
        (21_617, Kind::InvalidRequest),
        (21_635, Kind::NoSms),
    ]
};

/// Why a message did not arrive.
const FAILURES: [(u32, DeliveryFailure); 28] = {
    use DeliveryFailure as Failure;
    [
        (21_211, Failure::InvalidNumber),
        (21_408, Failure::Account),
        (21_610, Failure::Unsubscribed),
        (21_612, Failure::NoSms),
        (21_614, Failure::NoSms),
        (21_635, Failure::NoSms),
        (30_001, Failure::Throttled),
        (30_002, Failure::Account),
        (30_003, Failure::Unreachable),
        (30_004, Failure::Blocked),
        // The number does not exist any more.
        (30_005, Failure::InvalidNumber),
        // A landline, or a carrier without text messages.
        (30_006, Failure::NoSms),
        (30_007, Failure::Blocked),
        (30_008, Failure::Other),
        (30_009, Failure::Other),
        (30_010, Failure::Other),
        (30_011, Failure::Other),
        // The carrier is congested.
        (30_017, Failure::Throttled),
        (30_018, Failure::Account),
        (30_019, Failure::Blocked),
        (30_022, Failure::Throttled),
        (30_023, Failure::Throttled),
        (30_024, Failure::Account),
        (30_032, Failure::Account),
        (30_034, Failure::Account),
        // The carrier did not answer in time.
        (30_410, Failure::Unreachable),
        // Waited in the queue beyond its validity.
        (30_036, Failure::Expired),
        (63_038, Failure::Throttled),
    ]
};

/// The refusal that a code tells, on top of what the status of HTTP says; nothing in the answer of a server that fails.
pub(super) fn refusal(answer: Refusal, code: Option<u32>) -> Refusal {
    if !(400..500).contains(&answer.status) || answer.status == 408 {
        return answer;
    }
    let kind = code.and_then(|code| {
        let refusal = REFUSALS.iter().find(|(known, _)| *known == code).map(|(_, kind)| *kind);
        refusal.or_else(|| failure(code).map(refused_for))
    });
    match (code, kind) {
        (Some(code), Some(kind)) => answer.with_code(code, kind),
        _ => answer,
    }
}

/// Whether Twilio says that it does not have what was asked for.
pub(super) fn is_not_found(refusal: &Refusal) -> bool {
    refusal.status == 404 && refusal.code.as_deref() == Some("20404")
}

fn failure(code: u32) -> Option<DeliveryFailure> {
    FAILURES.iter().find(|(known, _)| *known == code).map(|(_, failure)| *failure)
}

/// What the status and the error code of a message tell; nothing for a status that is not documented.
pub(super) fn fate(status: &str, code: Option<u32>) -> Option<Fate> {
    let state = match status {
        "accepted" | "scheduled" | "queued" | "sending" => return Some(Fate::of(DeliveryState::Queued)),
        "sent" => return Some(Fate::of(DeliveryState::Sent)),
        "delivered" | "read" | "partially_delivered" => return Some(Fate::of(DeliveryState::Delivered)),
        "undelivered" => DeliveryState::Undelivered,
        "failed" | "canceled" => DeliveryState::Failed,
        _ => return None,
    };
    let failure = code.and_then(failure).unwrap_or(DeliveryFailure::Other);
    Some(Fate { state, failure: Some(failure), code: code.map(|code| code.to_string()) })
}

#[cfg(test)]
mod tests {
    use rivvi_core::provider::Delivery;

    use super::*;

    /// Every code of a refusal that the vendor documents for messages, and some that it does not.
    #[test]
    fn every_code_of_a_refusal_has_its_meaning() {
        use ProviderErrorKind as Kind;
        for (status, code, kind) in [
            (401, 20_003, Kind::Unauthorized),
            (404, 20_404, Kind::InvalidRequest),
            (429, 20_429, Kind::RateLimited),
            (400, 21_211, Kind::InvalidNumber),
            (400, 21_212, Kind::InvalidRequest),
            (400, 21_408, Kind::InvalidNumber),
            (400, 21_602, Kind::InvalidRequest),
            (400, 21_603, Kind::InvalidRequest),
            (400, 21_604, Kind::InvalidRequest),
            (400, 21_606, Kind::InvalidRequest),
            (400, 21_608, Kind::AccountBlocked),
            (400, 21_610, Kind::Unsubscribed),
            (400, 21_611, Kind::RateLimited),
            (400, 21_612, Kind::NoSms),
            (400, 21_614, Kind::NoSms),
            (400, 21_617, Kind::InvalidRequest),
            (400, 21_635, Kind::NoSms),
            (400, 30_002, Kind::AccountBlocked),
            (400, 30_006, Kind::NoSms),
            (400, 63_038, Kind::RateLimited),
            (400, 21_999, Kind::InvalidRequest),
            (429, 21_999, Kind::RateLimited),
        ] {
            let refusal = refusal(Refusal::of_status(status, None), Some(code));
            assert_eq!((refusal.kind, refusal.delivery), (kind, Delivery::NotSent), "{code}");
        }
        for status in [408, 500, 503] {
            let refusal = refusal(Refusal::of_status(status, None), Some(21_614));
            assert_eq!(refusal.delivery, Delivery::Unknown, "{status}: whatever the code says");
        }
        assert_eq!(refusal(Refusal::of_status(400, None), None).kind, Kind::InvalidRequest);
    }

    #[test]
    fn every_code_of_a_receipt_has_its_meaning() {
        use DeliveryFailure as Failure;
        for (code, failure) in [
            (30_001, Failure::Throttled),
            (30_002, Failure::Account),
            (30_003, Failure::Unreachable),
            (30_004, Failure::Blocked),
            (30_005, Failure::InvalidNumber),
            (30_006, Failure::NoSms),
            (30_007, Failure::Blocked),
            (30_008, Failure::Other),
            (30_009, Failure::Other),
            (30_010, Failure::Other),
            (30_011, Failure::Other),
            (30_017, Failure::Throttled),
            (30_018, Failure::Account),
            (30_019, Failure::Blocked),
            (30_022, Failure::Throttled),
            (30_023, Failure::Throttled),
            (30_024, Failure::Account),
            (30_032, Failure::Account),
            (30_034, Failure::Account),
            (30_036, Failure::Expired),
            (30_410, Failure::Unreachable),
            (63_038, Failure::Throttled),
            (21_211, Failure::InvalidNumber),
            (21_408, Failure::Account),
            (21_610, Failure::Unsubscribed),
            (21_612, Failure::NoSms),
            (21_614, Failure::NoSms),
            (21_635, Failure::NoSms),
            (39_999, Failure::Other),
        ] {
            for (status, state) in
                [("undelivered", DeliveryState::Undelivered), ("failed", DeliveryState::Failed)]
            {
                let expected = Fate { state, failure: Some(failure), code: Some(code.to_string()) };
                assert_eq!(fate(status, Some(code)), Some(expected), "{status} {code}");
            }
        }
    }

    #[test]
    fn every_status_has_its_state() {
        use DeliveryState as State;
        for (status, state) in [
            ("accepted", State::Queued),
            ("scheduled", State::Queued),
            ("queued", State::Queued),
            ("sending", State::Queued),
            ("sent", State::Sent),
            ("delivered", State::Delivered),
            ("read", State::Delivered),
            ("partially_delivered", State::Delivered),
            ("undelivered", State::Undelivered),
            ("failed", State::Failed),
            ("canceled", State::Failed),
        ] {
            assert_eq!(fate(status, None).unwrap().state, state, "{status}");
        }
        for status in ["receiving", "received", "teleported", ""] {
            assert_eq!(fate(status, None), None, "{status}");
        }
    }
}
