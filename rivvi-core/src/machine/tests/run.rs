//! Every state of a run under every input.

use chrono::TimeDelta;

use super::fixture::{at, draft, report};
use crate::domain::{Ending, Event, Run, RunState, RunTally};
use crate::machine::{RunInput, step_run};
use crate::storage::{RunChange, RunFacts, StorageError, StorageErrorKind};

/// What each input does in each state: `-` changes nothing, `x` is refused. The end time has come, no contact is left
/// and the organization has a place free.
const TABLE: &str = "
           | begin_import | finish_import | fail_import | schedule  | start  | pause  | resume | cancel     | check_end  | check_settled | finish    | store_files | remove_processed
draft      | processing   | x             | failed      | x         | x      | x      | x      | completing | -          | -             | x         | x           | x
processing | -            | ready         | failed      | x         | x      | x      | x      | completing | -          | -             | x         | processing  | x
ready      | x            | -             | x           | scheduled | active | x      | x      | completing | -          | -             | x         | x           | x
scheduled  | x            | x             | x           | scheduled | active | x      | x      | completing | -          | -             | x         | x           | x
active     | x            | x             | x           | x         | -      | paused | -      | completing | completing | completing    | x         | x           | x
paused     | x            | x             | x           | x         | x      | -      | active | completing | completing | completing    | x         | x           | x
completing | x            | x             | x           | x         | x      | x      | x      | x          | -          | -             | completed | x           | x
completed  | x            | x             | x           | x         | x      | x      | x      | x          | -          | -             | -         | x           | -
cancelled  | x            | x             | x           | x         | x      | x      | x      | -          | -          | -             | -         | x           | -
failed     | processing   | x             | -           | x         | x      | x      | x      | completing | -          | -             | x         | x           | x
";

pub(super) const INPUTS: [&str; 13] = [
    "begin_import",
    "finish_import",
    "fail_import",
    "schedule",
    "start",
    "pause",
    "resume",
    "cancel",
    "check_end",
    "check_settled",
    "finish",
    "store_files",
    "remove_processed",
];

pub(super) fn input(name: &str) -> RunInput {
    match name {
        "begin_import" => RunInput::BeginImport,
        "finish_import" => RunInput::FinishImport(report()),
        "fail_import" => RunInput::FailImport { reason: "unreadable".into() },
        "schedule" => RunInput::Schedule(at(7_200)),
        "start" => RunInput::Start { active_runs_max: 1 },
        "pause" => RunInput::Pause { reason: "lunch".into() },
        "resume" => RunInput::Resume,
        "cancel" => RunInput::Cancel,
        "check_end" => RunInput::CheckEnd,
        "check_settled" => RunInput::CheckSettled,
        "finish" => RunInput::Finish,
        "store_files" => RunInput::StoreFiles {
            raw_file: Some("raw-uploads/1.csv".into()),
            processed_file: Some("processed-data/data.json".into()),
        },
        "remove_processed" => RunInput::RemoveProcessed,
        other => panic!("no input {other}"),
    }
}

/// A run as it is in a state: active ones end at noon.
pub(super) fn run(state: RunState) -> Run {
    let mut run = draft("run.end_after = '1h'");
    run.state = state;
    if !matches!(state, RunState::Draft | RunState::Processing | RunState::Failed) {
        run.report = Some(report());
    }
    if state == RunState::Scheduled {
        run.start_at = Some(at(3_600));
    }
    if matches!(state, RunState::Active | RunState::Paused | RunState::Completing | RunState::Completed) {
        run.started_at = Some(at(-3_600));
        run.ends_at = Some(at(0));
    }
    run.ending = match state {
        RunState::Completing | RunState::Completed => Some(Ending::EndTime),
        RunState::Cancelled => Some(Ending::Cancelled),
        _ => None,
    };
    run
}

fn step(run: &Run, input: &RunInput) -> Result<RunChange, StorageError> {
    step_run(run, &RunFacts::default(), input, at(0))
}

fn with(waiting: u64, calling: u64, others_running: u32) -> RunFacts {
    RunFacts { others_running, tally: RunTally { waiting, calling, ..RunTally::default() } }
}

#[track_caller]
fn assert_refused(result: Result<RunChange, StorageError>, says: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::Refused);
    assert!(error.to_string().contains(says), "{error}");
}

#[test]
fn every_input_in_every_state_does_what_the_table_says() {
    let mut lines =
        TABLE.trim_matches('\n').lines().map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    assert_eq!(lines.next().unwrap()[1..], INPUTS);
    for (state, line) in RunState::ALL.into_iter().zip(lines) {
        assert_eq!(line[0], state.name());
        for (name, cell) in INPUTS.into_iter().zip(&line[1..]) {
            let run = run(state);
            let result = step(&run, &input(name));
            match *cell {
                "x" => assert_refused(result, state.name()),
                "-" => {
                    let change = result.unwrap();
                    assert_eq!((change.run, change.events), (run, Vec::new()), "{name} in {state}");
                }
                expected => {
                    let change = result.unwrap();
                    assert_eq!(change.run.state.name(), expected, "{name} in {state}");
                    assert_eq!(change.run.sequence, run.sequence + 1);
                    let [Event::RunChanged { from, to, .. }] = change.events[..] else { panic!("{name}") };
                    assert_eq!((from, to), (state, change.run.state), "{name} in {state}");
                }
            }
        }
    }
}

/// An input may come again after an error whose effect is not known: it then finds what it did.
#[test]
fn an_input_that_took_effect_may_be_repeated() {
    for state in RunState::ALL {
        for name in INPUTS {
            let Ok(change) = step(&run(state), &input(name)) else { continue };
            let again = step(&change.run, &input(name)).unwrap();
            assert_eq!((again.run, again.events.len()), (change.run, 0), "{name} in {state}");
        }
    }
}

#[test]
fn an_import_goes_on_after_an_interruption_and_after_a_failure() {
    let failed = step(&run(RunState::Processing), &input("fail_import")).unwrap();
    assert_eq!(failed.run.finished_at, Some(at(0)));
    let [Event::RunChanged { reason, .. }] = &failed.events[..] else { panic!() };
    assert_eq!(reason.as_deref(), Some("unreadable"));
    let again = step(&failed.run, &RunInput::BeginImport).unwrap().run;
    assert_eq!((again.state, again.finished_at), (RunState::Processing, None));
    let again = step(&again, &RunInput::BeginImport).unwrap().run;
    let ready = step(&again, &RunInput::FinishImport(report())).unwrap().run;
    assert_eq!((ready.state, ready.report), (RunState::Ready, Some(report())));
}

#[test]
fn another_report_of_a_run_that_is_ready_is_refused() {
    let mut other = report().as_ref().clone();
    other.rows = 2;
    assert_refused(step(&run(RunState::Ready), &RunInput::FinishImport(other.into())), "ready");
}

#[test]
fn a_start_time_is_kept_and_journaled_each_time_it_changes() {
    let reason = |change: &RunChange| match &change.events[..] {
        [Event::RunChanged { reason, .. }] => reason.clone(),
        events => panic!("{events:?}"),
    };
    let first = step(&run(RunState::Ready), &RunInput::Schedule(at(3_600))).unwrap();
    assert_eq!(first.run.start_at, Some(at(3_600)));
    assert_eq!(reason(&first).as_deref(), Some("to start at 2026-05-04T13:00:00Z"));
    let second = step(&first.run, &RunInput::Schedule(at(7_200))).unwrap();
    assert_eq!((second.run.start_at, second.run.sequence), (Some(at(7_200)), 2));
    assert_eq!(reason(&second).as_deref(), Some("to start at 2026-05-04T14:00:00Z"));
    // An instant in the past is one at which it should have started: it starts with the next look at it.
    let past = step(&second.run, &RunInput::Schedule(at(-60))).unwrap();
    assert_eq!((past.run.state, past.run.start_at), (RunState::Scheduled, Some(at(-60))));
}

#[test]
fn the_end_is_fixed_at_the_start() {
    for (toml, ends_at) in [
        ("", None),
        ("run.end_after = '5d'", Some(at(0) + TimeDelta::days(5))),
        ("run.end = '2026-12-01T00:00:00Z'", Some("2026-12-01T00:00:00Z".parse().unwrap())),
    ] {
        let mut ready = draft(toml);
        ready.state = RunState::Ready;
        let started = step(&ready, &input("start")).unwrap().run;
        assert_eq!((started.started_at, started.ends_at), (Some(at(0)), ends_at), "{toml}");
        let mut run = started;
        for (seconds, name) in [(10, "pause"), (20, "resume"), (30, "start")] {
            run = step_run(&run, &RunFacts::default(), &input(name), at(seconds)).unwrap().run;
        }
        assert_eq!((run.started_at, run.ends_at), (Some(at(0)), ends_at), "{toml}");
    }
}

#[test]
fn a_run_starts_only_if_the_organization_has_a_place() {
    for (others, max, starts) in [(0, 1, true), (1, 1, false), (1, 2, true), (0, 0, false)] {
        let input = RunInput::Start { active_runs_max: max };
        let result = step_run(&run(RunState::Ready), &with(9, 0, others), &input, at(0));
        if starts {
            assert_eq!(result.unwrap().run.state, RunState::Active);
        } else {
            assert_refused(result, &format!("may have {max}"));
        }
    }
}

#[test]
fn a_run_ends_at_its_time_and_not_before_also_while_paused() {
    for state in [RunState::Active, RunState::Paused] {
        let run = run(state);
        let early = step_run(&run, &with(5, 1, 0), &RunInput::CheckEnd, at(-1)).unwrap();
        assert_eq!((early.run, early.events.len()), (run.clone(), 0));
        let change = step_run(&run, &with(5, 1, 0), &RunInput::CheckEnd, at(0)).unwrap();
        assert_eq!((change.run.state, change.run.ending), (RunState::Completing, Some(Ending::EndTime)));
        assert_eq!(change.run.completing_since, Some(at(0)));
    }
    let mut endless = run(RunState::Active);
    endless.ends_at = None;
    assert_eq!(step(&endless, &RunInput::CheckEnd).unwrap().run, endless);
}

#[test]
fn a_run_is_settled_when_no_contact_is_left() {
    for (waiting, calling, done) in [(0, 0, true), (1, 0, false), (0, 1, false)] {
        let facts = with(waiting, calling, 0);
        let change = step_run(&run(RunState::Active), &facts, &RunInput::CheckSettled, at(0)).unwrap();
        assert_eq!(change.run.state == RunState::Completing, done);
        assert_eq!(change.run.ending, done.then_some(Ending::Settled));

        let finished = step_run(&run(RunState::Completing), &facts, &RunInput::Finish, at(0));
        if done {
            let run = finished.unwrap().run;
            assert_eq!((run.state, run.finished_at), (RunState::Completed, Some(at(0))));
        } else {
            assert_refused(finished, "contacts are still waiting");
        }
    }
}

#[test]
fn a_cancelled_run_ends_as_cancelled_from_every_state_in_which_it_can_be() {
    use RunState::{Active, Draft, Paused, Processing, Ready, Scheduled};
    for state in [Draft, Processing, Ready, Scheduled, Active, Paused] {
        let cancelled = step_run(&run(state), &with(3, 2, 0), &RunInput::Cancel, at(0)).unwrap().run;
        assert_eq!((cancelled.state, cancelled.ending), (RunState::Completing, Some(Ending::Cancelled)));
        assert_eq!(cancelled.completing_since, Some(at(0)));
        assert_refused(step(&cancelled, &input("start")), "completing");
        let over = step(&cancelled, &RunInput::Finish).unwrap().run;
        assert_eq!((over.state, over.finished_at), (RunState::Cancelled, Some(at(0))));
    }
}

#[test]
fn a_run_whose_contacts_wait_in_blobs_starts_with_all_of_them() {
    let stored = step(&run(RunState::Processing), &input("store_files")).unwrap();
    let [Event::RunChanged { reason, .. }] = &stored.events[..] else { panic!() };
    assert_eq!(reason.as_deref(), Some("the sheet lies at raw-uploads/1.csv"));
    assert_eq!(stored.run.waits_in_blobs(), None, "nothing is counted yet");
    let ready = step(&stored.run, &input("finish_import")).unwrap().run;
    let imported = report().imported;
    assert_eq!(ready.waits_in_blobs().map(|report| report.imported), Some(imported));
    for contacts in [0, imported - 1, imported + 1] {
        let error = step_run(&ready, &with(contacts, 0, 0), &input("start"), at(0)).unwrap_err();
        assert_eq!(error.kind, StorageErrorKind::Corrupt);
        assert!(error.to_string().contains(&format!("has {contacts} contacts")), "{error}");
    }
    let active = step_run(&ready, &with(imported, 0, 0), &input("start"), at(0)).unwrap().run;
    assert_eq!((active.state, active.waits_in_blobs()), (RunState::Active, None));
    // A place among the active runs is asked for first: without one, nothing need be loaded.
    assert_refused(step_run(&ready, &with(0, 0, 1), &input("start"), at(0)), "may have 1");
}

#[test]
fn the_processed_file_is_forgotten_once_and_in_the_journal() {
    let mut over = run(RunState::Completed);
    over.processed_file = Some("processed-data/data.json".into());
    let change = step(&over, &RunInput::RemoveProcessed).unwrap();
    assert_eq!((change.run.processed_file.clone(), change.events.len()), (None, 1));
    assert_eq!(step(&change.run, &RunInput::RemoveProcessed).unwrap().events.len(), 0);
}
