//! Pictures of a sample, as golden files.

use super::line::Line;
use super::samples::{DONATION, INFORMATION};
use crate::flow::{Flow, FlowEnding, Traffic};

/// Compares with a golden file. With `RIVVI_BLESS` set, writes the file instead, to be looked at and committed.
fn assert_golden(name: &str, picture: &str) {
    let path = format!("{}/src/flow/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("RIVVI_BLESS").is_some() {
        std::fs::write(&path, picture).unwrap();
    }
    assert_eq!(picture, std::fs::read_to_string(&path).unwrap(), "{path}");
}

#[test]
fn a_sample_is_drawn() {
    let flow = Flow::from_toml(DONATION).unwrap();
    assert_golden("donation.mmd", &flow.to_mermaid(None));
    assert_golden("donation.dot", &flow.to_dot(None));
}

#[test]
fn the_guide_shows_that_picture() {
    let guide = format!("{}/../docs/flows.md", env!("CARGO_MANIFEST_DIR"));
    let picture = Flow::from_toml(DONATION).unwrap().to_mermaid(None);
    let shown = std::fs::read_to_string(guide).unwrap().contains(&format!("```mermaid\n{picture}```"));
    assert!(shown, "docs/flows.md should show\n{picture}");
}

#[test]
fn the_path_of_a_call_is_drawn() {
    let flow = Flow::from_json(INFORMATION).unwrap();
    let mut line = Line::answered(&flow, &[]);
    for key in ['2', '2', '1'] {
        line.listens();
        line.press(key);
    }
    line.listens();
    let traffic = Traffic::of_call(&line.session);
    assert_golden("information_call.mmd", &flow.to_mermaid(Some(&traffic)));
    assert_golden("information_call.dot", &flow.to_dot(Some(&traffic)));
}

#[test]
fn the_counts_of_a_run_are_drawn() {
    let flow = Flow::from_toml(DONATION).unwrap();
    let mut run = Traffic::default();
    for key in ['1', '1', '2', '9', '5'] {
        let mut line = Line::answered(&flow, &[]);
        line.listens();
        line.press(key);
        line.listens();
        run.add(&line.session);
    }
    let ask = flow.nodes().nth(1).unwrap();
    assert_eq!(run.visits(&ask), 5);
    assert_eq!(run.endings()[&FlowEnding::Completed], 3);
    assert_eq!(run.endings()[&FlowEnding::OptedOut], 1);
    let picture = flow.to_mermaid(Some(&run));
    for part in ["<br/>×5\"}}", "|\"1: trigger_donation + send_sms ×2\"|", "linkStyle", "class start,"] {
        assert!(picture.contains(part), "{part}\n{picture}");
    }
}

#[test]
fn texts_cannot_break_the_picture() {
    let flow = Flow::from_json(
        r#"{"start": "a\"]", "nodes": [{"id": "a\"]", "type": "say", "text": "<b>\" #1 & `x` \\ \n end"}]}"#,
    )
    .unwrap();
    let mermaid = flow.to_mermaid(None);
    assert!(
        mermaid.contains("[\"a#quot;]<br/>say<br/>#lt;b#gt;#quot; #35;1 #amp; 'x' \\ end\"]"),
        "{mermaid}"
    );
    assert!(
        flow.to_dot(None).contains(r##"label="a\"]\nsay\n<b>\" #1 & `x` \\ end""##),
        "{}",
        flow.to_dot(None)
    );
}
