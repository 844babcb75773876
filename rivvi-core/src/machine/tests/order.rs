//! What holds whatever is told, in whatever order, however often and however late.

use proptest::prelude::*;
use proptest::sample::Index;

use super::fixture::{RETRIES, Scene, action, answered, at, ended, told};
use crate::domain::{CallDetail, ContactState, Currency, Disposition, Event, Money, Personal};
use crate::machine::CallFact;
use crate::provider::{Answerer, CallEvent, ProviderErrorKind};

/// What may happen to a contact and its calls.
#[derive(Debug, Clone)]
enum Happening {
    Tell(Fact),
    /// Something is told about the call before.
    TellOfPast(Fact),
    TakeOver,
    Wait(u16),
    /// The contact is due and is called again, if it waits.
    CallAgain,
}

/// A fact whose token is relative to the one that holds.
#[derive(Debug, Clone)]
enum Fact {
    Told(CallEvent, i64),
    NotPlaced(i8, ProviderErrorKind),
    NoAnswer(i8),
    NotFound(i8),
    GivenUp(i8),
}

impl Fact {
    fn of(self, token: u64) -> CallFact {
        let relative = |by: i8| token.saturating_add_signed(i64::from(by));
        match self {
            Self::Told(event, seconds) => told(event, seconds),
            Self::NotPlaced(by, kind) => CallFact::NotPlaced { token: relative(by), kind, retry_after: None },
            Self::NoAnswer(by) => super::fixture::no_answer(relative(by)),
            Self::NotFound(by) => CallFact::NotFound { token: relative(by) },
            Self::GivenUp(by) => CallFact::GivenUp { token: relative(by) },
        }
    }
}

fn answerer() -> impl Strategy<Value = Answerer> {
    prop::sample::select(vec![Answerer::Human, Answerer::Machine, Answerer::Unknown])
}

fn disposition() -> impl Strategy<Value = Disposition> {
    prop::sample::select(Disposition::ALL.to_vec())
}

fn event() -> impl Strategy<Value = CallEvent> {
    let detail = |reason: String| CallDetail { provider_reason: Some(reason), ..CallDetail::default() };
    prop_oneof![
        prop::option::of("[ab]").prop_map(|reference| CallEvent::Accepted { reference }),
        Just(CallEvent::Ringing),
        answerer().prop_map(answered),
        "[ab]".prop_map(|key| action(&key)),
        Just(CallEvent::OptOut),
        (-100..100_000_i64).prop_map(|seconds| CallEvent::Callback { at: at(seconds) }),
        disposition().prop_map(ended),
        "[ab]".prop_map(move |reason| CallEvent::Enriched { detail: Box::new(detail(reason)) }),
    ]
}

fn fact() -> impl Strategy<Value = Fact> {
    let token = || prop::sample::select(vec![-1_i8, 0, 0, 0, 1]);
    let kinds =
        vec![ProviderErrorKind::Timeout, ProviderErrorKind::RateLimited, ProviderErrorKind::InvalidNumber];
    prop_oneof![
        8 => (event(), -100..10_000_i64).prop_map(|(event, at)| Fact::Told(event, at)),
        1 => (token(), prop::sample::select(kinds)).prop_map(|(token, kind)| Fact::NotPlaced(token, kind)),
        1 => token().prop_map(Fact::NoAnswer),
        1 => token().prop_map(Fact::NotFound),
        1 => token().prop_map(Fact::GivenUp),
    ]
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        8 => fact().prop_map(Happening::Tell),
        2 => fact().prop_map(Happening::TellOfPast),
        1 => Just(Happening::TakeOver),
        2 => any::<u16>().prop_map(Happening::Wait),
        3 => Just(Happening::CallAgain),
    ]
}

fn campaign() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["", "run.end_after = '10h'", "[[windows]]\nfrom = '08:00'\nto = '13:00'"])
        .prop_map(|toml| format!("{toml}\n{RETRIES}"))
}

/// Lets things happen; [`Scene`] checks every change on the way. `told` sees each fact that is told.
fn let_happen(scene: &mut Scene, happenings: Vec<Happening>, mut told: impl FnMut(&mut Scene, CallFact)) {
    for (index, happening) in happenings.into_iter().enumerate() {
        match happening {
            Happening::Tell(fact) => {
                let fact = fact.of(scene.call.lease.token);
                told(scene, fact);
            }
            Happening::TellOfPast(fact) => {
                let token = scene.past.last().map_or(1, |call| call.lease.token);
                scene.tell_of_past(fact.of(token));
            }
            Happening::TakeOver => scene.call.lease.token += 1,
            Happening::Wait(seconds) => scene.now += chrono::TimeDelta::seconds(i64::from(seconds)),
            Happening::CallAgain => {
                if let ContactState::Waiting { due_at } = scene.state() {
                    scene.now = scene.now.max(due_at);
                    scene.call_again(1_000 + index as u128);
                }
            }
        }
    }
}

/// Everything a provider may tell about one call, with one end, so that nothing contradicts itself.
fn one_call() -> impl Strategy<Value = Vec<(CallEvent, i64)>> {
    let cost =
        CallDetail { cost: Some(Money { micros: 12_000, currency: Currency::USD }), ..CallDetail::default() };
    let recording = CallDetail {
        recording_url: Some(Personal::new("https://example.com/1".into())),
        provider_reason: Some("analysed".into()),
        ..CallDetail::default()
    };
    let before_the_end = vec![
        CallEvent::Accepted { reference: Some("ref".into()) },
        CallEvent::Ringing,
        answered(Answerer::Unknown),
        answered(Answerer::Human),
        answered(Answerer::Machine),
        action("1"),
        action("2"),
        CallEvent::OptOut,
        CallEvent::Callback { at: at(50_000) },
        CallEvent::Callback { at: at(40_000) },
        CallEvent::Enriched { detail: Box::new(cost) },
        CallEvent::Enriched { detail: Box::new(recording) },
    ];
    let length = before_the_end.len();
    let events = prop::sample::subsequence(before_the_end, 0..=length);
    (events, disposition(), prop::collection::vec(1..90_i64, length)).prop_map(|(events, end, times)| {
        let rang = |event: &CallEvent| matches!(event, CallEvent::Ringing | CallEvent::Answered { .. });
        let told = events.into_iter().filter(|event| end != Disposition::NotPlaced || !rang(event));
        let end = CallEvent::Ended { disposition: end, reason: Some("bye".into()), talk_time: None };
        told.zip(times).chain([(end, 95)]).collect()
    })
}

/// The call as told in an order in which who answered and callbacks come before the end.
fn hear(mut order: Vec<(CallEvent, i64)>, end_at: Index) -> Scene {
    let is_end = |event: &CallEvent| matches!(event, CallEvent::Ended { .. });
    let decisive =
        |event: &CallEvent| matches!(event, CallEvent::Answered { .. } | CallEvent::Callback { .. });
    let end = order.iter().find(|(event, _)| is_end(event)).cloned().unwrap();
    order.retain(|(event, _)| !is_end(event));
    let first = order.iter().rposition(|(event, _)| decisive(event)).map_or(0, |place| place + 1);
    order.insert(first + end_at.index(order.len() - first + 1), end.clone());
    order.push(end);
    let mut scene = Scene::new(RETRIES).at(100);
    for (event, seconds) in order {
        scene.tell(told(event, seconds));
    }
    scene
}

/// Two orders of the same events, each event at least once.
fn two_orders() -> impl Strategy<Value = [(Vec<(CallEvent, i64)>, Index); 2]> {
    one_call().prop_flat_map(|events| {
        let order = || {
            let again = prop::sample::subsequence(events.clone(), 0..=events.len());
            let all = events.clone();
            let all = again.prop_map(move |again| [all.clone(), again].concat()).prop_shuffle();
            (all, any::<Index>())
        };
        [order(), order()]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// P5, P7: a call gets at most one disposition and keeps it, a contact at most one outcome and keeps it, and the
    /// journal tells each change, in step and without gaps. A call without news can always be given up.
    #[test]
    fn whatever_happens_each_call_and_each_contact_end_once(
        campaign in campaign(),
        happenings in prop::collection::vec(happening(), 0..60),
    ) {
        let mut scene = Scene::new(&campaign);
        let_happen(&mut scene, happenings, |scene, fact| { scene.tell(fact); });
        scene.tell(CallFact::GivenUp { token: scene.call.lease.token });
        prop_assert!(!scene.call.is_live());
        let calling = matches!(scene.state(), ContactState::Calling { .. });
        prop_assert!(!calling, "a contact without a live call waits or is settled");

        for call in scene.past.iter().chain([&scene.call]) {
            let ends = scene.journal.iter().filter_map(|event| match event {
                Event::CallEnded { call_id, disposition, .. } if *call_id == call.id => Some(*disposition),
                _ => None,
            });
            prop_assert_eq!(ends.collect::<Vec<_>>(), Vec::from_iter(call.disposition()));
            let counts = call.disposition().is_some_and(Disposition::is_attempt);
            prop_assert_eq!(scene.attempts.contains(&call.id), counts);
        }
        let settled = scene.journal.iter().filter(|event| matches!(event, Event::ContactSettled { .. })).count();
        prop_assert_eq!(settled as u64, scene.tally.settled());
        prop_assert_eq!(scene.journal.len() as u64, scene.contact.status.sequence);
        let calls = scene.past.len() as u64 + 1;
        prop_assert_eq!(scene.tally.dispositions.values().sum::<u64>(), calls);
    }

    /// P4: a fact that is told again, at once, tells nothing new.
    #[test]
    fn telling_a_fact_twice_is_telling_it_once(
        campaign in campaign(),
        happenings in prop::collection::vec(happening(), 0..40),
    ) {
        let mut scene = Scene::new(&campaign);
        let_happen(&mut scene, happenings, |scene, fact| {
            scene.tell(fact.clone());
            assert_eq!(scene.ask(fact), None);
        });
    }

    /// P4: what a provider tells about one call leads to the same call, the same contact and the same effects in
    /// every order, with any repetitions, as long as it does not contradict itself and says who answered and when to
    /// call back before it says that the call is over.
    #[test]
    fn the_order_of_what_a_provider_tells_does_not_matter([one, two] in two_orders()) {
        let (one, two) = (hear(one.0, one.1), hear(two.0, two.1));
        prop_assert_eq!(&one.call, &two.call);
        let mut status = two.contact.status.clone();
        status.sequence = one.contact.status.sequence;
        prop_assert_eq!(&one.contact.status, &status);
        prop_assert_eq!((one.outbox.len(), &one.suppressed), (two.outbox.len(), &two.suppressed));
        prop_assert_eq!((&one.attempts, &one.tally), (&two.attempts, &two.tally));
    }

    /// P2: while a request may have had its effect, no fact about another request lets the contact be called again;
    /// what the provider tells, a lookup and giving up do.
    #[test]
    fn a_call_that_may_have_gone_out_keeps_its_contact(
        lost in any::<bool>(),
        holders in 1..5_u64,
        kinds in prop::collection::vec(0..2_u8, 1..10),
    ) {
        let mut scene = Scene::new(RETRIES);
        if lost {
            scene.tell(super::fixture::no_answer(1));
        }
        scene.call.lease.token += holders;
        for kind in kinds {
            let token = scene.call.lease.token;
            let fact = if kind == 0 { super::fixture::not_placed(token) } else { super::fixture::no_answer(token) };
            scene.tell(fact);
            prop_assert_eq!(scene.state(), ContactState::Calling { call_id: scene.call.id });
        }
    }
}
