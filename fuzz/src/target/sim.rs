//! Webhooks of the simulated phone network and gateway.

use std::sync::{Arc, OnceLock};

use hmac::Hmac;
use rivvi_core::clock::VirtualClock;
use rivvi_core::provider::{SmsProvider, VoiceProvider};
use rivvi_provider_sim::{Behaviour, GatewayBehaviour, SimulatedGateway, SimulatedNetwork};
use sha2::Sha256;

use super::any;
use super::request::{self, ARRIVES_AT_MS, arrives_at, hex, mac, with_header};

pub(super) const WORDS: &[&str] = &[
    "accepted",
    "ringing",
    "answered",
    "ended",
    "delivery",
    "enriched",
    "detail",
    "x-sim-signature:",
    "t=",
    ",s=",
    "\"event\":",
    "\"call\":",
    "\"at\":",
    "null",
    "2026-09-21T14:13:20Z",
    "{\"",
    "}",
    "[",
    "]",
];

fn providers() -> &'static (SimulatedNetwork, SimulatedGateway) {
    static PROVIDERS: OnceLock<(SimulatedNetwork, SimulatedGateway)> = OnceLock::new();
    PROVIDERS.get_or_init(|| {
        let clock = Arc::new(VirtualClock::new(arrives_at()));
        (
            SimulatedNetwork::new(clock.clone(), 1, Behaviour::default()),
            SimulatedGateway::new(clock, 1, GatewayBehaviour::default()),
        )
    })
}

/// As it came, and with signatures that hold.
pub(super) fn webhook(input: &[u8]) {
    let (network, gateway) = providers();
    let raw = request::read(input);
    let at = ARRIVES_AT_MS.to_string();
    let signed = |kind: &str| {
        let key = format!("simulated-{kind}-1");
        let digest = hex(&mac::<Hmac<Sha256>>(&key, &[at.as_bytes(), b".", raw.body()]));
        with_header(&raw, "x-sim-signature", &format!("t={at},s={digest}"))
    };
    assert!(network.decode_webhook(&raw, arrives_at()).is_err(), "nothing in the corpus is signed");
    any(gateway.decode_webhook(&raw, arrives_at()));
    let told = network.decode_webhook(&signed("network"), arrives_at());
    assert_eq!(told.ok(), network.decode_webhook(&signed("network"), arrives_at()).ok());
    any(gateway.decode_webhook(&signed("gateway"), arrives_at()));
}
