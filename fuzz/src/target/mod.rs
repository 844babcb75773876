//! What is fuzzed.

mod ari;
mod campaign;
mod flow;
mod gateway;
mod import;
mod links;
mod phone;
mod request;
mod retell;
mod sim;
mod template;
mod twilio;
mod vonage;
mod windows;
mod workbook;

use std::time::Duration;

/// A function of bytes that panics where a promise is broken, and what it may cost.
#[derive(Debug)]
pub struct Target {
    /// Its name, which is that of its corpus.
    pub name: &'static str,
    /// The function.
    pub run: fn(&[u8]),
    /// Words that mean something in its inputs.
    pub dictionary: &'static [&'static str],
    /// The longest input, in bytes.
    pub input_max: usize,
    /// The longest an input may take where code is optimized.
    pub time_max: Duration,
    /// The most memory an input may take at once, in bytes.
    pub memory_max: usize,
    /// How many mutations the tests run.
    pub mutations: u32,
}

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

impl Target {
    /// A target with the limits that most have: inputs of 64 KiB, a second, 32 MiB.
    const fn new(name: &'static str, run: fn(&[u8]), dictionary: &'static [&'static str]) -> Self {
        let time_max = Duration::from_secs(1);
        Self { name, run, dictionary, input_max: 64 * KIB, time_max, memory_max: 32 * MIB, mutations: 1_500 }
    }

    const fn with_mutations(self, mutations: u32) -> Self {
        Self { mutations, ..self }
    }

    /// A workbook: five seconds, and what it may take when it is decoded, with its file and rows beside it.
    const fn of_workbook(self) -> Self {
        Self { memory_max: 1_280 * MIB, time_max: Duration::from_secs(5), ..self }
    }

    /// The target of this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        TARGETS.iter().find(|target| target.name == name)
    }
}

/// All targets.
pub static TARGETS: [Target; 20] = [
    Target::new("ari_event", ari::event, ari::WORDS),
    Target::new("campaign", campaign::definition, campaign::WORDS).with_mutations(750),
    Target::new("csv", import::text, import::WORDS).with_mutations(150),
    Target::new("flow", flow::definition, flow::WORDS).with_mutations(750),
    Target::new("flow_session", flow::session, flow::WORDS).with_mutations(300),
    Target::new("flow_template", template::flow, template::WORDS),
    Target::new("gateway_config", gateway::configuration, gateway::WORDS).with_mutations(600),
    Target::new("gateway_webhook", gateway::webhook, gateway::WORDS),
    Target::new("link_token", links::token, &[]),
    Target::new("message_template", template::message, template::WORDS),
    Target::new("phone", phone::number, phone::WORDS).with_mutations(600),
    Target::new("retell_inbound", retell::inbound, retell::WORDS),
    Target::new("retell_webhook", retell::webhook, retell::WORDS),
    Target::new("sim_webhook", sim::webhook, sim::WORDS),
    Target::new("twilio_webhook", twilio::webhook, twilio::WORDS),
    Target::new("vonage_messages_webhook", vonage::messages, vonage::WORDS),
    Target::new("vonage_sms_webhook", vonage::sms, vonage::WORDS),
    Target::new("windows", windows::next, &[]).with_mutations(600),
    Target::new("workbook", workbook::file, workbook::WORDS).of_workbook().with_mutations(450),
    Target::new("workbook_parts", workbook::parts, workbook::WORDS).of_workbook().with_mutations(900),
];

/// What it is does not matter, only that it came to be.
fn any<T>(_: T) {}
