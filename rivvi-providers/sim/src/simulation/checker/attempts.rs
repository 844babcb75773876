//! P1, P2, P3: what network, gateway and mailbox were asked for.

use std::collections::HashMap;

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;
use rivvi_core::domain::{CallId, Disposition, E164, Medium};

use super::super::setting::{CONTACTS, DAILY_CAP, LIFETIME_CAP, number_of};
use super::super::world::World;
use super::{Broken, Remains, require};

/// Somebody was contacted.
struct Attempt {
    id: CallId,
    to: E164,
    at: DateTime<Utc>,
    /// When the line is free again.
    until: DateTime<Utc>,
    medium: Medium,
}

pub(super) fn check(world: &World, remains: &Remains) -> Result<(), Broken> {
    let attempts = attempts(world, remains)?;
    for attempt in &attempts {
        one(world, remains, attempt)?;
    }
    let mut of_number: HashMap<E164, Vec<&Attempt>> = HashMap::new();
    for attempt in &attempts {
        of_number.entry(attempt.to).or_default().push(attempt);
    }
    for attempts in of_number.values_mut() {
        attempts.sort_by_key(|attempt| (attempt.at, attempt.until));
        number(world, attempts)?;
    }
    concurrency(world, remains, &attempts)?;
    pace(world, remains)
}

/// Every attempt that network, gateway and mailbox saw; messages that confirm an opt-out are none.
fn attempts(world: &World, remains: &Remains) -> Result<Vec<Attempt>, Broken> {
    let around = &world.around;
    let legs = around.network.history().into_iter();
    let legs = legs.map(|(leg, until)| (leg.call_id, Some(leg.to), leg.at, until, Medium::Voice));
    let sent = around.gateway.sent().into_iter().filter(|sent| !super::fates::is_confirmation(sent));
    let sent = sent.map(|sent| (sent.id, Some(sent.to), sent.at, sent.at, Medium::Sms));
    let letters = around.mailbox.taken().into_iter().map(|(id, at)| (id, None, at, at, Medium::Email));
    let mut attempts = Vec::new();
    for (id, to, at, until, medium) in legs.chain(sent).chain(letters) {
        let call = remains.calls.get(&id);
        let call =
            call.ok_or_else(|| Broken(format!("P2: {medium:?} {id} at {at} was intended by nobody")))?;
        require(to.is_none_or(|to| to == call.number), || format!("P2: {id} reached another number"))?;
        attempts.push(Attempt { id, to: call.number, at, until, medium });
    }
    Ok(attempts)
}

/// P1: with a fresh allow, inside the windows, of nobody who is suppressed, while the run is active.
fn one(world: &World, remains: &Remains, attempt: &Attempt) -> Result<(), Broken> {
    let Attempt { id, at, to, medium, .. } = attempt;
    let skew = world.storm.skew * 2;
    let intended = remains.replay.intended(*id);
    let intended = intended.ok_or_else(|| Broken(format!("P7: {id} is intended nowhere in the journal")))?;
    require(intended.at <= *at + skew, || {
        format!("P2: {id} at {at} was intended later, at {}", intended.at)
    })?;
    require(*at <= intended.legal_until + skew, || {
        format!("P1: {id} at {at} was legal until {}", intended.legal_until)
    })?;
    let zone = zone_of(world, *to);
    let near = [*at, *at + skew, *at - skew];
    require(near.iter().any(|at| is_inside(*at, zone)), || {
        format!("P1: {id} outside the window of {zone}, at {at}")
    })?;
    let office = world.organization.time_zone;
    let mut settings = world.told.settings_at(*at);
    let in_hours = settings.any(|settings| {
        let hours = settings.hours.as_ref();
        hours.is_none_or(|hours| near.iter().any(|at| hours.is_open(*at, office)))
    });
    require(in_hours || *medium != Medium::Voice, || format!("P1: {id} outside the office hours, at {at}"))?;
    for (number, suppressed_at, live) in &world.told.suppressed {
        let after = to == number && at > suppressed_at && !live.contains(id);
        // What was live when its number was suppressed may go on.
        let was_live = intended.at <= *suppressed_at + skew && live.is_empty();
        require(!after || was_live, || {
            format!("P1: {id} at {at}, after its suppression was acknowledged at {suppressed_at}")
        })?;
    }
    if let Some(halted) = world.told.halted_since(*at) {
        require(intended.at <= halted + skew, || {
            format!("P1: {id} at {at} began after the run was halted at {halted}")
        })?;
    }
    Ok(())
}

fn zone_of(world: &World, number: E164) -> Tz {
    let row = (0..CONTACTS).find(|row| number_of(*row) == number);
    row.and_then(|row| world.zones.get(row as usize)).copied().unwrap_or(Tz::UTC)
}

fn is_inside(at: DateTime<Utc>, zone: Tz) -> bool {
    let time = at.with_timezone(&zone).time();
    let (from, to) = (NaiveTime::from_hms_opt(9, 0, 0), NaiveTime::from_hms_opt(20, 30, 0));
    from.zip(to).is_some_and(|(from, to)| from <= time && time < to)
}

/// P1, P2: caps and one live attempt at a time.
fn number(world: &World, attempts: &[&Attempt]) -> Result<(), Broken> {
    let skew = world.storm.skew * 2;
    let apart = attempts.windows(2).all(|pair| pair[0].until <= pair[1].at + skew);
    let spans = || attempts.iter().map(|attempt| format!("{} {}–{}", attempt.id, attempt.at, attempt.until));
    require(apart, || {
        format!("P2: two live attempts at one number: {}", spans().collect::<Vec<_>>().join(", "))
    })?;
    let counted: Vec<&&Attempt> = attempts.iter().filter(|attempt| attempt.medium != Medium::Email).collect();
    require(counted.len() <= LIFETIME_CAP, || {
        format!("P1: over the lifetime cap: {}", spans().collect::<Vec<_>>().join(", "))
    })?;
    let mut days: HashMap<_, usize> = HashMap::new();
    if let Some(first) = attempts.first() {
        let zone = zone_of(world, first.to);
        for attempt in counted {
            *days.entry(attempt.at.with_timezone(&zone).date_naive()).or_default() += 1;
        }
    }
    let most = days.values().copied().max().unwrap_or(0);
    require(most <= DAILY_CAP, || {
        format!("P1: {most} attempts within a day: {}", spans().collect::<Vec<_>>().join(", "))
    })
}

/// P3: never more live calls than some limit allows that may be acted upon.
fn concurrency(world: &World, remains: &Remains, attempts: &[Attempt]) -> Result<(), Broken> {
    let calls: Vec<&Attempt> = attempts.iter().filter(|attempt| attempt.medium == Medium::Voice).collect();
    for begun in &calls {
        let lives = |other: &&&Attempt| {
            // A call whose fate could not be found out has given its place back.
            let given_up = remains.calls[&other.id].disposition() == Some(Disposition::Unknown);
            let until = remains.replay.ended_at(other.id).filter(|_| given_up);
            let until = until.map_or(other.until, |at| at.min(other.until));
            other.at <= begun.at && begun.at < until
        };
        let live = calls.iter().filter(lives).count() as u32;
        let allowed = world.told.settings_at(begun.at).map(|settings| settings.limit).max().unwrap_or(0);
        require(live <= allowed, || format!("P3: {live} calls at once at {}, allowed {allowed}", begun.at))?;
    }
    Ok(())
}

/// P3: calls are granted no faster than the organization allows, by clocks that agree.
fn pace(world: &World, remains: &Remains) -> Result<(), Broken> {
    let Some(rate) = world.storm.calls_per_second.filter(|_| world.storm.skew == TimeDelta::zero()) else {
        return Ok(());
    };
    let mut granted: Vec<DateTime<Utc>> = remains.replay.intended_by(Medium::Voice).collect();
    granted.sort();
    let span = TimeDelta::minutes(1);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number")]
    let most = (rate * 60.0).ceil() as usize + 1;
    for (index, at) in granted.iter().enumerate() {
        let within = granted[index..].iter().take_while(|other| **other < *at + span).count();
        require(within <= most, || format!("P3: {within} calls within a minute of {at}, allowed {most}"))?;
    }
    Ok(())
}
