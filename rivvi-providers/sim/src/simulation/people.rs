//! What people do in the middle of it all, and what they were told.

use chrono::{DateTime, TimeDelta, Utc};
use rand::Rng;
use rand::rngs::StdRng;
use rivvi_core::domain::{CallId, E164, Organization, RunId, SuppressionSource};
use rivvi_core::engine::Rivvi;
use rivvi_core::policy::day::{DaySet, TimeOfDay};
use rivvi_core::policy::hours::{CallingHours, CallingWindow};

/// Something that people do.
#[derive(Debug, Clone)]
pub(super) enum Act {
    Suppress(E164),
    Pause,
    Resume,
    Cancel,
    /// The organization gets this limit of calls at once, and these hours.
    Change {
        limit: u32,
        hours: Option<CallingHours>,
    },
}

impl Act {
    /// The name under which it is counted.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Suppress(_) => "suppression",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
            Self::Change { .. } => "limit and hours changed",
        }
    }

    /// Something at random. Limits and hours are changed where `changes` says so.
    pub(super) fn draw(dice: &mut StdRng, number: E164, concurrency: u32, changes: bool) -> Self {
        match dice.random_range(0..10) {
            0..=2 => Self::Suppress(number),
            3 => Self::Pause,
            4..=6 => Self::Resume,
            _ if changes => Self::Change {
                limit: dice.random_range(1..=concurrency),
                hours: dice.random_bool(0.5).then(office_hours),
            },
            _ => Self::Suppress(number),
        }
    }
}

/// The hours to which people change: from ten to four, in the zone of the organization.
fn office_hours() -> CallingHours {
    let time = |hour| TimeOfDay::new(hour, 0);
    let window =
        time(10).zip(time(16)).and_then(|(from, to)| CallingWindow::new(DaySet::EVERY, from, to).ok());
    CallingHours::new(window.into_iter().collect(), Vec::new())
}

/// What people, vendors and phones were told, and when.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Numbers of which it was acknowledged that they are not contacted any more, with the calls named as live then.
    pub(super) suppressed: Vec<(E164, DateTime<Utc>, Vec<CallId>)>,
    /// When it was acknowledged that no call starts, and when people asked that calls start again.
    pub(super) halts: Vec<(DateTime<Utc>, Option<DateTime<Utc>>)>,
    /// When people asked last that calls start again.
    pub(super) resumed_at: Option<DateTime<Utc>>,
    /// When it was acknowledged that the run is cancelled.
    pub(super) cancelled_at: Option<DateTime<Utc>>,
    /// Limits and hours, in the order in which they were asked for.
    pub(super) settings: Vec<Settings>,
    /// Webhooks that were not what they seemed and were taken all the same.
    pub(super) forgeries_taken: u64,
}

/// Limits and hours of the organization.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) limit: u32,
    pub(super) hours: Option<CallingHours>,
    pub(super) asked_at: DateTime<Utc>,
    pub(super) acknowledged_at: Option<DateTime<Utc>>,
}

/// For how long what was read before a change may be acted upon: an intent is dialled within its lease.
const ACTED_UPON: TimeDelta = TimeDelta::minutes(5);

impl Told {
    /// Notes that people ask that calls start again.
    pub(super) fn resumed(&mut self, at: DateTime<Utc>) {
        self.resumed_at = Some(at);
        for (_, until) in &mut self.halts {
            until.get_or_insert(at);
        }
    }

    /// Whether it was acknowledged at `at` that no call starts.
    pub(super) fn halted_since(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let halt = self.halts.iter().find(|(from, until)| *from < at && until.is_none_or(|until| at < until));
        halt.map(|(from, _)| *from).or(self.cancelled_at.filter(|cancelled| *cancelled < at))
    }

    /// The settings that may be acted upon at `at`.
    pub(super) fn settings_at(&self, at: DateTime<Utc>) -> impl Iterator<Item = &Settings> {
        let until = self.settings.iter().take_while(move |settings| settings.asked_at <= at).count();
        let in_force = |settings: &Settings| {
            settings.acknowledged_at.is_some_and(|acknowledged| acknowledged <= at - ACTED_UPON)
        };
        let from = self.settings[..until].iter().rposition(in_force).unwrap_or(0);
        self.settings[from..until].iter()
    }
}

/// Does it. Returns whether it was acknowledged, and the live calls that were named.
pub(super) async fn act(
    rivvi: &Rivvi,
    act: Act,
    mut organization: Organization,
    run_id: RunId,
) -> Option<Vec<CallId>> {
    let done = match act {
        Act::Suppress(number) => {
            let list = rivvi.suppression_list();
            let added = list.add(organization.id, [number], SuppressionSource::Admin, "", None).await;
            return added.ok().map(|added| added.live_calls);
        }
        Act::Pause => rivvi.runs().pause(run_id, "a person").await.map(drop),
        Act::Resume => rivvi.runs().resume(run_id).await.map(drop),
        Act::Cancel => rivvi.runs().cancel(run_id).await.map(drop),
        Act::Change { limit, hours } => {
            organization.limits.concurrent_calls = limit;
            organization.office_hours = hours;
            rivvi.organizations().put(organization).await
        }
    };
    done.ok().map(|()| Vec::new())
}
