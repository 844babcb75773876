//! An agent who is called for a callee: pure.

use rivvi_core::domain::Disposition;
use rivvi_core::flow::{Token, TransferOutcome};
use rivvi_core::provider::CallEvent;

use super::leg::Leg;
use super::order::Order;
use crate::ari::{Event, What};

/// One transfer, from the request to the agent's leaving.
#[derive(Debug)]
pub(crate) struct Transfer {
    pub(crate) token: Token,
    /// The agent's channel.
    pub(crate) channel: String,
    bridge: String,
    leg: Leg,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Called,
    /// The agent is there, and the bridge is asked for.
    Bridging,
    Connected,
}

impl Transfer {
    pub(crate) fn new(token: Token, call: &str) -> Self {
        let (channel, bridge) = (format!("{call}-a{token}"), format!("{call}-b{token}"));
        Self { token, channel, bridge, leg: Leg::default(), stage: Stage::Called }
    }

    /// Takes an event of the agent's channel. Returns what it means for the callee.
    pub(crate) fn take(&mut self, event: &Event, orders: &mut Vec<Order>) -> Option<TransferOutcome> {
        let told = self.leg.judge(event);
        if matches!(event.what, What::StasisStart { .. }) && self.stage == Stage::Called {
            self.answered(orders);
            return None;
        }
        let ended = told.into_iter().find_map(|event| match event {
            CallEvent::Ended { disposition, .. } => Some(disposition),
            _ => None,
        })?;
        Some(self.over(ended, orders))
    }

    fn answered(&mut self, orders: &mut Vec<Order>) {
        self.stage = Stage::Bridging;
        orders.push(Order::Ring(false));
        orders.push(Order::Bridge { bridge: self.bridge.clone(), channel: self.channel.clone() });
    }

    /// News of the agent may have been missed: the channel is there, and was or was not answered, or is not there. Returns
    /// what that means for the callee.
    pub(crate) fn catch_up(
        &mut self,
        answered: Option<bool>,
        orders: &mut Vec<Order>,
    ) -> Option<TransferOutcome> {
        match answered {
            Some(true) if self.stage == Stage::Called => {
                self.answered(orders);
                None
            }
            Some(_) => None,
            // Who was never heard of may be about to be called.
            None if self.stage == Stage::Called && !self.leg.is_heard_of() => None,
            None => Some(self.over(Disposition::Failed, orders)),
        }
    }

    /// The callee and the agent hear one another.
    pub(crate) fn bridged(&mut self) -> TransferOutcome {
        self.stage = Stage::Connected;
        TransferOutcome::Connected
    }

    /// The agent could not be called or connected, as far as is known: if the answer was lost, a phone may ring.
    pub(crate) fn failed(&mut self, orders: &mut Vec<Order>) -> TransferOutcome {
        orders.push(Order::HangUp { channel: self.channel.clone() });
        self.over(Disposition::Failed, orders)
    }

    fn over(&mut self, ended: Disposition, orders: &mut Vec<Order>) -> TransferOutcome {
        if self.stage == Stage::Called {
            orders.push(Order::Ring(false));
        } else {
            orders.push(Order::EndBridge { bridge: self.bridge.clone() });
        }
        match ended {
            _ if self.stage == Stage::Connected => TransferOutcome::Ended,
            Disposition::Busy | Disposition::Rejected => TransferOutcome::Busy,
            Disposition::NoAnswer | Disposition::Canceled => TransferOutcome::NoAnswer,
            _ => TransferOutcome::Failed,
        }
    }

    /// The flow goes on without the agent.
    pub(crate) fn give_up(&self, orders: &mut Vec<Order>) {
        self.abandon(orders);
        if self.stage == Stage::Called {
            orders.push(Order::Ring(false));
        }
    }

    /// Nobody needs the agent any more.
    pub(crate) fn abandon(&self, orders: &mut Vec<Order>) {
        orders.push(Order::HangUp { channel: self.channel.clone() });
        if self.stage != Stage::Called {
            orders.push(Order::EndBridge { bridge: self.bridge.clone() });
        }
    }
}
