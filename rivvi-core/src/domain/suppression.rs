//! The do-not-contact list.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::ids::OrgId;
use super::phone::E164;

/// An entry of an organization's suppression list: this number must not be contacted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suppression {
    /// Whose list.
    pub org_id: OrgId,
    /// Which number.
    pub number: E164,
    /// Who asked for it.
    pub source: SuppressionSource,
    /// Why, in the words of whoever added it. May be empty.
    pub reason: String,
    /// Since when. Adding a number that is on the list already keeps the earlier instant.
    pub added_at: DateTime<Utc>,
    /// When it lapses (exclusive); `None` is never.
    pub expires_at: Option<DateTime<Utc>>,
}

impl Suppression {
    /// The entry for a callee who asked not to be called, for good.
    pub fn opt_out(org_id: OrgId, number: E164, now: DateTime<Utc>) -> Self {
        Self {
            org_id,
            number,
            source: SuppressionSource::OptOut,
            reason: "the callee asked not to be called".into(),
            added_at: now,
            expires_at: None,
        }
    }

    /// Whether the entry forbids contact at `now`.
    pub fn is_active(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }

    /// The entry that results when `newer` is added to this one: the earlier start, the later end, the newer reason.
    #[must_use]
    pub fn merged_with(&self, newer: &Self) -> Self {
        Self {
            added_at: self.added_at.min(newer.added_at),
            expires_at: self.expires_at.zip(newer.expires_at).map(|(a, b)| a.max(b)),
            ..newer.clone()
        }
    }
}

/// Where an entry of the suppression list came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SuppressionSource {
    /// The callee asked, by key, by voice or by message.
    OptOut,
    /// An administrator added it.
    Admin,
    /// It came with an imported list.
    Import,
    /// A register of numbers that must not be called.
    Compliance,
}
