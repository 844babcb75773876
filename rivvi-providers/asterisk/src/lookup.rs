//! Finding out what became of a call.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rivvi_core::provider::{CallEvent, CallRef, CallUpdate, FindCall};

use crate::ari::AriError;
use crate::call::{Happening, Leg, Mark};
use crate::server::Server;

/// How far the clock of a server may be from ours. A server that was started so shortly before a call was intended may have
/// been started after it.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::seconds(30);
/// How long a request that nobody waits for any more may still be under way.
pub(crate) const SETTLES_AFTER: Duration = Duration::from_secs(30);

/// What one server tells about a call.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer<T> {
    /// It has it, or had it.
    Known(T),
    /// It may have had it: it was started since, and remembers nothing.
    Guessed(T),
    /// It certainly never had it.
    Never,
}

/// What all servers tell together. Who has the call knows better than who may have had it; and as long as one that may have
/// it does not answer, nothing is known. `None` if certainly none ever had it.
pub(crate) fn together<T>(
    answers: impl IntoIterator<Item = Result<Answer<T>, AriError>>,
) -> Result<Option<T>, AriError> {
    let (mut guessed, mut failed) = (None, None);
    for answer in answers {
        match answer {
            Ok(Answer::Known(known)) => return Ok(Some(known)),
            Ok(Answer::Guessed(guess)) => guessed = guessed.or(Some(guess)),
            Ok(Answer::Never) => {}
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(guessed), Err)
}

/// What one server tells about a call.
pub(crate) async fn lookup(
    server: &Server,
    query: &FindCall,
    now: DateTime<Utc>,
) -> Result<Answer<Vec<CallUpdate>>, AriError> {
    let call = query.call_id;
    if let Some(channel) = server.client.channel(&call.to_string()).await? {
        return Ok(Answer::Known(about(query, Leg::found(channel.state(), now).told_so_far(), now)));
    }
    // The mark is made with the channel, so it is read after the channel was not there.
    let mark = server.mark(call).await?;
    let mut leg = Leg::default();
    let mut guessed = false;
    let events = match mark {
        Mark::Ended(noted) => {
            let end = leg.end_noted(noted, now);
            let mut events = leg.told_so_far();
            events.push((None, end));
            events
        }
        Mark::Asked => vec![(None, CallEvent::Accepted { reference: None }), (None, leg.end_unseen(now))],
        // It is over and the engine has been told, so its mark is gone.
        Mark::None if server.knows(call) => Vec::new(),
        // Marks do not outlive the server.
        Mark::None if may_have_forgotten(server.client.started_at().await?, query.intended_at) => {
            guessed = true;
            vec![(None, leg.end_unseen(now))]
        }
        Mark::None => {
            // Before, the request may still be under way, and then the call must be led.
            if now >= query.intended_at + SETTLES_AFTER {
                server.forget_unplaced(call);
            }
            return Ok(Answer::Never);
        }
    };
    server.hand(call, Happening::Gone(mark));
    let updates = about(query, events, now);
    Ok(if guessed { Answer::Guessed(updates) } else { Answer::Known(updates) })
}

fn about(
    query: &FindCall,
    events: Vec<(Option<DateTime<Utc>>, CallEvent)>,
    now: DateTime<Utc>,
) -> Vec<CallUpdate> {
    let call = CallRef::Id(query.call_id);
    let update =
        |(at, event): (Option<_>, _)| CallUpdate { call: call.clone(), at: at.unwrap_or(now), event };
    events.into_iter().map(update).collect()
}

/// Whether a server that was started then may have had a call that was intended then.
fn may_have_forgotten(started_at: DateTime<Utc>, intended_at: DateTime<Utc>) -> bool {
    started_at.checked_add_signed(CLOCKS_DIFFER).is_none_or(|at| at > intended_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_knows_a_call_outvotes_who_may_have_forgotten_it() {
        use Answer::{Guessed, Known, Never};
        let down = || Err(AriError::Unreachable);
        for (answers, expected) in [
            (vec![], Ok(None)),
            (vec![Ok(Never), Ok(Never)], Ok(None)),
            (vec![Ok(Never), Ok(Guessed(1))], Ok(Some(1))),
            (vec![Ok(Guessed(1)), Ok(Known(2))], Ok(Some(2))),
            (vec![Ok(Known(2)), Ok(Guessed(1))], Ok(Some(2))),
            (vec![down(), Ok(Guessed(1)), Ok(Known(2))], Ok(Some(2))),
            (vec![Ok(Guessed(1)), down()], Err(AriError::Unreachable)),
            (vec![down(), Ok(Guessed(1))], Err(AriError::Unreachable)),
            (vec![Ok(Never), down()], Err(AriError::Unreachable)),
        ] {
            assert_eq!(together(answers.clone()), expected, "{answers:?}");
        }
    }

    #[test]
    fn clocks_that_differ_prove_nothing() {
        let started_at: DateTime<Utc> = "2026-03-01T10:00:00Z".parse().unwrap();
        for (seconds, expected) in [(-3_600, true), (0, true), (29, true), (30, false), (3_600, false)] {
            let intended_at = started_at + TimeDelta::seconds(seconds);
            assert_eq!(may_have_forgotten(started_at, intended_at), expected, "{seconds} s after its start");
        }
    }
}
