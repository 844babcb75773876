//! What the network log alone proves.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use rivvi::providers::Leg;

use crate::long::row_of;
use crate::support::windows::Windows;

/// No call is dialled twice, and nobody is called while they are called already.
pub(crate) fn check_once(legs: &[Leg]) {
    let calls: HashSet<_> = legs.iter().map(|leg| leg.call_id).collect();
    assert_eq!(calls.len(), legs.len(), "a call has two legs");
    assert!(legs.windows(2).all(|pair| pair[0].at <= pair[1].at), "the log is not in the order of time");
    let mut busy_until: BTreeMap<_, DateTime<Utc>> = BTreeMap::new();
    for leg in legs {
        let before = busy_until.insert(leg.to, leg.ends_at.unwrap());
        assert!(before.is_none_or(|end| end <= leg.at), "called while being called: call {}", leg.call_id);
    }
}

/// At no instant are more calls under way than the organization may have.
pub(crate) fn check_concurrency(legs: &[Leg], limit: usize) {
    let mut changes: Vec<(DateTime<Utc>, i32)> = Vec::new();
    for leg in legs {
        changes.push((leg.at, 1));
        changes.push((leg.ends_at.unwrap(), -1));
    }
    // Who ends at the instant at which another starts makes room for it.
    changes.sort_unstable();
    let (mut live, mut most) = (0, 0);
    for (at, change) in changes {
        live += change;
        most = most.max(live);
        assert!(usize::try_from(live).unwrap() <= limit, "{live} calls at once at {at}, {limit} allowed");
    }
    println!("at most {most} calls at once, {limit} allowed");
    assert!(usize::try_from(most).unwrap() * 2 > limit, "the limit was never near: the test proves nothing");
}

/// In no second, wherever it begins, do more calls start.
pub(crate) fn check_pace(legs: &[Leg], limit: usize) {
    let second = TimeDelta::seconds(1);
    let starts =
        |index: usize| legs[index..].iter().take_while(|leg| leg.at - legs[index].at < second).count();
    let most = (0..legs.len()).map(starts).max().unwrap_or(0);
    println!("at most {most} calls started in a second, {limit} allowed");
    assert!(most <= limit, "{most} calls started in a second, {limit} allowed");
}

/// None of these numbers was called.
pub(crate) fn check_nobody(legs: &[Leg], numbers: &[String]) {
    assert!(legs.iter().all(|leg| !numbers.contains(&leg.to.expose())), "a suppressed number was called");
}

/// Everybody was called inside one of these windows of their own zone.
pub(crate) fn check_windows(legs: &[Leg], windows: &Windows) {
    for leg in legs {
        let row = row_of(&leg.to.expose());
        assert!(windows.are_open(leg.at, row), "row {row} was called outside its windows: {}", leg.call_id);
    }
}

/// No contact was called more often than the caps allow.
pub(crate) fn check_attempts(legs: &[Leg], limit: usize) {
    let mut attempts: BTreeMap<_, usize> = BTreeMap::new();
    for leg in legs {
        *attempts.entry(leg.contact_id).or_default() += 1;
    }
    let most = attempts.values().max().copied().unwrap_or(0);
    assert!(most <= limit, "a contact was called {most} times, {limit} allowed");
    assert!(most > 1, "nobody was called again: the test proves nothing");
}
