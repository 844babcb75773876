//! The example for text messages as its user sees it, against far sides that are not there.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first error")]

mod far;
mod inputs;
mod process;
#[path = "../support/mod.rs"]
mod support;

use far::{Far, PUBLIC, SECRET, TWILIO_SID, Webhook, browse, pause};
use process::{CAMPAIGN, assert_silent, end_of, folder, free_address, result_of, start, start_with, write};
#[cfg(unix)]
use process::{interrupt, until_listening};
use rivvi::testkit::http::HttpFault;
use serde_json::{Value, json};
use support::stderr;

const VONAGE: &str = "/sms/json";

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_written_to_once_and_those_who_follow_links_are_counted() {
    let (folder, far, listen) = (folder(), Far::start().await, free_address());
    let links = CAMPAIGN.replace("tomorrow.", "tomorrow: {{ links.map }}");
    let links = format!("{links}\n[links]\nmap = \"https://clinic.example/map\"\n");
    write(folder.path(), "campaign.toml", &links);
    let base = format!("http://{listen}/go/");
    let more = ["--short-links", &base, "--short-links-secret", "0123456789abcdef"];
    let child = start(folder.path(), &far, listen, &more);
    let messages = far.until_taken(3).await;
    assert!(messages.iter().all(|message| message.from == "97231234567"));
    let dana = far.to("972522000001");
    let link = dana.text.strip_prefix(&format!("Dear Dana, see you tomorrow: http://{listen}")).unwrap();
    let (status, answer) = browse(listen, link).await;
    assert_eq!(status, 302);
    assert!(answer.contains("location: https://clinic.example/map\r\n"), "{answer}");
    for nothing in ["/", "/go/", "/go/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "/שלום"] {
        assert_eq!(browse(listen, nothing).await.0, 404, "{nothing}");
    }
    let forged = Webhook::vonage(&[("status", "delivered"), ("client-ref", &dana.id)], "another secret");
    assert_eq!(forged.send(listen).await, 401);
    for message in &messages {
        for _ in 0..2 {
            assert_eq!(Webhook::receipt(message, "delivered", "0").send(listen).await, 204);
        }
    }
    let result = result_of(child).await;
    assert_eq!((&result["status"], &result["contacts"]["completed"]), (&json!("completed"), &json!(3)));
    let counts = [("sent", 3), ("parts", 3), ("delivered", 3), ("failed", 0), ("replies", 0), ("clicks", 1)];
    for (name, count) in counts {
        assert_eq!(result["messages"][name], count, "{name} in {result}");
    }
    assert_eq!(far.taken().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn landlines_are_not_written_to_and_failures_are_told_apart() {
    let (folder, far, listen) = (folder(), Far::start().await, free_address());
    let people = "first name,phone\nDana,+972522000001\nNoa,+972522000002\nGil,+972522000003\nLia,+97236171234\n\
        Ido,+972522000009\n";
    write(folder.path(), "people.csv", people);
    let child = start(folder.path(), &far, listen, &[]);
    far.until_taken(3).await;
    for (number, status, code) in [
        ("972522000001", "delivered", "0"),
        ("972522000002", "failed", "11"),
        ("972522000003", "failed", "1"),
    ] {
        assert_eq!(Webhook::receipt(&far.to(number), status, code).send(listen).await, 204);
    }
    let output = end_of(child).await;
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("1 imported numbers are landlines"), "{}", stderr(&output));
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    let outcomes = ["completed", "excluded", "exhausted"].map(|outcome| result["contacts"][outcome].clone());
    assert_eq!(outcomes, [1, 3, 1], "{result}");
    assert_eq!((&result["messages"]["delivered"], &result["messages"]["sent"]), (&json!(1), &json!(3)));
    assert_silent(&output);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_answers_stop_gets_one_confirmation_and_nothing_more() {
    let (folder, far, listen) = (folder(), Far::start().await, free_address());
    let child = start(folder.path(), &far, listen, &["--organization", "South Clinic"]);
    far.until_taken(3).await;
    let (dana, noa, gil) = (far.to("972522000001"), far.to("972522000002"), far.to("972522000003"));
    assert_eq!(Webhook::receipt(&dana, "delivered", "0").send(listen).await, 204);
    for id in ["in-1", "in-1", "in-2"] {
        assert_eq!(Webhook::inbound(id, "972522000001", "Stop!").send(listen).await, 204);
    }
    assert_eq!(Webhook::inbound("in-3", "972522000002", "Thank you").send(listen).await, 204);
    let confirmation = far.until_taken(4).await.pop().unwrap();
    assert_eq!((confirmation.to, confirmation.from), (dana.to, dana.from));
    assert_eq!(confirmation.text, "South Clinic: you will get no more messages or calls from us.");
    for message in [noa, gil] {
        assert_eq!(Webhook::receipt(&message, "delivered", "0").send(listen).await, 204);
    }
    let result = result_of(child).await;
    assert_eq!((&result["contacts"]["completed"], &result["messages"]["replies"]), (&json!(3), &json!(3)));
    assert_eq!(far.taken().len(), 4, "one confirmation");

    write(folder.path(), "more.csv", "first name,phone\nDana,+972522000001\nTal,+972522000004\n");
    let child = start(folder.path(), &far, listen, &["--contacts", "more.csv"]);
    far.until_taken(5).await;
    assert_eq!(Webhook::receipt(&far.to("972522000004"), "delivered", "0").send(listen).await, 204);
    let result = result_of(child).await;
    assert_eq!((&result["suppressed"], &result["contacts"]["completed"]), (&json!(1), &json!(1)));
    assert_eq!(far.taken().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_whose_answers_are_lost_wait_for_their_receipts_and_are_not_sent_again() {
    let (folder, far, listen) = (folder(), Far::start().await, free_address());
    for fault in [HttpFault::CutAfterRequest, HttpFault::CutWithinAnswer] {
        far.side.fail_next(VONAGE, fault);
    }
    let child = start(folder.path(), &far, listen, &[]);
    let messages = far.until_taken(3).await;
    // Longer than the engine waits before it looks after them.
    pause(7_000).await;
    assert_eq!(far.taken().len(), 3);
    for message in &messages {
        assert_eq!(Webhook::receipt(message, "delivered", "0").send(listen).await, 204);
    }
    assert_eq!(result_of(child).await["contacts"]["completed"], 3);
    assert_eq!(far.taken().len(), 3);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_run_goes_on_without_writing_to_anybody_twice() {
    let (folder, far, listen) = (folder(), Far::start().await, free_address());
    far.side.fail_next(VONAGE, HttpFault::CutAfterRequest);
    let child = start(folder.path(), &far, listen, &[]);
    let messages = far.until_taken(3).await;
    assert_eq!(Webhook::receipt(&messages[1], "delivered", "0").send(listen).await, 204);
    pause(500).await;
    interrupt(&child);
    let output = end_of(child).await;
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert!(stderr(&output).contains("--db run.db"), "{}", stderr(&output));
    assert_silent(&output);
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&result["status"], &result["contacts"]["completed"]), (&json!("active"), &json!(1)));

    let child = start(folder.path(), &far, listen, &[]);
    until_listening(listen).await;
    for message in [&messages[0], &messages[2]] {
        assert_eq!(Webhook::receipt(message, "delivered", "0").send(listen).await, 204);
    }
    assert_eq!(result_of(child).await["contacts"]["completed"], 3);
    // Once more, for those who do not read.
    assert_eq!(result_of(start(folder.path(), &far, listen, &[])).await["contacts"]["completed"], 3);
    assert_eq!(far.taken().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_refused_ends_the_program_with_what_to_do() {
    let (folder, far) = (folder(), Far::start().await);
    let child = start(folder.path(), &far, free_address(), &["--api-secret", "s3cret_wrong"]);
    let output = end_of(child).await;
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("vonage: the credentials were refused"), "{}", stderr(&output));
    assert!(!stderr(&output).contains("s3cret_wrong"));
    // With the right secret it goes on.
    let listen = free_address();
    let child = start(folder.path(), &far, listen, &[]);
    for message in far.until_taken(3).await {
        assert_eq!(Webhook::receipt(&message, "delivered", "0").send(listen).await, 204);
    }
    assert_eq!(result_of(child).await["contacts"]["completed"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn vonages_other_interface_is_spoken() {
    let (folder, far, listen) = (folder(), Far::start().await, free_address());
    let child = start(folder.path(), &far, listen, &["--provider", "vonage-messages"]);
    for message in far.until_taken(3).await {
        assert_eq!(Webhook::messages_receipt(&message, "delivered").send(listen).await, 204);
    }
    assert_eq!(result_of(child).await["contacts"]["completed"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn twilio_is_spoken() {
    let (folder, far, listen) = (folder(), Far::start().await, free_address());
    let url = far.side.url();
    let account = ["--provider", "twilio", "--account-sid", TWILIO_SID, "--auth-token", SECRET];
    let more = ["--base-url", &url, "--webhook-url", PUBLIC];
    let child = start_with(folder.path(), listen, &[&account[..], &more].concat());
    for message in far.until_taken(3).await {
        assert_eq!(Webhook::twilio_receipt(&message, "delivered").send(listen).await, 204);
    }
    assert_eq!(result_of(child).await["contacts"]["completed"], 3);
}

/// By the sample that is shipped, at another address.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_is_spoken_to_as_its_configuration_says() {
    let (folder, far, listen) = (folder(), Far::start().await, free_address());
    let sample = include_str!("../../rivvi-providers/sms/samples/019.toml");
    let config = sample.replace("https://019sms.co.il/api", &format!("{}/api", far.side.url()));
    write(folder.path(), "019.toml", &config);
    let more = ["--provider", "http", "--config", "019.toml", "--secret", "token=t0ken"];
    let child = start_with(folder.path(), listen, &more);
    far.until_taken(3).await;
    let receipt = |number: &str, status: &str| {
        let id = far.to(number).id;
        Webhook::gateway("/webhook/h00k", &[("external_id", &id), ("status", status)])
    };
    let id = far.to("0522000001").id;
    let forged = Webhook::gateway("/webhook/guessed", &[("external_id", &id), ("status", "102")]);
    assert_eq!(forged.send(listen).await, 401);
    assert_eq!(receipt("0522000001", "102").send(listen).await, 200);
    let stop = [("phone", "0522000001"), ("dest", "031234567"), ("message", "הסר")];
    assert_eq!(Webhook::gateway("/webhook/h00k", &stop).send(listen).await, 200);
    assert!(far.until_taken(4).await[3].text.contains("no more messages"));
    assert_eq!(receipt("0522000002", "15").send(listen).await, 200);
    assert_eq!(receipt("0522000003", "102").send(listen).await, 200);
    let result = result_of(child).await;
    assert_eq!((&result["contacts"]["completed"], &result["contacts"]["excluded"]), (&json!(2), &json!(1)));
    assert_eq!(result["messages"]["replies"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_provider_it_runs_offline() {
    let folder = folder();
    write(folder.path(), "many.csv", &support::sheet(60));
    let child = start_with(
        folder.path(),
        free_address(),
        &["--contacts", "many.csv", "--template", "Hi {{ first_name }}"],
    );
    let result = result_of(child).await;
    assert_eq!((&result["status"], &result["imported"]), (&json!("completed"), &json!(60)));
    assert!(result["contacts"]["completed"].as_u64().unwrap() > 40, "{result}");
    assert_eq!(result["contacts"]["unknown"], 0, "{result}");
}
