//! The properties of the specification, for any tree of menus and any callee.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::line::{Line, actions, opt_outs, said};
use crate::flow::{Effect, Flow, FlowEnding, FlowTerms};

/// A menu of a tree of menus.
#[derive(Debug, Clone)]
struct Menu {
    keys: BTreeMap<char, Leads>,
    retries: u8,
    barge_in: bool,
}

#[derive(Debug, Clone)]
enum Leads {
    Menu(Menu),
    /// To an action and the end.
    Action,
}

/// Keys that menus use: all but the opt-out key.
pub(super) const KEYS: [char; 11] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '*', '#'];

fn key() -> impl Strategy<Value = char> {
    prop::sample::select(&KEYS[..])
}

fn menu() -> impl Strategy<Value = Menu> {
    let of = |leads: BoxedStrategy<Leads>| {
        (prop::collection::btree_map(key(), leads, 1..5), 0..4_u8, any::<bool>())
            .prop_map(|(keys, retries, barge_in)| Menu { keys, retries, barge_in })
    };
    let leaf = of(Just(Leads::Action).boxed());
    leaf.prop_recursive(3, 24, 4, move |inner| {
        of(prop_oneof![Just(Leads::Action), inner.prop_map(Leads::Menu)].boxed())
    })
}

impl Menu {
    /// The tree as a valid flow. The menu that keys lead to is called `menu` and those keys.
    fn flow(&self) -> Flow {
        let mut nodes = Vec::new();
        self.write("menu", &mut nodes);
        nodes.push(json!({ "id": "silent", "type": "say", "text": "silent" }));
        nodes.push(json!({ "id": "wrong", "type": "say", "text": "wrong" }));
        let flow = Flow::from_json(&json!({ "start": "menu", "nodes": nodes }).to_string()).unwrap();
        assert_eq!(flow.validate(&FlowTerms::default().with_variables([""; 0])), Ok(()));
        flow
    }

    fn write(&self, id: &str, nodes: &mut Vec<serde_json::Value>) {
        let keys: serde_json::Map<_, _> = self
            .keys
            .iter()
            .map(|(key, leads)| {
                let leads = match leads {
                    Leads::Menu(_) => json!(format!("{id}{key}")),
                    Leads::Action => json!({ "action": format!("do {id}{key}") }),
                };
                (key.to_string(), leads)
            })
            .collect();
        nodes.push(json!({
            "id": id,
            "type": "menu",
            "text": format!("prompt of {id}"),
            "barge_in": self.barge_in,
            "timeout": 7,
            "retries": self.retries,
            "on_invalid": { "text": format!("wrong at {id}"), "next": "wrong" },
            "on_timeout": { "text": format!("silence at {id}"), "action": format!("silence {id}"), "next": "silent" },
            "keys": keys,
        }));
        for (key, leads) in &self.keys {
            if let Leads::Menu(menu) = leads {
                menu.write(&format!("{id}{key}"), nodes);
            }
        }
    }

    /// Walks with the keys that `choices` choose as long as they lead to menus. Returns where it is then.
    fn walk<'m>(&'m self, line: &mut Line<'_>, choices: &[prop::sample::Index]) -> (&'m Menu, String) {
        let (mut here, mut id) = (self, "menu".to_owned());
        for choice in choices {
            let (key, leads) = here.keys.iter().nth(choice.index(here.keys.len())).unwrap();
            let Leads::Menu(next) = leads else { break };
            line.listens();
            line.press(*key);
            (here, id) = (next, format!("{id}{key}"));
        }
        (here, id)
    }
}

fn choices() -> impl Strategy<Value = Vec<prop::sample::Index>> {
    prop::collection::vec(any::<prop::sample::Index>(), 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Property 12, DTMF opt-out immediate effect: for any active call, when the recipient presses 9, the number is put
    /// on the suppression list at once, in the same step and once, and the call is terminated.
    #[test]
    fn property_12_dtmf_opt_out_immediate_effect(menu in menu(), choices in choices(), played in any::<bool>()) {
        let flow = menu.flow();
        let mut line = Line::answered(&flow, &[]);
        menu.walk(&mut line, &choices);
        if played {
            line.listens();
        }
        let press = line.press_of('9');
        let effects = line.tell(&press);
        prop_assert_eq!(opt_outs(&effects), 1);
        let over = [Effect::HangUp, Effect::Ended { ending: FlowEnding::OptedOut }];
        prop_assert_eq!(&effects[effects.len() - 2..], &over[..]);
        prop_assert!(line.session.opted_out());
        prop_assert_eq!(line.tell(&press), []);
        prop_assert_eq!(line.press('1'), [], "nothing happens after the end");
        prop_assert_eq!(opt_outs(&line.all), 1);
        prop_assert_eq!(actions(&line.all), []);
    }

    /// Property 12, the other side: where the key is switched off it means nothing, and nobody is put on the list.
    #[test]
    fn property_12_no_opt_out_where_it_is_switched_off(menu in menu(), choices in choices(), of_flow in any::<bool>()) {
        let mut flow = serde_json::to_value(menu.flow()).unwrap();
        if of_flow {
            flow["opt_out_key"] = "none".into();
        } else {
            flow["nodes"].as_array_mut().unwrap().iter_mut().for_each(|node| node["opt_out"] = false.into());
        }
        let flow = Flow::from_json(&flow.to_string()).unwrap();
        let mut line = Line::answered(&flow, &[]);
        let (_, id) = menu.walk(&mut line, &choices);
        line.listens();
        let effects = line.press('9');
        prop_assert_eq!(said(&effects), [format!("wrong at {id}")]);
        prop_assert_eq!(opt_outs(&line.all), 0);
    }

    /// Property 15, DTMF action execution: for any configured mapping, when a mapped key is pressed, its action is
    /// asked for exactly once: also when the press is told again, and when a session that was restored after a crash
    /// is told so again.
    #[test]
    fn property_15_dtmf_action_execution(
        menu in menu(),
        choices in choices(),
        chosen in any::<prop::sample::Index>(),
        repeated in 1..4,
        restored in any::<bool>(),
    ) {
        let flow = menu.flow();
        let mut line = Line::answered(&flow, &[]);
        let (here, id) = menu.walk(&mut line, &choices);
        let mapped: Vec<char> =
            here.keys.iter().filter(|(_, leads)| matches!(leads, Leads::Action)).map(|(key, _)| *key).collect();
        prop_assume!(!mapped.is_empty());
        line.listens();
        let key = mapped[chosen.index(mapped.len())];
        let press = line.press_of(key);
        let before = line.clone();
        let effects = line.tell(&press);
        let (name, done) = (format!("do {id}{key}"), actions(&effects));
        prop_assert_eq!(done.len(), 1);
        prop_assert_eq!(done[0].0, &name);
        for _ in 0..repeated {
            prop_assert_eq!(line.tell(&press), []);
        }
        if restored {
            let mut again = before;
            again.session = serde_json::from_str(&serde_json::to_string(&again.session).unwrap()).unwrap();
            let again = again.tell(&press);
            prop_assert_eq!(actions(&again), done, "the same key, so it takes effect once");
        }
        line.listens();
        prop_assert_eq!(actions(&line.all).len(), 1);
        prop_assert_eq!(line.ending(), Some(FlowEnding::Completed));
    }

    /// Property 16, invalid DTMF error handling: for any input that is not mapped in the current menu, an error message
    /// is played and the menu is repeated, as often as the menu allows.
    #[test]
    fn property_16_invalid_dtmf_error_handling(
        menu in menu(),
        choices in choices(),
        wrong in prop::collection::vec(key(), 6),
    ) {
        let flow = menu.flow();
        let mut line = Line::answered(&flow, &[]);
        let (here, id) = menu.walk(&mut line, &choices);
        let wrong: Vec<char> = wrong.into_iter().filter(|key| !here.keys.contains_key(key)).collect();
        for (times, key) in wrong.into_iter().enumerate() {
            line.listens();
            prop_assert_eq!(line.place(), id.as_str());
            let effects = line.press(key);
            prop_assert_eq!(said(&effects), [format!("wrong at {id}")]);
            let then = line.played();
            if times < usize::from(here.retries) {
                prop_assert_eq!(said(&then), [format!("prompt of {id}")], "the menu is repeated");
            } else {
                prop_assert_eq!(said(&then), ["wrong"], "it was too often");
                break;
            }
        }
        prop_assert_eq!(actions(&line.all), []);
    }

    /// Property 17, multi-level menu navigation: for any flow with menus of several levels, a sequence of keys
    /// navigates the hierarchy as the flow is configured, whether prompts are heard to their end or not.
    #[test]
    fn property_17_multi_level_menu_navigation(
        menu in menu(),
        keys in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 1..6),
    ) {
        let flow = menu.flow();
        let mut line = Line::answered(&flow, &[]);
        let (mut here, mut id) = (&menu, "menu".to_owned());
        for (choice, heard) in keys {
            prop_assert_eq!(line.place(), id.as_str());
            if heard || !here.barge_in {
                line.listens();
            }
            let (key, leads) = here.keys.iter().nth(choice.index(here.keys.len())).unwrap();
            let effects = line.press(*key);
            match leads {
                Leads::Menu(next) => {
                    (here, id) = (next, format!("{id}{key}"));
                    prop_assert_eq!(said(&effects), [format!("prompt of {id}")]);
                    prop_assert_eq!(actions(&effects), []);
                }
                Leads::Action => {
                    prop_assert_eq!(actions(&effects).len(), 1);
                    prop_assert_eq!(line.ending(), Some(FlowEnding::Completed));
                    break;
                }
            }
        }
    }

    /// Property 18, IVR timeout handling: for any session, when no input is received within the configured time, the
    /// timeout message is played, and, when it is not to be repeated, the configured action is executed.
    #[test]
    fn property_18_ivr_timeout_handling(menu in menu(), choices in choices()) {
        let flow = menu.flow();
        let mut line = Line::answered(&flow, &[]);
        let (here, id) = menu.walk(&mut line, &choices);
        for times in 0..=here.retries {
            let effects = line.listens();
            let after = effects.iter().rev().find_map(|effect| match effect {
                Effect::StartTimer { after, .. } => Some(after.as_secs()),
                _ => None,
            });
            prop_assert_eq!(after, Some(7), "the time counts from the end of the prompt");
            let effects = line.waits();
            prop_assert_eq!(said(&effects), [format!("silence at {id}")]);
            let done = actions(&effects).into_iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>();
            let last = times == here.retries;
            prop_assert_eq!(done, if last { vec![format!("silence {id}")] } else { vec![] });
            let then = if last { "silent".to_owned() } else { format!("prompt of {id}") };
            let effects = line.played();
            prop_assert_eq!(said(&effects), [then]);
        }
        prop_assert_eq!(actions(&line.all).len(), 1);
    }
}
