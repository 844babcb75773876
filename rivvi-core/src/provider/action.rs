//! What actions of the host give back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::Personal;

/// What an action of the host gives back to the conversation that asked for it.
///
/// Only a conversation that waits hears it, for instance a node with `wait_for_result`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionResult {
    /// Whether it worked.
    pub done: bool,
    /// What the conversation may say or decide by.
    pub values: Personal<BTreeMap<String, String>>,
}

impl ActionResult {
    /// It worked.
    pub fn done() -> Self {
        Self { done: true, values: Personal::default() }
    }

    /// It did not work, and trying again would not help: there is no free appointment, the card is refused.
    pub fn failed() -> Self {
        Self { done: false, values: Personal::default() }
    }

    /// With a value under this name.
    #[must_use]
    pub fn with(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let mut values = self.values.into_inner();
        values.insert(name.into(), value.into());
        Self { values: Personal::new(values), ..self }
    }
}
