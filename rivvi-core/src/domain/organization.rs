//! The tenant.

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::ids::OrgId;
use super::message::Sender;
use super::phone::{E164, Region};
use crate::policy::hours::CallingHours;
use crate::policy::zone::ZonePolicy;

/// A tenant: who calls, within which limits and under which policy.
///
/// Limits and hours are read afresh on every dispatch, so a change takes effect with the next call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Organization {
    /// Its id.
    pub id: OrgId,
    /// Its name, for people.
    pub name: String,
    /// The number callees see.
    pub caller_id: CallerId,
    /// The zone of its office, used for office hours and, if the policy allows it, for contacts of unknown zone.
    pub time_zone: Tz,
    /// The region whose local notation its sheets use.
    pub region: Region,
    /// Hours, in the organization's own zone, in which its agents work; no call starts outside. `None` is always.
    pub office_hours: Option<CallingHours>,
    /// How much at once.
    pub limits: OrganizationLimits,
    /// What to do with contacts whose zone is unknown or ambiguous.
    pub zone_policy: ZonePolicy,
    /// The agent that answers people who call in and of whom no campaign knows anything; the provider's own choice for
    /// the number if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inbound_agent_id: Option<String>,
    /// Who its text messages come from, where a campaign names nobody else; its caller number if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sms_sender: Option<Sender>,
    /// What happens when people answer its text messages with a wish for no more.
    #[serde(default)]
    pub opt_out: OptOutSettings,
}

impl Organization {
    /// An organization with the defaults: 20 concurrent calls, no limit on calls per second, one active run, zones
    /// that fail closed, no office hours.
    pub fn new(
        id: OrgId,
        name: impl Into<String>,
        caller_id: CallerId,
        time_zone: Tz,
        region: Region,
    ) -> Self {
        Self {
            id,
            name: name.into(),
            caller_id,
            time_zone,
            region,
            office_hours: None,
            limits: OrganizationLimits::default(),
            zone_policy: ZonePolicy::default(),
            inbound_agent_id: None,
            sms_sender: None,
            opt_out: OptOutSettings::default(),
        }
    }

    /// Who its text messages come from, where a campaign names nobody else.
    pub fn sender(&self) -> Sender {
        self.sms_sender.clone().unwrap_or(Sender::Number(self.caller_id.0))
    }
}

/// Answers to text messages that mean: no more.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OptOutSettings {
    /// Words beside those that every organization has: STOP, QUIT, END, REVOKE, OPT OUT, CANCEL, UNSUBSCRIBE
    /// (47 CFR 64.1200(a)(10)), and the Hebrew ones for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<String>,
    /// What is answered, once; nothing if empty. A plain text if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirmation: Option<String>,
}

impl OptOutSettings {
    /// The words that every organization has.
    pub const WORDS: [&'static str; 12] = [
        "stop",
        "stopall",
        "quit",
        "end",
        "revoke",
        "opt out",
        "optout",
        "cancel",
        "unsubscribe",
        "הסר",
        "הסירו",
        "הסרה",
    ];

    /// Whether an answer is one of the words: capitals, blanks and punctuation around it make no difference.
    pub fn is_opt_out(&self, text: &str) -> bool {
        let plain = |text: &str| {
            let words = text
                .split(|c: char| c.is_whitespace() || c == '-' || c == '_')
                .filter(|word| !word.is_empty());
            let text = words.collect::<Vec<_>>().join(" ").to_lowercase();
            text.trim_matches(|c: char| !c.is_alphanumeric()).to_owned()
        };
        let answer = plain(text);
        !answer.is_empty()
            && (Self::WORDS.contains(&&*answer) || self.words.iter().any(|word| plain(word) == answer))
    }

    /// What is answered to an opt-out, if anything is.
    pub fn confirmation(&self, organization: &str) -> Option<String> {
        match self.confirmation.as_deref() {
            Some("") => None,
            Some(text) => Some(text.to_owned()),
            None => Some(format!("{organization}: you will get no more messages or calls from us.")),
        }
    }
}

/// The number shown to callees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallerId(pub E164);

/// Limits of one organization over all its runs and all nodes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OrganizationLimits {
    /// Calls under way at once; an intended or unknown call counts. Default 20.
    pub concurrent_calls: u32,
    /// Calls started per second; `None` is no limit.
    pub calls_per_second: Option<CallsPerSecond>,
    /// Calls started per second that show the same caller number; carriers limit that. `None` is no limit.
    pub caller_id_calls_per_second: Option<CallsPerSecond>,
    /// Text messages and e-mails sent per second; `None` is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages_per_second: Option<CallsPerSecond>,
    /// Runs active at once. Default 1.
    pub active_runs: u32,
}

impl Default for OrganizationLimits {
    fn default() -> Self {
        Self {
            concurrent_calls: 20,
            calls_per_second: None,
            caller_id_calls_per_second: None,
            messages_per_second: None,
            active_runs: 1,
        }
    }
}

/// A rate of call starts: more than 0 and at most 10,000 a second.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct CallsPerSecond(f64);

impl CallsPerSecond {
    /// The rate, if it is in range.
    pub fn new(rate: f64) -> Option<Self> {
        (rate > 0.0 && rate <= 10_000.0).then_some(Self(rate))
    }

    /// Starts per second.
    pub fn as_f64(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for CallsPerSecond {
    type Error = &'static str;

    fn try_from(rate: f64) -> Result<Self, Self::Error> {
        Self::new(rate).ok_or("expected calls per second above 0 and at most 10000")
    }
}

impl From<CallsPerSecond> for f64 {
    fn from(rate: CallsPerSecond) -> Self {
        rate.0
    }
}
