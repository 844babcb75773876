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
    connected: bool,
}

impl Transfer {
    pub(crate) fn new(token: Token, call: &str) -> Self {
        let (channel, bridge) = (format!("{call}-a{token}"), format!("{call}-b{token}"));
        Self { token, channel, bridge, leg: Leg::default(), connected: false }
    }

    /// Takes an event of the agent's channel. Returns what it means for the callee.
    pub(crate) fn take(&mut self, event: &Event, orders: &mut Vec<Order>) -> Option<TransferOutcome> {
        let told = self.leg.judge(event);
        if matches!(event.what, What::StasisStart { .. }) && !self.connected {
            self.connected = true;
            orders.push(Order::Ring(false));
            orders.push(Order::Bridge { bridge: self.bridge.clone(), channel: self.channel.clone() });
            return Some(TransferOutcome::Connected);
        }
        let ended = told.into_iter().find_map(|event| match event {
            CallEvent::Ended { disposition, .. } => Some(disposition),
            _ => None,
        })?;
        Some(self.over(ended, orders))
    }

    /// The agent could not be called.
    pub(crate) fn failed(&mut self, orders: &mut Vec<Order>) -> TransferOutcome {
        self.over(Disposition::Failed, orders)
    }

    fn over(&mut self, ended: Disposition, orders: &mut Vec<Order>) -> TransferOutcome {
        if self.connected {
            orders.push(Order::EndBridge { bridge: self.bridge.clone() });
            return TransferOutcome::Ended;
        }
        orders.push(Order::Ring(false));
        match ended {
            Disposition::Busy | Disposition::Rejected => TransferOutcome::Busy,
            Disposition::NoAnswer | Disposition::Canceled => TransferOutcome::NoAnswer,
            _ => TransferOutcome::Failed,
        }
    }

    /// The callee is gone.
    pub(crate) fn abandon(&self, orders: &mut Vec<Order>) {
        orders.push(Order::HangUp { channel: self.channel.clone() });
        if self.connected {
            orders.push(Order::EndBridge { bridge: self.bridge.clone() });
        }
    }
}
