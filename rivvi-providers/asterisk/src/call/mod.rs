//! One call: what happens to its channels, and what is to be done then. Pure: without I/O or clock.

mod cause;
mod detection;
mod leg;
mod order;
mod orphan;
mod talk;
mod transfer;

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rivvi_core::domain::CallDetail;
use rivvi_core::flow::{Detected, Token};
use rivvi_core::provider::{ActionResult, CallEvent, Recognized};

pub(crate) use leg::{Leg, Mark};
pub(crate) use order::{Order, Presses};
pub(crate) use orphan::Orphan;
pub(crate) use talk::Talk;

use crate::ari::{Event, What};

/// The first argument with which a channel comes back from detection; see docs/asterisk.md.
const DETECTED: &str = "detected";
/// Begins the rest of the name of what speech of a call is heard by.
pub(crate) const HEARS: &str = "-h";
/// How long to wait for the end of a channel that was asked to end, before asking again.
const END_MAX: TimeDelta = TimeDelta::seconds(5);
/// How long after the end of a call the ends of its recordings are waited for.
const RECORDINGS_MAX: TimeDelta = TimeDelta::seconds(30);

/// Something that happened, for [`CallMachine::take`].
#[derive(Debug)]
pub(crate) enum Happening {
    /// An event of one of the call's channels.
    Event(Event),
    /// The channel was found in our application, which it entered with these arguments; maybe that was told before.
    Here { args: Vec<String> },
    /// The channels beside it that are there, with what those entered our application with that did.
    Beside { there: BTreeMap<String, Option<Vec<String>>> },
    /// [`CallMachine::wake_at`] has come.
    Wake,
    /// The call is to end.
    HangUp,
    /// Speech was made: what to play; `None` if that failed.
    Spoken { token: Token, audio: Option<String> },
    /// The callee said something.
    Heard { token: Token, heard: Recognized },
    /// An action that the flow asked for gives this back.
    ActionResult { key: String, result: ActionResult },
    /// A playback could not be begun.
    NotPlayed { token: Token },
    /// A recording lies there; `None` if it could not be kept.
    Kept { token: Option<Token>, reference: Option<String> },
    /// A recording could not be begun: by the flow, or of all of the call.
    NotRecorded { token: Option<Token> },
    /// The channel could not be sent into the dialplan to find out who answered.
    NotDetected,
    /// The channel could not be sent into the dialplan to its agent.
    NotHanded,
    /// The agent of this channel could not be called.
    AgentNotCalled { channel: String },
    /// The callee was connected with the agent of this channel, or could not be.
    Bridged { channel: String, done: bool },
    /// The channel was not there when it was looked for, and this is what the server remembers of it.
    Gone(Mark),
}

/// Who leads the conversation once somebody answers.
#[derive(Debug)]
pub(crate) enum Lead {
    /// A flow.
    Flow(Box<Talk>),
    /// An agent that the dialplan has under this name.
    Agent(String),
    /// Nobody: the call is one of a program that is gone, and ends by itself.
    Nobody(Orphan),
}

/// One call.
#[derive(Debug)]
pub(crate) struct CallMachine {
    /// The id of the channel: that of the call.
    channel: String,
    leg: Leg,
    lead: Lead,
    /// The longest it may last from the answer on.
    max_duration: Duration,
    ends_by: Option<DateTime<Utc>>,
    /// When to ask again for its end.
    end_again_at: Option<DateTime<Utc>>,
    /// Whether all of it is to be recorded.
    record_all: bool,
    /// Recordings of all of it and by the flow that are not kept yet.
    keeping: u32,
    recording_all: bool,
    /// Whether its channel was ever in our application.
    entered: bool,
    /// With what it was found there, so that the event that tells the same is not taken for another coming.
    found_with: Option<Vec<String>>,
    /// Until when the ends of its recordings are waited for.
    done_by: Option<DateTime<Utc>>,
    /// They are not waited for any more.
    late: bool,
    done: bool,
}

impl CallMachine {
    pub(crate) fn new(channel: String, lead: Lead, max_duration: Duration, record_all: bool) -> Self {
        Self {
            channel,
            leg: Leg::default(),
            lead,
            max_duration,
            ends_by: None,
            end_again_at: None,
            record_all,
            keeping: 0,
            recording_all: false,
            entered: false,
            found_with: None,
            done_by: None,
            late: false,
            done: false,
        }
    }

    /// A call of which only its channel was found.
    pub(crate) fn found(channel: String, leg: Leg, orphan: Orphan) -> Self {
        Self { leg, ..Self::new(channel, Lead::Nobody(orphan), Duration::MAX, false) }
    }

    /// When it is to be told of the time.
    pub(crate) fn wake_at(&self) -> Option<DateTime<Utc>> {
        let talk = match &self.lead {
            Lead::Flow(talk) if !self.leg.is_over() => talk.wake_at(),
            _ => None,
        };
        [talk, self.ends_by, self.end_again_at, self.done_by].into_iter().flatten().min()
    }

    /// Takes what happened. Returns what is to be done.
    pub(crate) fn take(&mut self, happening: Happening, now: DateTime<Utc>) -> Vec<Order> {
        let mut orders = Vec::new();
        match happening {
            Happening::Event(event) if event.channel == self.channel => self.event(&event, now, &mut orders),
            Happening::Event(event) => self.other_channel(&event, now, &mut orders),
            Happening::Here { args } if self.missed(&args) => {
                self.commandable(&args, now, now, &mut orders);
                self.found_with = Some(args);
            }
            Happening::Here { .. } => {}
            Happening::Wake => self.wake(now, &mut orders),
            Happening::HangUp => self.hang_up(now, &mut orders),
            Happening::Gone(mark) if !self.leg.is_over() => {
                let ended = match mark {
                    Mark::Ended(noted) => self.leg.end_noted(noted, now),
                    Mark::None | Mark::Asked => self.leg.end_unseen(now),
                };
                self.ended(ended, now, now, &mut orders);
            }
            Happening::Gone(_) => {}
            Happening::NotHanded => self.hang_up(now, &mut orders),
            Happening::NotRecorded { token: None } => self.recording_all = false,
            Happening::Kept { token: None, reference } => {
                self.keeping = self.keeping.saturating_sub(1);
                orders.extend(reference.map(|reference| lies_there(reference, now)));
            }
            happening => self.of_talk(happening, now, &mut orders),
        }
        // An order of the flow to hang up is an end from this side.
        if orders.iter().any(|order| matches!(order, Order::HangUp { channel } if *channel == self.channel)) {
            self.leg.end_here();
            self.end_again_at = Some(now + END_MAX);
        }
        self.keeping +=
            orders.iter().map(|order| u32::from(matches!(order, Order::Keep { .. }))).sum::<u32>();
        self.finish(now, &mut orders);
        orders
    }

    fn event(&mut self, event: &Event, now: DateTime<Utc>, orders: &mut Vec<Order>) {
        if event.what == What::StasisEnd {
            self.found_with = None;
        }
        let was_answered = self.leg.is_answered();
        for told in self.leg.judge(event) {
            if matches!(told, CallEvent::Ended { .. }) {
                self.ended(told, event.at, now, orders);
            } else {
                orders.push(Order::Tell { event: told, at: event.at });
            }
        }
        if self.leg.is_answered() && !was_answered {
            self.ends_by =
                now.checked_add_signed(TimeDelta::from_std(self.max_duration).unwrap_or(TimeDelta::MAX));
        }
        match &event.what {
            What::StasisStart { args } if self.found_with.take().as_ref() == Some(args) => {}
            What::StasisStart { args } => self.commandable(args, event.at, now, orders),
            // A message that was cut short by hanging up is kept all the same.
            What::RecordingFinished { .. } | What::RecordingFailed { .. } => {
                if let Lead::Flow(talk) = &mut self.lead {
                    talk.take(event, now, orders);
                }
            }
            _ if self.leg.is_over() => {}
            What::ActionResult { key, result } => {
                if let Lead::Flow(talk) = &mut self.lead {
                    talk.action_result(key.clone(), result.clone(), now, orders);
                }
            }
            _ => {
                if let Lead::Flow(talk) = &mut self.lead {
                    talk.take(event, now, orders);
                }
            }
        }
    }

    /// Whether it was not told yet that its channel entered our application with these arguments.
    fn missed(&self, args: &[String]) -> bool {
        match &self.lead {
            _ if self.leg.is_over() => false,
            Lead::Flow(talk) if args.first().map(String::as_str) == Some(DETECTED) => talk.is_detecting(),
            Lead::Flow(_) | Lead::Agent(_) => !self.entered,
            Lead::Nobody(_) => false,
        }
    }

    fn commandable(
        &mut self,
        args: &[String],
        at: DateTime<Utc>,
        now: DateTime<Utc>,
        orders: &mut Vec<Order>,
    ) {
        self.entered = true;
        let detected = (args.first().map(String::as_str) == Some(DETECTED))
            .then(|| detection::read(args.get(1).map(String::as_str), args.get(2).map(String::as_str)));
        if let Some(found) = detected {
            let told = self.leg.answered_by(detection::answerer(found));
            orders.extend(told.map(|event| Order::Tell { event, at }));
        } else if self.record_all && !std::mem::replace(&mut self.recording_all, true) {
            orders.push(Order::Overhear { channel: self.ear() });
        }
        self.led(detected, now, orders);
    }

    fn led(&mut self, detected: Option<Detected>, now: DateTime<Utc>, orders: &mut Vec<Order>) {
        match &mut self.lead {
            Lead::Flow(talk) => talk.commandable(detected, now, orders),
            Lead::Agent(agent) => orders.push(Order::Hand { agent: agent.clone() }),
            Lead::Nobody(_) => orders.push(Order::HangUp { channel: self.channel.clone() }),
        }
    }

    fn other_channel(&mut self, event: &Event, now: DateTime<Utc>, orders: &mut Vec<Order>) {
        if event.channel == self.ear() {
            let name = format!("{}-all", self.channel);
            match &event.what {
                What::StasisStart { .. } => {
                    orders.push(Order::RecordAll { channel: event.channel.clone(), name });
                }
                What::RecordingFinished { name: finished } if *finished == name => {
                    orders.push(Order::Keep { token: None, name });
                    self.recording_all = false;
                }
                What::RecordingFailed { .. } => self.recording_all = false,
                _ => {}
            }
        } else if let Lead::Flow(talk) = &mut self.lead
            && talk.has_agent(&event.channel)
        {
            talk.take_of_agent(event, now, orders);
        } else if let (Lead::Nobody(orphan), What::Destroyed { .. }) = (&mut self.lead, &event.what) {
            if orphan.gone(&event.channel) {
                self.hang_up(now, orders);
            }
        } else if matches!(event.what, What::StasisStart { .. }) && !hears(&self.channel, &event.channel) {
            // An agent who is waited for no more, and whom an earlier order to hang up did not reach.
            orders.push(Order::HangUp { channel: event.channel.clone() });
        }
    }

    fn of_talk(&mut self, happening: Happening, now: DateTime<Utc>, orders: &mut Vec<Order>) {
        if matches!(happening, Happening::Kept { .. }) {
            self.keeping = self.keeping.saturating_sub(1);
        }
        let Lead::Flow(talk) = &mut self.lead else { return };
        match happening {
            Happening::Spoken { token, audio } => talk.spoken(token, audio, now, orders),
            Happening::Heard { token, heard } => talk.heard(token, heard, now, orders),
            Happening::Beside { there } => talk.beside(&there, now, orders),
            Happening::ActionResult { key, result } => talk.action_result(key, result, now, orders),
            Happening::NotPlayed { token } => talk.not_played(token, now, orders),
            Happening::Kept { token: Some(token), reference } => {
                let url = reference.clone().filter(|_| !self.record_all);
                talk.recorded(token, reference, now, orders);
                orders.extend(url.map(|url| lies_there(url, now)));
            }
            Happening::NotRecorded { token: Some(token) } => talk.recorded(token, None, now, orders),
            Happening::NotDetected => talk.commandable(Some(Detected::Unknown), now, orders),
            Happening::AgentNotCalled { channel } => talk.agent_failed(&channel, now, orders),
            Happening::Bridged { channel, done } => talk.bridged(&channel, done, now, orders),
            _ => {}
        }
    }

    fn wake(&mut self, now: DateTime<Utc>, orders: &mut Vec<Order>) {
        if self.end_again_at.is_some_and(|at| at <= now) || self.ends_by.is_some_and(|at| at <= now) {
            self.hang_up(now, orders);
        }
        if let Lead::Flow(talk) = &mut self.lead {
            talk.wake(now, orders);
        }
    }

    fn hang_up(&mut self, now: DateTime<Utc>, orders: &mut Vec<Order>) {
        if self.leg.is_over() {
            return;
        }
        self.leg.end_here();
        self.ends_by = None;
        self.end_again_at = Some(now + END_MAX);
        orders.push(Order::HangUp { channel: self.channel.clone() });
    }

    fn ended(&mut self, told: CallEvent, at: DateTime<Utc>, now: DateTime<Utc>, orders: &mut Vec<Order>) {
        (self.ends_by, self.end_again_at) = (None, None);
        self.done_by = Some(now + RECORDINGS_MAX);
        match &mut self.lead {
            Lead::Flow(talk) => talk.hung_up(now, orders),
            Lead::Nobody(orphan) => orphan.let_go(orders),
            Lead::Agent(_) => {}
        }
        orders.push(Order::Tell { event: told, at });
    }

    fn finish(&mut self, now: DateTime<Utc>, orders: &mut Vec<Order>) {
        let recording = matches!(&self.lead, Lead::Flow(talk) if talk.is_recording());
        if self.done_by.is_some_and(|by| by <= now) {
            (self.done_by, self.late) = (None, true);
        }
        // What is being kept takes as long as it takes.
        let complete = self.keeping == 0 && (self.late || !self.recording_all && !recording);
        if self.leg.is_over() && complete && !std::mem::replace(&mut self.done, true) {
            self.done_by = None;
            orders.push(Order::Done);
        }
    }

    /// The channel that hears both sides.
    fn ear(&self) -> String {
        format!("{}-ear", self.channel)
    }
}

/// Whether this is one of the channels by which speech of a call is heard.
fn hears(call: &str, channel: &str) -> bool {
    channel.strip_prefix(call).is_some_and(|rest| rest.starts_with(HEARS))
}

/// Where a recording of the call lies.
fn lies_there(reference: String, at: DateTime<Utc>) -> Order {
    let mut detail = CallDetail::default();
    detail.recording_url = Some(reference.into());
    Order::Tell { event: CallEvent::Enriched { detail: Box::new(detail) }, at }
}

#[cfg(test)]
mod tests;
