//! From Retell's picture of a call to what happened to it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use rivvi_core::domain::{
    CallDetail, CallId, Currency, Disposition, E164, Money, Personal, ProviderName, ResponseTime,
};
use rivvi_core::provider::{Answerer, CallEvent, CallRef, CallUpdate, InboundOptOut};
use serde_json::Value;

use crate::call::{Cost, Picture, Quantiles};
use crate::metadata::Subject;
use crate::reason::{Meaning, meaning};

/// What the occasion of a picture tells beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// We asked for the call that we know under this id.
    Lookup(CallId),
    /// The call was connected.
    Started,
    /// The call is over.
    Ended,
}

/// Everything a picture tells, in the order in which it happened. What Retell gives no time for happened at `otherwise`.
///
/// The same for every occasion, so that lost, late and repeated webhooks make no difference. What only an analysis finds,
/// minutes after the end, comes after the end: it is kept with the call and decides nothing. Of a call that is none of ours
/// nothing is told.
pub(crate) fn of_call(
    provider: &ProviderName,
    picture: &Picture,
    occasion: Occasion,
    callback_variable: &str,
    otherwise: DateTime<Utc>,
) -> Vec<CallUpdate> {
    let subject = match (Subject::of(provider, picture.is_inbound(), picture.metadata.as_ref()), occasion) {
        (Subject::Stranger, Occasion::Lookup(call_id)) => Subject::Outbound(CallRef::Id(call_id)),
        (subject, _) => subject,
    };
    let reading = Reading::of(picture, occasion);
    let ended_at = picture.ended_at().unwrap_or(otherwise);
    let started_at = picture.started_at();
    let accepted_at = started_at.unwrap_or(ended_at);

    let reference = picture.call_id.clone().filter(|reference| !reference.is_empty());
    let mut events = vec![(accepted_at, CallEvent::Accepted { reference })];
    if reading.answered {
        events
            .push((started_at.unwrap_or(otherwise.min(ended_at)), CallEvent::Answered { by: reading.by() }));
    }
    if let Some(end) = reading.end {
        if end.opted_out {
            events.push((ended_at, CallEvent::OptOut));
        }
        let collected = picture.collected_dynamic_variables.as_ref();
        if let Some(at) = collected.and_then(|all| instant(all.get(callback_variable)?)) {
            events.push((ended_at, CallEvent::Callback { at }));
        }
        let reason = picture.disconnection_reason.clone();
        let talk_time = picture.duration_ms.map(Duration::from_millis).filter(|_| reading.answered);
        events.push((ended_at, CallEvent::Ended { disposition: end.disposition, reason, talk_time }));
        let analysis = picture.call_analysis.as_ref();
        if reading.by() != Answerer::Machine
            && analysis.and_then(|found| found.get("in_voicemail")?.as_bool()) == Some(true)
        {
            events.push((ended_at, CallEvent::Answered { by: Answerer::Machine }));
        }
        let found =
            analysis.and_then(|found| instant(found.get("custom_analysis_data")?.get(callback_variable)?));
        if let Some(at) = found {
            events.push((ended_at, CallEvent::Callback { at }));
        }
    }
    let detail = detail_of(picture);
    if detail != CallDetail::default() {
        events.push((ended_at, CallEvent::Enriched { detail: Box::new(detail) }));
    }
    let tell = |(at, event)| subject.tell(event).map(|(call, event)| CallUpdate { call, at, event });
    events.into_iter().filter_map(tell).collect()
}

/// Who asked not to be called in an inbound call of a stranger.
pub(crate) fn opted_out_stranger(
    provider: &ProviderName,
    picture: &Picture,
    occasion: Occasion,
    now: DateTime<Utc>,
) -> Option<InboundOptOut> {
    let subject = Subject::of(provider, picture.is_inbound(), picture.metadata.as_ref());
    if !picture.is_inbound() || subject != Subject::Stranger || !Reading::of(picture, occasion).end?.opted_out
    {
        return None;
    }
    let number = |text: &Option<String>| E164::from_e164(text.as_deref()?).ok();
    let (from, to) = (number(&picture.from_number)?, number(&picture.to_number)?);
    Some(InboundOptOut { from, to, at: picture.ended_at().unwrap_or(now) })
}

/// What a picture says about the course of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reading {
    answered: bool,
    end: Option<End>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct End {
    disposition: Disposition,
    opted_out: bool,
}

impl Reading {
    fn of(picture: &Picture, occasion: Occasion) -> Self {
        let status = picture.call_status.as_deref().unwrap_or_default();
        let over = matches!(status, "ended" | "not_connected" | "error") || occasion == Occasion::Ended;
        let connected = match status {
            "not_connected" => false,
            "ongoing" | "ended" => true,
            _ => picture.started_at().is_some() || occasion == Occasion::Started,
        };
        if !over {
            return Self { answered: connected, end: None };
        }
        let meaning = meaning(picture.disconnection_reason.as_deref().unwrap_or_default());
        let talked = Disposition::AnsweredHuman;
        let disposition = match meaning {
            Meaning::Always(disposition) => disposition,
            Meaning::TalkedOr(_) if connected => talked,
            Meaning::TalkedOr(otherwise) => otherwise,
            Meaning::TalkedAndOptedOut | Meaning::TalkedAndWantsCallback => talked,
            // Words and status that contradict each other: nobody was talked to.
            Meaning::Talked if status == "not_connected" => Disposition::Failed,
            Meaning::Talked => talked,
            Meaning::Unknown if status == "ended" => talked,
            Meaning::Unknown => Disposition::Failed,
        };
        let answered =
            connected || matches!(disposition, Disposition::AnsweredHuman | Disposition::Voicemail);
        let opted_out = meaning == Meaning::TalkedAndOptedOut;
        Self { answered, end: Some(End { disposition, opted_out }) }
    }

    fn by(&self) -> Answerer {
        match self.end {
            Some(End { disposition: Disposition::Voicemail, .. }) => Answerer::Machine,
            _ => Answerer::Unknown,
        }
    }
}

/// An instant as text with an offset, or as milliseconds since 1970.
fn instant(value: &Value) -> Option<DateTime<Utc>> {
    match value {
        Value::String(text) => DateTime::parse_from_rfc3339(text.trim()).ok().map(|instant| instant.to_utc()),
        Value::Number(millis) => DateTime::from_timestamp_millis(millis.as_i64()?),
        _ => None,
    }
}

fn detail_of(picture: &Picture) -> CallDetail {
    let mut detail = CallDetail::default();
    let filled = |text: &Option<String>| text.clone().filter(|text| !text.is_empty()).map(Personal::new);
    detail.recording_url = filled(&picture.recording_url).or_else(|| filled(&picture.scrubbed_recording_url));
    detail.transcript = filled(&picture.transcript);
    detail.cost = picture.call_cost.as_ref().and_then(money);
    detail.response_time = picture.latency.as_ref().and_then(|latency| response_time(latency.e2e.as_ref()?));
    // What the agent collected comes earlier, too, but must not then replace an analysis that came before it.
    detail.analysis = picture.call_analysis.clone().map(|mut analysis| {
        if let Some(collected) = &picture.collected_dynamic_variables {
            let collected = collected.clone().into_iter().collect();
            analysis.insert("collected_dynamic_variables".into(), Value::Object(collected));
        }
        Personal::new(Value::Object(analysis))
    });
    detail
}

/// Cents, which Retell gives with fractions, as millionths of a dollar.
fn money(cost: &Cost) -> Option<Money> {
    let micros = (cost.combined_cost? * 10_000.0).round();
    // Within what a float holds exactly.
    (0.0..=9e15).contains(&micros).then_some(Money { micros: micros as i64, currency: Currency::USD })
}

fn response_time(quantiles: &Quantiles) -> Option<ResponseTime> {
    let whole =
        |number: Option<f64>| Some(number?.round()).filter(|n| (0.0..=4e9).contains(n)).map(|n| n as u32);
    Some(ResponseTime {
        p50_ms: whole(quantiles.p50)?,
        p90_ms: whole(quantiles.p90)?,
        p99_ms: whole(quantiles.p99)?,
        max_ms: whole(quantiles.max)?,
        answers: whole(quantiles.num)?,
    })
}

#[cfg(test)]
mod tests;
