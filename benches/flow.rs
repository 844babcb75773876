//! One step of the flow interpreter.
//!
//! `cargo bench -p rivvi-benches --bench flow`

#![allow(clippy::unwrap_used, clippy::panic, reason = "a bench stops at the first error")]

use std::collections::BTreeMap;
use std::hint::black_box;

use chrono::{DateTime, Utc};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use rivvi_core::flow::{Effect, Flow, Input, Key, Session, step};

const DONATION: &str = include_str!("../examples/data/flows/donation.toml");

/// A session to which this happened, and what is to happen next.
struct Scene {
    flow: Flow,
    session: Session,
    input: Input,
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_772_438_400, 0).unwrap()
}

fn new_session() -> Session {
    let known =
        [("first_name", "Dana"), ("phone", "+972521234567"), ("donation_link", "https://example.org/g")];
    Session::new(
        known
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into_iter()
            .collect::<BTreeMap<_, _>>(),
    )
}

fn key(sign: char) -> Input {
    Input::Digit { id: sign.to_string(), key: Key::new(sign).unwrap() }
}

/// The input that ends the prompt that the effects begin.
fn played(effects: &[Effect]) -> Input {
    let token = effects.iter().find_map(|effect| match effect {
        Effect::Say { token, .. } | Effect::Play { token, .. } => Some(*token),
        _ => None,
    });
    Input::PlaybackFinished { token: token.unwrap() }
}

/// The menu of the flow, with its prompt under way.
fn at_menu(flow: &Flow) -> (Session, Vec<Effect>) {
    let (session, effects) = step(flow, new_session(), &Input::Start, now());
    step(flow, session, &played(&effects), now())
}

fn flow(criterion: &mut Criterion) {
    let flow = Flow::from_toml(DONATION).unwrap();
    let (menu, effects) = at_menu(&flow);
    let (waiting, _) = step(&flow, menu.clone(), &played(&effects), now());
    let (pressed, _) = step(&flow, waiting.clone(), &key('1'), now());
    let scene = |session: &Session, input| Scene { flow: flow.clone(), session: session.clone(), input };
    let scenes = [
        ("start", scene(&new_session(), Input::Start)),
        ("prompt over", scene(&menu, played(&effects))),
        ("key with two actions", scene(&waiting, key('1'))),
        ("key interrupts", scene(&menu, key('1'))),
        ("wrong key", scene(&waiting, key('5'))),
        ("opt out", scene(&waiting, key('9'))),
        ("told twice", scene(&pressed, key('1'))),
        ("hung up", scene(&waiting, Input::HungUp)),
    ];
    let mut group = criterion.benchmark_group("flow");
    for (name, Scene { flow, session, input }) in &scenes {
        group.bench_function(*name, |bencher| {
            // The session is made anew for each step, outside of what is measured.
            bencher.iter_batched(
                || session.clone(),
                |session| step(black_box(flow), session, black_box(input), now()),
                BatchSize::SmallInput,
            );
        });
    }
    group.bench_function("session written and read", |bencher| {
        bencher.iter(|| {
            let json = serde_json::to_vec(black_box(&waiting)).unwrap();
            serde_json::from_slice::<Session>(&json).unwrap()
        });
    });
    group.finish();
}

criterion_group!(benches, flow);
criterion_main!(benches);
