//! How the callees behave.

use std::time::Duration;

use chrono::TimeDelta;
use rivvi_core::domain::CallsPerSecond;

/// How the callees and the network behave. Weights are relative to their sum; shares are from 0 to 1.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Behaviour {
    /// Weight of calls a human answers.
    pub human: u32,
    /// Weight of calls a machine answers.
    pub voicemail: u32,
    /// Weight of busy lines.
    pub busy: u32,
    /// Weight of calls nobody answers.
    pub no_answer: u32,
    /// Weight of calls that are declined.
    pub rejected: u32,
    /// Weight of calls the network fails to complete.
    pub failed: u32,
    /// Share of humans who ask not to be called again.
    pub opt_out: f64,
    /// Share of humans who ask for an action.
    pub action: f64,
    /// The name of the action. Default `request_information`.
    pub action_name: String,
    /// Share of placements whose answer is lost although the call takes place.
    pub lost_answers: f64,
    /// Share of requests that are refused for the moment, without any call.
    pub refused: f64,
    /// Share of webhooks that come up to three days late, and out of order.
    pub late_webhooks: f64,
    /// Share of webhooks that are never delivered.
    pub lost_webhooks: f64,
    /// Share of webhooks that are delivered twice.
    pub repeated_webhooks: f64,
    /// Share of calls after whose end a webhook tells of another end.
    pub wrong_webhooks: f64,
    /// Share of calls that are accepted and wait for one to six hours before the phone rings.
    pub queued: f64,
    /// How old a webhook may be, by its signature. Default 5 minutes.
    pub webhook_age_max: Duration,
    /// How fast the network may be fed.
    pub calls_per_second: Option<CallsPerSecond>,
    /// How many times as fast as in life everything happens: ringing, answering, talking, giving up. At least 0.001.
    /// Default 1.
    pub haste: f64,
    /// How long a call may stay without news before it is looked up, beyond its longest duration. Default 5 minutes.
    pub silence_max: Duration,
}

impl Behaviour {
    /// How long something takes that takes `seconds` in life.
    pub(crate) fn takes(&self, seconds: u64) -> TimeDelta {
        self.hurried(TimeDelta::seconds(i64::try_from(seconds).unwrap_or(i64::from(i32::MAX))))
    }

    /// How long something takes that takes `span` in life.
    pub(crate) fn hurried(&self, span: TimeDelta) -> TimeDelta {
        let span = span.to_std().unwrap_or_default();
        let hurried = Duration::try_from_secs_f64(span.as_secs_f64() / self.haste.max(0.001));
        hurried.ok().and_then(|span| TimeDelta::from_std(span).ok()).unwrap_or(TimeDelta::MAX)
    }
}

impl Default for Behaviour {
    /// Callees as campaigns meet them, on a network without faults.
    fn default() -> Self {
        Self {
            human: 46,
            voicemail: 17,
            busy: 9,
            no_answer: 22,
            rejected: 3,
            failed: 3,
            opt_out: 0.02,
            action: 0.0,
            action_name: "request_information".into(),
            lost_answers: 0.0,
            refused: 0.0,
            late_webhooks: 0.0,
            lost_webhooks: 0.0,
            repeated_webhooks: 0.0,
            wrong_webhooks: 0.0,
            queued: 0.0,
            webhook_age_max: Duration::from_secs(300),
            calls_per_second: None,
            haste: 1.0,
            silence_max: Duration::from_secs(300),
        }
    }
}
