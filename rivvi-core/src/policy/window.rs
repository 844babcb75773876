//! The next legal instant for a contact: the intersection of several calling hours over all candidate zones.
//!
//! The contact's wall clock decides, and nothing else: an instant is legal if the wall time there lies in a window
//! and its calendar date is not blacked out. So a window that starts inside a spring gap opens with the first instant
//! after the gap, a window inside an autumn fold opens twice, and a date the zone skipped never opens at all.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use foldhash::HashMap;

use super::hours::CallingHours;
use super::wall::{LARGEST_SHIFT, WallClock, instant};
use super::zone::CandidateZones;

/// How far ahead to look for a legal instant, unless the caller knows better: 400 days, a year and its holidays.
pub const HORIZON: TimeDelta = TimeDelta::days(400);

/// Calling hours held against the wall clock of one zone.
///
/// A contact has one constraint for every pair of hours that bind it and zone it may live in; the office hours of
/// its organization come with the zone of the organization.
#[derive(Debug, Clone, Copy)]
pub struct Constraint<'a> {
    /// The hours.
    pub hours: &'a CallingHours,
    /// The zone whose wall clock they are held against.
    pub zone: Tz,
}

/// A stretch of time, from an instant (inclusive) to another (exclusive).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Interval {
    /// The first instant.
    pub from: DateTime<Utc>,
    /// The first instant after it; `None` if it never ends.
    pub until: Option<DateTime<Utc>>,
}

/// When the contacts of a run may be called: the campaign's hours on the wall clock of every zone the callee may be in, and
/// the organization's office hours on its own.
#[derive(Debug, Clone)]
pub struct ContactHours {
    campaign: CallingHours,
    office: Option<(CallingHours, Tz)>,
    /// What was found last for contacts of these zones: they are many, and their zones are few.
    found: Arc<Mutex<HashMap<CandidateZones, Found>>>,
}

/// The legal stretch that is the first for every instant from `since` to its end; for a day if no end was found, which may lie
/// beyond the horizon.
#[derive(Debug, Clone, Copy)]
struct Found {
    since: DateTime<Utc>,
    stretch: Interval,
}

impl ContactHours {
    /// The hours of a campaign and, with their zone, those of its organization.
    pub fn new(campaign: CallingHours, office: Option<(CallingHours, Tz)>) -> Self {
        Self { campaign, office, found: Arc::default() }
    }

    /// The first legal stretch for a contact of these zones from an instant on, as [`next_legal`] finds it within
    /// [`HORIZON`].
    pub fn next_legal(&self, zones: &CandidateZones, from: DateTime<Utc>) -> Option<Interval> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Found { since, stretch }) = found.get(zones)
            && *since <= from
            && from < stretch.until.unwrap_or(*since + TimeDelta::days(1))
        {
            return Some(Interval { from: stretch.from.max(from), ..*stretch });
        }
        let campaign = zones.iter().map(|zone| Constraint { hours: &self.campaign, zone });
        let office = self.office.iter().map(|(hours, zone)| Constraint { hours, zone: *zone });
        let constraints: Vec<Constraint<'_>> = campaign.chain(office).collect();
        let stretch = next_legal(&constraints, from, HORIZON)?;
        found.insert(zones.clone(), Found { since: from, stretch });
        Some(stretch)
    }
}

/// Whether an instant is legal under every constraint.
///
/// No constraints constrain nothing. Who does not know the zone of a contact must pass every zone it may be in.
pub fn is_legal(constraints: &[Constraint<'_>], at: DateTime<Utc>) -> bool {
    constraints.iter().all(|constraint| constraint.hours.is_open(at, constraint.zone))
}

/// The first instant, `from` or later, that is legal under every constraint, and the exact end of the legal stretch
/// it begins; `None` if no instant up to `from + horizon` (inclusive) is legal.
///
/// Exact to the second, the unit of wall clocks: the answer is `from` itself or the very instant at which the last
/// constraint opens. The search goes from boundary to boundary and does not allocate.
pub fn next_legal(
    constraints: &[Constraint<'_>],
    from: DateTime<Utc>,
    horizon: TimeDelta,
) -> Option<Interval> {
    let last = from.checked_add_signed(horizon).unwrap_or(DateTime::<Utc>::MAX_UTC).timestamp();
    let opening = opening(constraints, from.timestamp(), last)?;
    Some(Interval {
        from: instant(opening)?.max(from),
        until: closing(constraints, opening).and_then(instant),
    })
}

/// The first second in `from..=last` at which all constraints are open: each in turn pushes the instant on to its
/// own next opening, until none does.
fn opening(constraints: &[Constraint<'_>], from: i64, last: i64) -> Option<i64> {
    let mut at = from;
    loop {
        let before = at;
        for constraint in constraints {
            at = constraint.opens(at, last)?;
        }
        if at == before {
            return Some(at);
        }
    }
}

/// The first second after `opening` at which one of the constraints is closed.
fn closing(constraints: &[Constraint<'_>], opening: i64) -> Option<i64> {
    constraints.iter().fold(None, |earliest, constraint| {
        let bound = earliest.unwrap_or(i64::MAX);
        constraint.closes(opening, bound).or(earliest)
    })
}

impl Constraint<'_> {
    /// The first second in `from..=last` at which the hours are open.
    fn opens(&self, from: i64, last: i64) -> Option<i64> {
        let mut at = from;
        while at <= last {
            let look = self.look(at);
            if look.open {
                return Some(at);
            }
            at = look.until()?;
        }
        None
    }

    /// The first second after `from` and before `bound` at which the hours are closed.
    fn closes(&self, from: i64, bound: i64) -> Option<i64> {
        let mut at = from;
        while at < bound {
            let look = self.look(at);
            if !look.open {
                return Some(at);
            }
            at = look.until()?;
        }
        None
    }

    fn look(&self, at: i64) -> Look {
        let clock = WallClock::of(self.zone);
        let offset = clock.offset(at);
        let stretch = self.hours.stretch(at + offset);
        Look { clock, at, offset, open: stretch.open, since: stretch.since, until: stretch.until }
    }
}

/// What a constraint says at one instant.
struct Look {
    clock: WallClock,
    /// The instant, seconds since the epoch.
    at: i64,
    /// Wall time minus UTC at the instant.
    offset: i64,
    /// Whether the hours are open, which they are from `since` to `until` on the wall clock.
    open: bool,
    since: i64,
    until: i64,
}

impl Look {
    /// A later instant up to which the answer provably stays the same, at best the one at which it changes; `None`
    /// if it stays forever.
    fn until(&self) -> Option<i64> {
        if self.until == i64::MAX && self.since == i64::MIN {
            return None;
        }
        let wall = self.at + self.offset;
        let reach = self.until.saturating_sub(wall);
        // Deep inside a long stretch no change of the clock can lead out of it, so the zone need not be asked.
        if self.since <= wall - LARGEST_SHIFT {
            if self.until == i64::MAX {
                return None;
            }
            if reach > LARGEST_SHIFT {
                return Some(self.at + reach - LARGEST_SHIFT);
            }
        }
        Some(self.clock.steady_until(self.at, self.offset, reach))
    }
}

#[cfg(test)]
mod tests;
