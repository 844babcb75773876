//! Finding out what became of a call.

use chrono::{DateTime, Utc};
use rivvi_core::provider::{CallEvent, CallRef, CallUpdate, FindCall};

use crate::ari::AriError;
use crate::call::{Happening, Leg, Mark};
use crate::server::Server;

/// What one server tells about a call; `None` if it certainly never had it.
pub(crate) async fn lookup(
    server: &Server,
    query: &FindCall,
    now: DateTime<Utc>,
) -> Result<Option<Vec<CallUpdate>>, AriError> {
    let call = query.call_id;
    if let Some(channel) = server.client.channel(&call.to_string()).await? {
        return Ok(Some(about(query, Leg::found(channel.state(), now).told_so_far(), now)));
    }
    // The mark is made with the channel, so it is read after the channel was not there.
    let mark = server.mark(call).await?;
    let mut leg = Leg::default();
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
        Mark::None if server.client.started_at().await? > query.intended_at => {
            vec![(None, leg.end_unseen(now))]
        }
        Mark::None => {
            server.forget_unplaced(call);
            return Ok(None);
        }
    };
    server.hand(call, Happening::Gone(mark));
    Ok(Some(about(query, events, now)))
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
