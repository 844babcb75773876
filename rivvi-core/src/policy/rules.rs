//! Rivvi's own rules, one struct each.

use chrono::TimeDelta;
use std::sync::Arc;

use super::caps::{AttemptHistory, CapKind, CapVerdict};
use super::decide::{Finding, Question, Rule};
use super::window::HORIZON;
use crate::domain::{Ending, Exclusion, Medium, Outcome, RunState};

/// The least time a call must be able to ring inside its legal interval; a call does not start later than this
/// before its end. 15 s, the least that 47 CFR 64.1200(a)(6) lets an unanswered telemarketing call ring.
pub const RING_MIN: TimeDelta = TimeDelta::seconds(15);

/// How long a contact waits before it is looked at again when its number is in use, its run is paused, or the rules do
/// not agree on an instant.
pub(super) const LOOK_AGAIN: TimeDelta = TimeDelta::seconds(30);

pub(super) fn built_in() -> Vec<Arc<dyn Rule>> {
    vec![
        Arc::new(RunIsActive),
        Arc::new(NotSuppressed),
        Arc::new(ZoneIsKnown),
        Arc::new(BeforeRunEnd),
        Arc::new(WithinCaps),
        Arc::new(NumberIsFree),
        Arc::new(InsideWindow),
    ]
}

/// The run makes calls.
#[derive(Debug)]
struct RunIsActive;

impl Rule for RunIsActive {
    fn name(&self) -> &'static str {
        "run_state"
    }

    fn judge(&self, question: &Question<'_>) -> Finding {
        let run = &question.terms.run;
        let never = |ending: Ending| Finding::Never {
            outcome: ending.outcome(),
            exclusion: None,
            reason: "the run is over".into(),
        };
        match run.state {
            RunState::Active => Finding::Pass,
            RunState::Completing => never(run.ending.unwrap_or(Ending::EndTime)),
            RunState::Completed | RunState::Failed => never(Ending::EndTime),
            RunState::Cancelled => never(Ending::Cancelled),
            // Asked about the future, a run that waits or pauses is taken to go on.
            _ if question.now > question.asked_at => Finding::Pass,
            state => Finding::wait(question.now + LOOK_AGAIN, format!("the run is {state}")),
        }
    }
}

/// The number is not on the suppression list.
#[derive(Debug)]
struct NotSuppressed;

impl Rule for NotSuppressed {
    fn name(&self) -> &'static str {
        "suppression"
    }

    fn judge(&self, question: &Question<'_>) -> Finding {
        match &question.number.suppression {
            Some(entry) if entry.is_active(question.now) => match entry.expires_at {
                Some(end) if end.signed_duration_since(question.asked_at) <= HORIZON => {
                    Finding::wait(end, "the number is suppressed for a time")
                }
                _ => Finding::exclude(Exclusion::Suppressed, "the number is on the suppression list"),
            },
            _ => Finding::Pass,
        }
    }
}

/// At least one zone is known.
#[derive(Debug)]
struct ZoneIsKnown;

impl Rule for ZoneIsKnown {
    fn name(&self) -> &'static str {
        "zone"
    }

    fn judge(&self, question: &Question<'_>) -> Finding {
        if question.contact.zones.zones.is_empty() {
            Finding::exclude(Exclusion::UnknownZone, "no time zone is known for the number")
        } else {
            Finding::Pass
        }
    }
}

/// The instant lies before the end of the run.
#[derive(Debug)]
struct BeforeRunEnd;

impl Rule for BeforeRunEnd {
    fn name(&self) -> &'static str {
        "run_end"
    }

    fn judge(&self, question: &Question<'_>) -> Finding {
        match question.terms.run.ends_at {
            Some(end) if question.now >= end => Finding::Never {
                outcome: Outcome::Expired,
                exclusion: None,
                reason: "no legal instant is left before the run ends".into(),
            },
            Some(end) => Finding::PassUntil(end),
            None => Finding::Pass,
        }
    }
}

/// The caps on attempts leave room for one more.
#[derive(Debug)]
struct WithinCaps;

impl Rule for WithinCaps {
    fn name(&self) -> &'static str {
        "caps"
    }

    fn judge(&self, question: &Question<'_>) -> Finding {
        // Caps are about what rings and buzzes.
        if question.medium() == Medium::Email {
            return Finding::Pass;
        }
        let caps = &question.terms.run.definition.caps;
        let history = AttemptHistory::complete(&question.number.attempts);
        match caps.check(&history, question.now, question.contact.zones.zones.as_slice()) {
            CapVerdict::Within => Finding::Pass,
            CapVerdict::Until { at, cap } => Finding::wait(at, reached(cap)),
            CapVerdict::Never { cap } if question.contact.status.attempts > 0 => {
                Finding::Never { outcome: Outcome::Exhausted, exclusion: None, reason: reached(cap).into() }
            }
            CapVerdict::Never { cap } => Finding::exclude(Exclusion::Cap, reached(cap)),
        }
    }
}

const fn reached(cap: CapKind) -> &'static str {
    match cap {
        CapKind::Lifetime => "the number was attempted as often as it may ever be",
        CapKind::PerDay => "the number was attempted as often as it may be in a day",
        CapKind::Rolling => "the number was attempted as often as it may be in a period",
    }
}

/// No other call to the number is live.
#[derive(Debug)]
struct NumberIsFree;

impl Rule for NumberIsFree {
    fn name(&self) -> &'static str {
        "number_in_use"
    }

    fn judge(&self, question: &Question<'_>) -> Finding {
        if question.number.live_call.is_some() && question.now <= question.asked_at {
            Finding::wait(question.now + LOOK_AGAIN, "another call to the number is under way")
        } else {
            Finding::Pass
        }
    }
}

/// The instant lies in the calling windows of every zone the callee may be in and in the organization's office
/// hours, with time left to ring.
#[derive(Debug)]
struct InsideWindow;

impl Rule for InsideWindow {
    fn name(&self) -> &'static str {
        "calling_window"
    }

    fn judge(&self, question: &Question<'_>) -> Finding {
        let never = || {
            Finding::exclude(
                Exclusion::NoLegalInstant,
                "no instant is inside the calling windows of all zones the callee may be in",
            )
        };
        let mut from = question.now;
        loop {
            let hours = &question.terms.hours;
            let Some(interval) = hours.next_legal(&question.contact.zones.zones, from) else {
                return never();
            };
            match interval.until {
                Some(until) if until.signed_duration_since(interval.from) < RING_MIN => from = until,
                _ if interval.from > question.now => {
                    return Finding::wait(interval.from, "outside the calling windows");
                }
                Some(until) => return Finding::PassUntil(until),
                None => return Finding::Pass,
            }
        }
    }
}
