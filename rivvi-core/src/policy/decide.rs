//! Asking the rules.

use std::borrow::Cow;
use std::fmt::Debug;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::follow_up::Upcoming;
use super::rules::{self, LOOK_AGAIN, RING_MIN};
use super::window::{ContactHours, HORIZON};
use crate::domain::{CallId, Contact, Exclusion, Medium, Organization, Outcome, Run, Suppression};
use crate::storage::{AttemptChange, Change};

/// The rules of an engine: those of Rivvi, then those of the host.
#[derive(Debug, Clone)]
pub struct Policy {
    rules: Vec<Arc<dyn Rule>>,
}

impl Policy {
    /// Rivvi's rules, in this order: run state, suppression list, zone, run end, caps, number in use, calling window.
    pub fn new() -> Self {
        Self { rules: rules::built_in() }
    }

    /// The same policy with a further rule of the host, asked after the others. A host's rule can forbid more, never
    /// allow what another rule forbids.
    #[must_use]
    pub fn with(mut self, rule: Arc<dyn Rule>) -> Self {
        self.rules.push(rule);
        self
    }

    /// May the contact be called at the instant of the question?
    pub fn decide(&self, question: &Question<'_>) -> Decision {
        match self.ask(question) {
            Ok(until) => Decision::Allow { until },
            Err((rule, Objection::Wait { until, reason })) => self.defer(question, rule, until, reason),
            Err((rule, Objection::Never { outcome, exclusion, reason })) => {
                Decision::Never { outcome, exclusion, rule, reason }
            }
        }
    }

    /// The decision with the finding of every rule, for people.
    pub fn explain(&self, question: &Question<'_>) -> Explanation {
        let trace = self
            .rules
            .iter()
            .map(|rule| TraceStep { rule: rule.name().into(), finding: judge(rule.as_ref(), question) })
            .collect();
        let decision = self.decide(question);
        let next_legal = match &decision {
            Decision::Allow { .. } => Some(question.now),
            Decision::Defer { until, .. } => Some(*until),
            Decision::Never { .. } => None,
        };
        Explanation { at: question.now, decision, trace, next_legal }
    }

    /// The first instant after the question's at which no rule asks to wait, or the refusal met on the way.
    fn defer(
        &self,
        question: &Question<'_>,
        rule: &'static str,
        first: DateTime<Utc>,
        reason: Cow<'static, str>,
    ) -> Decision {
        let last = later(question.now, HORIZON);
        let mut at = first.max(later(question.now, TICK));
        for _ in 0..ROUNDS_MAX {
            match self.ask(&Question { now: at, ..*question }) {
                Err((rule, Objection::Never { outcome, exclusion, reason })) => {
                    return Decision::Never { outcome, exclusion, rule, reason };
                }
                // Waiting that long would keep the run from ever ending.
                _ if at > last => {
                    let (outcome, exclusion) = (Outcome::Excluded, Some(Exclusion::NoLegalInstant));
                    return Decision::Never { outcome, exclusion, rule, reason };
                }
                Err((_, Objection::Wait { until, .. })) => at = until.max(later(at, TICK)),
                Ok(_) => return Decision::Defer { until: at, rule, reason },
            }
        }
        // The rules do not agree on an instant within reach: look again then, rather than never, but not at once.
        let until = at.max(later(question.now, LOOK_AGAIN));
        Decision::Defer { until, rule, reason }
    }

    /// Until when no rule objects, at most a day; or the first objection.
    fn ask(&self, question: &Question<'_>) -> Result<DateTime<Utc>, (&'static str, Objection)> {
        let mut allowed_until = later(question.now, TimeDelta::days(1));
        for rule in &self.rules {
            match judge(rule.as_ref(), question) {
                Finding::Pass => {}
                Finding::PassUntil(end) => allowed_until = allowed_until.min(end),
                Finding::Wait { until, reason } => {
                    return Err((rule.name(), Objection::Wait { until, reason }));
                }
                Finding::Never { outcome, exclusion, reason } => {
                    return Err((rule.name(), Objection::Never { outcome, exclusion, reason }));
                }
            }
        }
        Ok(allowed_until)
    }
}

/// The part of the findings that keeps a contact from being called.
enum Objection {
    Wait { until: DateTime<Utc>, reason: Cow<'static, str> },
    Never { outcome: Outcome, exclusion: Option<Exclusion>, reason: Cow<'static, str> },
}

/// The finding of a rule; one that leaves less time than a call must be able to ring is a wait.
fn judge(rule: &dyn Rule, question: &Question<'_>) -> Finding {
    match rule.judge(question) {
        Finding::PassUntil(end) if end.signed_duration_since(question.now) < RING_MIN => {
            Finding::wait(end, "too little time is left to ring")
        }
        finding => finding,
    }
}

/// The instant `span` after `at`, or the last there is.
fn later(at: DateTime<Utc>, span: TimeDelta) -> DateTime<Utc> {
    at.checked_add_signed(span).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

impl Default for Policy {
    fn default() -> Self {
        Self::new()
    }
}

/// How often the rules may move the next legal instant before it is taken as it is.
const ROUNDS_MAX: usize = 64;

/// The least by which the next legal instant moves.
const TICK: TimeDelta = TimeDelta::microseconds(1);

/// A rule of the policy. Pure: the same question gives the same finding.
///
/// To find the next legal instant, rules are asked about the future too. A rule whose facts may change by then, such
/// as a free line, passes if [`Question::now`] is after [`Question::asked_at`]: the contact is judged again when the
/// time has come. A wait of more than 400 days is a refusal.
pub trait Rule: Debug + Send + Sync + 'static {
    /// Its name, for the journal.
    fn name(&self) -> &'static str;

    /// What it says about calling at the instant of the question, which may lie in the future.
    fn judge(&self, question: &Question<'_>) -> Finding;
}

/// What a rule is asked.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The instant asked about; may lie in the future.
    pub now: DateTime<Utc>,
    /// The instant at which the facts below hold.
    pub asked_at: DateTime<Utc>,
    /// On whose terms.
    pub terms: &'a RunTerms,
    /// Which contact.
    pub contact: &'a Contact,
    /// What is known of its number.
    pub number: &'a NumberFacts,
}

impl Question<'_> {
    /// By what the contact would be reached.
    pub fn medium(&self) -> Medium {
        match self.contact.status.plan.upcoming(&self.terms.run.definition) {
            Upcoming::Attempt { medium, .. } => medium,
            Upcoming::Receipt(_) => Medium::Sms,
        }
    }
}

/// The terms of a run: what rules need beside the contact, prepared once.
#[derive(Debug, Clone)]
pub struct RunTerms {
    /// The run, with the definition of its campaign.
    pub run: Arc<Run>,
    /// The organization, as it is now.
    pub organization: Arc<Organization>,
    /// When its contacts may be called.
    pub hours: ContactHours,
}

impl RunTerms {
    /// The terms of a run of an organization.
    pub fn new(run: Arc<Run>, organization: Arc<Organization>) -> Self {
        let office = organization.office_hours.clone().map(|hours| (hours, organization.time_zone));
        let hours = ContactHours::new(run.definition.hours(), office);
        Self { run, organization, hours }
    }
}

/// What a store knows about a number within an organization.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumberFacts {
    /// When it was attempted, over all runs, in ascending order.
    pub attempts: Vec<DateTime<Utc>>,
    /// Its live call, in whatever run.
    pub live_call: Option<CallId>,
    /// Its entry in the suppression list, lapsed or not.
    pub suppression: Option<Suppression>,
}

impl NumberFacts {
    /// Brings the facts up to date with what was decided about one of the number's contacts.
    pub fn learn(&mut self, change: &Change) {
        if let Some(call) = change.call.as_ref().filter(|call| call.is_live()) {
            self.live_call = Some(call.id);
        }
        if let (Some(AttemptChange::Add(at)), Some(_)) = (change.attempt, &change.call) {
            let place = self.attempts.partition_point(|earlier| *earlier <= at);
            self.attempts.insert(place, at);
        }
        if let Some(newer) = &change.suppress {
            let known = self.suppression.as_ref();
            self.suppression = Some(known.map_or_else(|| newer.clone(), |known| known.merged_with(newer)));
        }
    }
}

/// What a rule finds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "finding")]
#[non_exhaustive]
pub enum Finding {
    /// Nothing against it.
    Pass,
    /// Nothing against it before this instant. Less than [`RING_MIN`](super::RING_MIN) ahead it counts as a wait.
    PassUntil(DateTime<Utc>),
    /// Not before an instant.
    Wait {
        /// The first instant at which this rule may have nothing against it.
        until: DateTime<Utc>,
        /// Why, without personal data.
        reason: Cow<'static, str>,
    },
    /// Never in this run.
    Never {
        /// The outcome of the contact.
        outcome: Outcome,
        /// The reason, if the outcome is [`Outcome::Excluded`].
        exclusion: Option<Exclusion>,
        /// Why, without personal data.
        reason: Cow<'static, str>,
    },
}

impl Finding {
    /// The contact is excluded.
    pub fn exclude(exclusion: Exclusion, reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Never { outcome: Outcome::Excluded, exclusion: Some(exclusion), reason: reason.into() }
    }

    /// Not before `until`.
    pub fn wait(until: DateTime<Utc>, reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Wait { until, reason: reason.into() }
    }
}

/// What the policy decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "decision")]
pub enum Decision {
    /// The contact may be called.
    Allow {
        /// The end of the legal interval, at most a day ahead.
        until: DateTime<Utc>,
    },
    /// Not now.
    Defer {
        /// The next legal instant.
        until: DateTime<Utc>,
        /// The rule that decided.
        rule: &'static str,
        /// Its finding.
        reason: Cow<'static, str>,
    },
    /// Never in this run.
    Never {
        /// The outcome of the contact.
        outcome: Outcome,
        /// The reason, if it is excluded.
        exclusion: Option<Exclusion>,
        /// The rule that decided.
        rule: &'static str,
        /// Its finding.
        reason: Cow<'static, str>,
    },
}

/// A decision with the finding of every rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The instant asked about.
    pub at: DateTime<Utc>,
    /// The decision.
    pub decision: Decision,
    /// What each rule found, in the order asked.
    pub trace: Vec<TraceStep>,
    /// The next legal instant, if there is one.
    pub next_legal: Option<DateTime<Utc>>,
}

/// What one rule found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TraceStep {
    /// The rule.
    pub rule: Cow<'static, str>,
    /// Its finding.
    pub finding: Finding,
}

#[cfg(test)]
mod tests;
