//! What is wrong with a world, and for how long.

use chrono::TimeDelta;
use rivvi_core::provider::Lookup;
use rivvi_core::testkit::{BlobFaults, LedgerFaults};

use crate::{Behaviour, GatewayBehaviour};

/// What is wrong with a world, and for how long. Shares are from 0 to 1.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Storm {
    /// What decides everything.
    pub seed: u64,
    /// What is worst.
    pub weather: Weather,
    /// What the campaign does.
    pub kind: Kind,
    /// How long it storms.
    pub lasts: TimeDelta,
    /// Nodes that share the store.
    pub nodes: usize,
    /// How far the clock of a node may be off, in either direction.
    pub skew: TimeDelta,
    /// Share of awaits at which a node dies.
    pub crash: f64,
    /// Share of awaits at which a node stands still for up to ten minutes.
    pub pause: f64,
    /// Share of requests, and of answers, that are slow on the line to a provider.
    pub slow_lines: f64,
    /// How often store, line and key are lost for up to half an hour: so many times a day.
    pub outages: f64,
    /// How often people suppress a number, pause, resume or change something: so many times a day.
    pub people: f64,
    /// How often a webhook is forged, or about a call that nobody knows: so many times a day.
    pub strangers: f64,
    /// Whether the run is cancelled in the end.
    pub cancelled: bool,
    /// Calls a second that the organization allows, if that is limited.
    pub calls_per_second: Option<f64>,
    /// Faults of the ledger, as each node sees it.
    pub ledger: LedgerFaults,
    /// Faults of the blob store from which the run is loaded in the midst of the storm; without one if absent.
    pub blobs: Option<BlobFaults>,
    /// The phone network.
    pub network: Behaviour,
    /// The gateway of text messages.
    pub gateway: GatewayBehaviour,
}

/// What is worst in a storm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// A little of everything, at one node.
    Mild,
    /// The store is busy, slow, unreachable, loses answers, and tells what was true before.
    Store,
    /// No webhook ever comes.
    Deaf,
    /// Clocks are up to two minutes off.
    Skew,
    /// Answers of providers are lost, or take longer than anybody waits.
    Lines,
    /// Nodes crash and stand still.
    Crashes,
    /// Webhooks are lost, late, repeated, out of order, wrong, forged, and about calls that nobody knows.
    Noise,
    /// Providers are away for half an hour, queue calls for hours, or do not take the key any more; people change limits
    /// and hours.
    Outages,
}

impl Weather {
    /// Every kind of weather.
    pub const ALL: [Self; 8] = [
        Self::Mild,
        Self::Store,
        Self::Deaf,
        Self::Skew,
        Self::Lines,
        Self::Crashes,
        Self::Noise,
        Self::Outages,
    ];
}

/// What the campaign of a storm does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Calls.
    Voice,
    /// Calls, followed by text messages, calls that say them, and letters.
    Hybrid,
    /// Text messages, followed by calls that say them.
    Sms,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Voice, Self::Hybrid, Self::Sms];

    /// What the campaign says of it.
    pub(super) fn campaign(self) -> &'static str {
        match self {
            Self::Voice => "channel = \"voice\"",
            Self::Hybrid => {
                r#"
                channel = "hybrid"
                [[follow_up]]
                name = "link"
                on = "action:request_information"
                sms = "Hello {{ name }}"
                retry.failed = { after = "1h", max = 1 }
                [[follow_up]]
                name = "say"
                on = ["link.no_sms", "link.no_receipt"]
                after = "1m"
                speech = "Hello {{ name }}"
                retry.no_answer = { after = "1h", max = 1 }
                [[follow_up]]
                name = "letter"
                on = ["exhausted", "say.exhausted"]
                email = { subject = "Hello", text = "Dear {{ name }}" }
                "#
            }
            Self::Sms => {
                r#"
                channel = "sms"
                message.text = "Hello {{ name }}"
                message.receipt_within = "1d"
                [[follow_up]]
                name = "say"
                on = "no_sms"
                speech = "Hello {{ name }}"
                [[follow_up]]
                name = "again"
                on = "delivered"
                after = "3h"
                sms = "Hello again {{ name }}"
                "#
            }
        }
    }
}

impl Storm {
    /// The storm of a seed: every weather with every kind of campaign, in turn.
    pub fn of(seed: u64) -> Self {
        let weather = Weather::ALL[(seed % 8) as usize];
        let kind = Kind::ALL[(seed / 8 % 3) as usize];
        let mut network = Behaviour {
            lost_answers: 0.05,
            lost_webhooks: 0.1,
            repeated_webhooks: 0.2,
            late_webhooks: 0.1,
            refused: 0.05,
            action: if kind == Kind::Hybrid { 0.7 } else { 0.0 },
            ..Behaviour::default()
        };
        let mut storm = Self {
            seed,
            weather,
            kind,
            lasts: TimeDelta::hours(60),
            nodes: 2,
            skew: TimeDelta::zero(),
            crash: 0.001,
            pause: 0.000_5,
            slow_lines: 0.05,
            outages: 0.0,
            people: 6.0,
            strangers: 0.0,
            cancelled: seed % 16 == 15,
            calls_per_second: (seed % 5 == 4).then_some(0.2),
            ledger: LedgerFaults {
                busy: 0.02,
                unavailable: 0.01,
                answer_lost: 0.02,
                ..LedgerFaults::default()
            },
            blobs: (seed % 4 == 3).then_some(BlobFaults { unavailable: 0.03, answer_lost: 0.03 }),
            network: Behaviour::default(),
            gateway: GatewayBehaviour::default(),
        };
        match weather {
            Weather::Mild => storm.nodes = 1,
            Weather::Store => {
                storm.ledger =
                    LedgerFaults { busy: 0.1, unavailable: 0.05, answer_lost: 0.05, slow: 0.02, stale: 0.1 };
            }
            Weather::Deaf => network.lost_webhooks = 1.0,
            Weather::Skew => storm.skew = TimeDelta::minutes(2),
            Weather::Lines => (network.lost_answers, storm.slow_lines) = (0.3, 0.4),
            Weather::Crashes => (storm.nodes, storm.crash, storm.pause) = (3, 0.02, 0.01),
            Weather::Noise => {
                network.lost_webhooks = 0.3;
                network.repeated_webhooks = 0.5;
                network.late_webhooks = 0.3;
                network.wrong_webhooks = 0.3;
                storm.strangers = 50.0;
            }
            Weather::Outages => {
                (storm.outages, storm.people) = (6.0, 24.0);
                network.queued = 0.05;
            }
        }
        let gateway = &mut storm.gateway;
        (gateway.no_sms, gateway.unreachable, gateway.replies) = (0.3, 0.1, 0.3);
        gateway.lost_answers = network.lost_answers;
        gateway.lost_webhooks = network.lost_webhooks;
        gateway.repeated_webhooks = network.repeated_webhooks;
        gateway.late_webhooks = network.late_webhooks;
        gateway.refused = network.refused;
        gateway.lookup = if seed.is_multiple_of(2) { Lookup::ByCallId } else { Lookup::ByReference };
        storm.network = network;
        storm
    }
}
