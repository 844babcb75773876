//! The flows in `examples/data/flows`.

use std::time::Duration;

use super::line::{Line, actions, opt_outs, said};
use crate::flow::{Detected, Effect, Flow, FlowEnding, FlowTerms, Input, TransferOutcome};

pub(super) const DONATION: &str = include_str!("../../../../examples/data/flows/donation.toml");
pub(super) const REMINDER: &str = include_str!("../../../../examples/data/flows/reminder.toml");
pub(super) const INFORMATION: &str = include_str!("../../../../examples/data/flows/information.json");
pub(super) const NAVIGATE: &str = include_str!("../../../../examples/data/flows/navigate.toml");
pub(super) const SPECIFICATION: &str = include_str!("../../../../examples/data/flows/specification.json");

pub(super) fn all() -> Vec<Flow> {
    let toml = [DONATION, REMINDER, NAVIGATE].map(|text| Flow::from_toml(text).unwrap());
    let json = [INFORMATION, SPECIFICATION].map(|text| Flow::from_json(text).unwrap());
    toml.into_iter().chain(json).collect()
}

#[test]
fn every_sample_makes_sense() {
    let terms = FlowTerms::default()
        .with_variables(["donation_link"])
        .with_actions([
            "send_sms",
            "trigger_donation",
            "confirm_appointment",
            "cancel_appointment",
            "reschedule_appointment",
            "set_instalments",
            "invoice_promised",
            "invoice_refused",
            "invoice_unclear",
        ])
        .with_max_duration(Duration::from_secs(540));
    for flow in all() {
        assert_eq!(flow.validate(&terms), Ok(()), "{}", flow.name());
    }
}

#[test]
fn a_sample_is_written_and_read_back() {
    for flow in all() {
        let json = serde_json::to_string(&flow).unwrap();
        assert_eq!(Flow::from_json(&json).unwrap(), flow, "{json}");
        let toml = toml::to_string(&flow).unwrap();
        assert_eq!(Flow::from_toml(&toml).unwrap(), flow, "{toml}");
    }
}

#[test]
fn a_donation_is_made() {
    let flow = Flow::from_toml(DONATION).unwrap();
    let mut line = Line::answered(&flow, &[("first_name", "Dana")]);
    assert_eq!(said(&line.all), ["Hello Dana. This is the Children's Hospital."]);
    line.listens();
    let effects = line.press('1');
    let names: Vec<&str> = actions(&effects).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["trigger_donation", "send_sms"]);
    assert_eq!(said(&effects), ["Thank you! A link is on its way to your phone."]);
    let parameters: Vec<_> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Action { parameters, .. } => Some(parameters.expose()),
            _ => None,
        })
        .collect();
    assert_eq!(parameters[0]["amount"], "50");
    assert_eq!(parameters[1]["text"], "Thank you! Donate here: https://example.org/give");
    line.listens();
    assert_eq!(line.ending(), Some(FlowEnding::Completed));
    assert_eq!(
        line.all[line.all.len() - 2..],
        [Effect::HangUp, Effect::Ended { ending: FlowEnding::Completed }]
    );
}

#[test]
fn a_donor_opts_out_and_hears_so() {
    let flow = Flow::from_toml(DONATION).unwrap();
    let mut line = Line::answered(&flow, &[]);
    let effects = line.press('9');
    assert_eq!(opt_outs(&effects), 1);
    assert_eq!(said(&effects), ["You will not be called again. Good bye."]);
    assert_eq!(line.press('9'), [], "the press is taken already");
    line.listens();
    assert_eq!(line.ending(), Some(FlowEnding::OptedOut));
    assert_eq!(opt_outs(&line.all), 1);
}

#[test]
fn an_appointment_is_moved_with_the_answer_of_the_host() {
    let flow = Flow::from_toml(REMINDER).unwrap();
    let mut line = Line::answered(&flow, &[]);
    line.detects(Detected::Human);
    line.listens();
    line.press('3');
    line.listens();
    line.press('4');
    line.press('1');
    assert_eq!((line.place().as_str(), line.result("wanted_day")), ("day_is_wrong", Some("41")));
    line.listens();
    line.press('9');
    assert!(!line.session.opted_out(), "9 is a digit here");
    let effects = line.press('#');
    assert_eq!(line.place(), "reschedule");
    let [(name, key)] = actions(&effects)[..] else { panic!("one action, not {effects:?}") };
    assert_eq!(name, "reschedule_appointment");
    let values = [("when".to_owned(), "the ninth at noon".to_owned())];
    let result = |key: &str| Input::ActionResult {
        key: key.into(),
        done: true,
        values: std::collections::BTreeMap::from(values.clone()).into(),
    };
    assert_eq!(line.tell(&result("another")), []);
    assert_eq!(said(&line.tell(&result(key))), ["You are booked for the ninth at noon."]);
    assert_eq!(line.tell(&result(key)), [], "the result is taken already");
    line.listens();
    assert_eq!(line.ending(), Some(FlowEnding::Completed));
}

#[test]
fn nobody_at_the_reception_takes_a_message() {
    let flow = Flow::from_toml(REMINDER).unwrap();
    for outcome in [TransferOutcome::Busy, TransferOutcome::NoAnswer, TransferOutcome::Failed] {
        let mut line = Line::answered(&flow, &[]);
        line.waits();
        assert_eq!(line.place(), "greet", "an unknown answerer is taken for a human");
        line.listens();
        line.press('0');
        assert_eq!(line.transferred(TransferOutcome::Ended), [], "it was not connected");
        line.transferred(outcome);
        assert_eq!(line.place(), "no_agent");
        let effects = line.listens();
        assert!(effects.iter().any(|effect| matches!(effect, Effect::Record { .. })), "{effects:?}");
        line.recorded(Some("message-1.wav"));
        assert_eq!(line.result("message"), Some("message-1.wav"));
        assert_eq!(line.ending(), Some(FlowEnding::Completed));
    }
    let mut line = Line::answered(&flow, &[]);
    line.detects(Detected::Human);
    line.listens();
    line.press('0');
    assert!(line.transferred(TransferOutcome::Connected).len() == 1, "a new timer");
    assert_eq!(line.transferred(TransferOutcome::Busy), [], "it is connected already");
    line.transferred(TransferOutcome::Ended);
    assert_eq!(line.ending(), Some(FlowEnding::Completed));
}

#[test]
fn a_menu_of_several_levels_speaks_the_chosen_language() {
    let flow = Flow::from_json(INFORMATION).unwrap();
    let mut line = Line::answered(&flow, &[]);
    assert_eq!(line.place(), "language/ask");
    let effects = line.press('1');
    assert_eq!((line.place().as_str(), line.result("spoken")), ("main", Some("he")));
    assert_eq!(said(&effects), ["sounds/he/main.wav"]);
    for (key, place) in [('2', "payments"), ('2', "instalments"), ('6', "payments"), ('0', "main")] {
        line.listens();
        line.press(key);
        assert_eq!(line.place(), place);
    }
    line.listens();
    let effects = line.press('0');
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Transfer { to: None, .. })), "{effects:?}");
    line.transferred(TransferOutcome::NoAnswer);
    assert_eq!(line.result("transfer_agent"), Some("no_answer"));
    assert_eq!(line.ending(), Some(FlowEnding::Completed), "the menu has no next");
}

#[test]
fn a_hotels_own_menu_is_navigated() {
    let flow = Flow::from_toml(NAVIGATE).unwrap();
    let mut line = Line::answered(&flow, &[("first_name", "Dana")]);
    let effects = line.detects(Detected::Ivr);
    let hints = effects.iter().find_map(|effect| match effect {
        Effect::Listen { hints, .. } => Some(hints.len()),
        _ => None,
    });
    assert_eq!(hints, Some(6));
    assert!(matches!(line.hears("Welcome to", 0.9, false)[..], [Effect::StartTimer { .. }]));
    line.hears("welcome to our hotel. For Accounting press 1", 0.3, false);
    assert_eq!(line.place(), "menu", "it was not understood well enough");
    let effects = line.hears("Welcome to our hotel. For Accounting press 1,", 0.8, false);
    assert_eq!(line.place(), "press_1");
    assert!(effects.contains(&Effect::SendDtmf { digits: "w1".to_owned().into() }));
    line.waits();
    let effects = line.hears("Accounting, good morning", 0.9, true);
    assert!(said(&effects)[0].contains("for Dana, about the invoice of the stay in question"));
    line.listens();
    let effects = line.hears("Yes, of course", 0.9, true);
    assert_eq!(actions(&effects).len(), 1);
    line.listens();
    assert_eq!(line.ending(), Some(FlowEnding::Completed));
}

#[test]
fn the_form_of_the_specification_is_read_and_run() {
    let flow = Flow::from_json(SPECIFICATION).unwrap();
    let run = |keys: &[char]| {
        let mut line = Line::answered(&flow, &[]);
        for key in keys {
            line.listens();
            line.press(*key);
        }
        line.listens();
        line
    };
    let line = run(&['1']);
    assert_eq!(actions(&line.all), [("trigger_donation", "2:choice:1:0")]);
    assert_eq!(line.ending(), Some(FlowEnding::Completed));
    assert!(actions(&run(&['2']).all).is_empty());
    let line = run(&['9']);
    assert_eq!((opt_outs(&line.all), line.ending()), (1, Some(FlowEnding::OptedOut)));
    let line = run(&['3', '4']);
    assert_eq!(line.place(), "choice");
    assert_eq!(said(&line.all).iter().filter(|said| said.ends_with("choice.wav")).count(), 3);
}

#[test]
fn what_the_host_must_register_is_told() {
    let names = |text: &str| Flow::from_toml(text).unwrap().host_actions().into_iter().collect::<Vec<_>>();
    assert_eq!(names(DONATION), ["send_sms", "trigger_donation"], "not what Rivvi does itself");
    assert_eq!(names(NAVIGATE), ["invoice_promised", "invoice_refused", "invoice_unclear"]);
}
