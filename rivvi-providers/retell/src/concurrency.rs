//! How many calls the account may have at once.

use serde::{Deserialize, Serialize};

/// How many calls the account has and may have at once. Retell leaves out what does not apply.
///
/// Source: <https://docs.retellai.com/api-references/get-concurrency>
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Concurrency {
    /// Calls under way, inbound ones included.
    pub current_concurrency: Option<u32>,
    /// Calls that may be under way at once.
    pub concurrency_limit: Option<u32>,
    /// Whether more are allowed at a higher price.
    pub concurrency_burst_enabled: Option<bool>,
    /// Calls that may be under way at once then; 0 if that is off.
    pub concurrency_burst_limit: Option<u32>,
    /// Calls that are kept free for people who call in.
    pub reserved_inbound_concurrency: Option<u32>,
}

impl Concurrency {
    /// How many more outbound calls Retell would take now, as far as it says.
    pub fn free(&self) -> Option<u32> {
        let burst = self.concurrency_burst_limit.filter(|_| self.concurrency_burst_enabled == Some(true));
        let limit = self.concurrency_limit?.max(burst.unwrap_or(0));
        let taken = self.current_concurrency?.saturating_add(self.reserved_inbound_concurrency.unwrap_or(0));
        Some(limit.saturating_sub(taken))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_places_are_those_that_are_left_of_the_greater_limit() {
        for (json, free) in [
            (r#"{"current_concurrency":10,"concurrency_limit":20,"new_field":{}}"#, Some(10)),
            (r#"{"current_concurrency":30,"concurrency_limit":20}"#, Some(0)),
            (
                r#"{"current_concurrency":10,"concurrency_limit":20,"reserved_inbound_concurrency":5}"#,
                Some(5),
            ),
            (
                r#"{"current_concurrency":10,"concurrency_limit":20,"concurrency_burst_enabled":true,"concurrency_burst_limit":60}"#,
                Some(50),
            ),
            (
                r#"{"current_concurrency":10,"concurrency_limit":20,"concurrency_burst_enabled":false,"concurrency_burst_limit":60}"#,
                Some(10),
            ),
            (r#"{"concurrency_limit":20}"#, None),
            ("{}", None),
        ] {
            assert_eq!(serde_json::from_str::<Concurrency>(json).unwrap().free(), free, "{json}");
        }
    }
}
