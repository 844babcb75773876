//! What the codes of the Messages API mean.
//!
//! Source: <https://developer.vonage.com/en/api-errors/messages>.

use rivvi_core::domain::{DeliveryFailure, DeliveryState};
use rivvi_core::provider::ProviderErrorKind;
use serde::Deserialize;
use serde_json::Value;

use crate::failure::{Refusal, refused_for};
use crate::receipt::Fate;

/// Why a message did not arrive, or was not taken.
const CODES: [(u32, DeliveryFailure); 36] = {
    use DeliveryFailure as Failure;
    [
        (1000, Failure::Throttled),
        (1010, Failure::Other),
        (1020, Failure::Other),
        (1030, Failure::Unreachable),
        // No route for such a number.
        (1040, Failure::InvalidNumber),
        // The number is barred.
        (1050, Failure::Unsubscribed),
        (1060, Failure::Account),
        (1070, Failure::Account),
        (1080, Failure::Account),
        (1090, Failure::Other),
        (1100, Failure::Unreachable),
        (1120, Failure::Other),
        (1130, Failure::Other),
        (1140, Failure::Other),
        (1150, Failure::Other),
        // A trial account, and a number that is not on its list.
        (1160, Failure::Account),
        (1170, Failure::InvalidNumber),
        (1180, Failure::Unreachable),
        // Absent for good: the number is no longer in use.
        (1190, Failure::InvalidNumber),
        (1200, Failure::Other),
        (1210, Failure::Blocked),
        (1220, Failure::Unreachable),
        (1230, Failure::Unreachable),
        // The recipient has asked for no more messages.
        (1240, Failure::Unsubscribed),
        (1241, Failure::Throttled),
        // No route for text messages to this number: mostly a landline.
        (1250, Failure::NoSms),
        (1260, Failure::NoSms),
        (1270, Failure::Blocked),
        (1280, Failure::Blocked),
        // The recipient has no money on a prepaid card.
        (1290, Failure::Blocked),
        (1300, Failure::NoSms),
        (1320, Failure::Other),
        (1330, Failure::Other),
        (1331, Failure::Unreachable),
        (1340, Failure::Blocked),
        (1360, Failure::Expired),
    ]
};

/// What the API says of an error, in an answer or a receipt. Fields may be missing, and codes texts or numbers.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Problem {
    /// Ends in `#` and the code.
    r#type: Value,
    /// The code, in receipts.
    title: Value,
    /// The code, in older receipts.
    code: Value,
    /// What is wrong with a request.
    invalid_parameters: Value,
}

impl Problem {
    /// The code, if it is one.
    fn code(&self) -> Option<u32> {
        let fragment = self.r#type.as_str().and_then(|kind| kind.rsplit_once('#')?.1.parse().ok());
        let number = |value: &Value| match value {
            Value::String(text) => text.parse().ok(),
            other => other.as_u64().and_then(|code| u32::try_from(code).ok()),
        };
        fragment.or_else(|| number(&self.title)).or_else(|| number(&self.code))
    }

    fn is_about_recipient(&self) -> bool {
        let all = self.invalid_parameters.as_array().map(Vec::as_slice).unwrap_or_default();
        // What is also wrong with the rest of the request would be so for every message.
        !all.is_empty() && all.iter().all(|parameter| parameter["name"] == "to")
    }

    /// The refusal that it tells, on top of what the status of HTTP says; nothing in the answer of a server that fails.
    pub(super) fn refusal(&self, answer: Refusal) -> Refusal {
        if !(400..500).contains(&answer.status) || answer.status == 408 {
            return answer;
        }
        let code = self.code().unwrap_or_default();
        let known = CODES.iter().find(|(known, _)| *known == code);
        match known {
            Some((_, DeliveryFailure::Other)) | None if self.is_about_recipient() => {
                answer.with_code(code, ProviderErrorKind::InvalidNumber)
            }
            Some((code, failure)) => answer.with_code(code, refused_for(*failure)),
            None => answer,
        }
    }
}

/// What the `status` and the `error` of a receipt tell; nothing for a status that is not documented.
pub(super) fn fate(status: &str, problem: &Problem) -> Option<Fate> {
    let state = match status {
        "submitted" => return Some(Fate::of(DeliveryState::Sent)),
        "delivered" | "read" => return Some(Fate::of(DeliveryState::Delivered)),
        "rejected" => DeliveryState::Failed,
        "undeliverable" => DeliveryState::Undelivered,
        _ => return None,
    };
    let code = problem.code();
    let known = code.and_then(|code| CODES.iter().find(|(known, _)| *known == code));
    let failure = known.map_or(DeliveryFailure::Other, |(_, failure)| *failure);
    Some(Fate { state, failure: Some(failure), code: code.map(|code| code.to_string()) })
}

#[cfg(test)]
mod tests {
    use rivvi_core::provider::Delivery;
    use serde_json::json;

    use super::*;

    fn problem(value: Value) -> Problem {
        serde_json::from_value(value).unwrap()
    }

    fn typed(code: u32) -> Problem {
        problem(json!({ "type": format!("https://developer.vonage.com/api-errors/messages#{code}") }))
    }

    /// Every code that the vendor documents, and some that it does not.
    #[test]
    fn every_code_has_its_meaning() {
        use DeliveryFailure as Failure;
        use ProviderErrorKind as Kind;
        for (code, failure, kind) in [
            (1000, Failure::Throttled, Kind::RateLimited),
            (1010, Failure::Other, Kind::InvalidRequest),
            (1020, Failure::Other, Kind::InvalidRequest),
            (1030, Failure::Unreachable, Kind::Unavailable),
            (1040, Failure::InvalidNumber, Kind::InvalidNumber),
            (1050, Failure::Unsubscribed, Kind::Unsubscribed),
            (1060, Failure::Account, Kind::AccountBlocked),
            (1070, Failure::Account, Kind::AccountBlocked),
            (1080, Failure::Account, Kind::AccountBlocked),
            (1090, Failure::Other, Kind::InvalidRequest),
            (1100, Failure::Unreachable, Kind::Unavailable),
            (1120, Failure::Other, Kind::InvalidRequest),
            (1130, Failure::Other, Kind::InvalidRequest),
            (1140, Failure::Other, Kind::InvalidRequest),
            (1150, Failure::Other, Kind::InvalidRequest),
            (1160, Failure::Account, Kind::AccountBlocked),
            (1170, Failure::InvalidNumber, Kind::InvalidNumber),
            (1180, Failure::Unreachable, Kind::Unavailable),
            (1190, Failure::InvalidNumber, Kind::InvalidNumber),
            (1200, Failure::Other, Kind::InvalidRequest),
            (1210, Failure::Blocked, Kind::InvalidRequest),
            (1220, Failure::Unreachable, Kind::Unavailable),
            (1230, Failure::Unreachable, Kind::Unavailable),
            (1240, Failure::Unsubscribed, Kind::Unsubscribed),
            (1241, Failure::Throttled, Kind::RateLimited),
            (1250, Failure::NoSms, Kind::NoSms),
            (1260, Failure::NoSms, Kind::NoSms),
            (1270, Failure::Blocked, Kind::InvalidRequest),
            (1280, Failure::Blocked, Kind::InvalidRequest),
            (1290, Failure::Blocked, Kind::InvalidRequest),
            (1300, Failure::NoSms, Kind::NoSms),
            (1320, Failure::Other, Kind::InvalidRequest),
            (1330, Failure::Other, Kind::InvalidRequest),
            (1331, Failure::Unreachable, Kind::Unavailable),
            (1340, Failure::Blocked, Kind::InvalidRequest),
            (1360, Failure::Expired, Kind::InvalidRequest),
            (1999, Failure::Other, Kind::InvalidRequest),
        ] {
            let fate = fate("rejected", &typed(code)).unwrap();
            assert_eq!(fate.state, DeliveryState::Failed);
            assert_eq!((fate.failure, fate.code), (Some(failure), Some(code.to_string())), "{code}");
            let refusal = typed(code).refusal(Refusal::of_status(422, None));
            assert_eq!((refusal.kind, refusal.delivery), (kind, Delivery::NotSent), "{code}");
        }
    }

    #[test]
    fn the_status_counts_where_the_code_says_nothing() {
        use Delivery::{NotSent, Unknown};
        use ProviderErrorKind as Kind;
        for (status, code, kind, delivery) in [
            (401, 0, Kind::Unauthorized, NotSent),
            (402, 1070, Kind::AccountBlocked, NotSent),
            (429, 1000, Kind::RateLimited, NotSent),
            (429, 1999, Kind::RateLimited, NotSent),
            (500, 1170, Kind::Unavailable, Unknown),
            (408, 1170, Kind::Timeout, Unknown),
        ] {
            let refusal = typed(code).refusal(Refusal::of_status(status, None));
            assert_eq!((refusal.kind, refusal.delivery), (kind, delivery), "{status} {code}");
        }
        let of = |names: &[&str]| {
            let parameters: Vec<Value> = names.iter().map(|name| json!({ "name": name })).collect();
            problem(json!({ "type": "...#1020", "invalid_parameters": parameters }))
                .refusal(Refusal::of_status(422, None))
                .kind
        };
        assert_eq!(of(&["to"]), Kind::InvalidNumber);
        assert_eq!(of(&["from"]), Kind::InvalidRequest);
        assert_eq!(of(&["to", "from"]), Kind::InvalidRequest);
        assert_eq!(of(&[]), Kind::InvalidRequest);
    }

    #[test]
    fn every_word_of_a_receipt_has_its_meaning_and_codes_stand_in_several_places() {
        use DeliveryState as State;
        for (status, state) in
            [("submitted", State::Sent), ("delivered", State::Delivered), ("read", State::Delivered)]
        {
            assert_eq!(fate(status, &Problem::default()), Some(Fate::of(state)));
        }
        assert_eq!(fate("teleported", &typed(1000)), None);
        for value in [
            json!({ "title": 1250 }),
            json!({ "title": "1250" }),
            json!({ "code": 1250, "reason": "Unroutable" }),
            json!({ "type": "https://example.com/no-code", "title": 1250, "detail": null }),
        ] {
            let fate = fate("undeliverable", &problem(value)).unwrap();
            assert_eq!((fate.state, fate.failure), (State::Undelivered, Some(DeliveryFailure::NoSms)));
        }
        let nothing = fate("undeliverable", &problem(json!({ "title": "Dana", "type": 7 }))).unwrap();
        assert_eq!((nothing.failure, nothing.code), (Some(DeliveryFailure::Other), None));
    }
}
