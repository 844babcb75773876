//! Mistakes of the user.

use std::net::TcpListener;

use crate::far::Far;
use crate::process::{CAMPAIGN, end_of, folder, free_address, start, start_with, write};
use crate::support::stderr;

#[tokio::test(flavor = "multi_thread")]
async fn wrong_input_is_named() {
    let (folder, far) = (folder(), Far::start().await);
    let path = folder.path();
    write(path, "voice.toml", "name = 'x'\nchannel = 'voice'\n");
    write(
        path,
        "letter.toml",
        &format!(
            "{CAMPAIGN}\n[[follow_up]]\nname = 'letter'\non = 'undelivered'\nemail = {{ subject = 'x', text = 'y' }}\n"
        ),
    );
    write(
        path,
        "hole.toml",
        "name = 'x'\nchannel = 'sms'\nmessage.text = \"\"\"\nDear\n{{ first_name\"\"\"\n",
    );
    write(path, "typo.toml", "name = 'x'\nchannel = 'sms'\nmessage.txt = 'y'\n");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (arguments, names) in [
        (&["--provider", "pigeon"][..], "--provider"),
        (&["--pigeon"], "--pigeon"),
        (&["--contacts", "nobody.csv"], "nobody.csv"),
        (&["--campaign", "nothing.toml"], "nothing.toml"),
        (&["--campaign", "voice.toml"], "channel = \"sms\""),
        (&["--campaign", "letter.toml"], "no follow-ups by voice or e-mail"),
        (&["--campaign", "hole.toml"], "line 2"),
        (&["--campaign", "typo.toml"], "typo.toml: message.txt"),
        (&["--template", "Dear\n{{ first_name"], "--template: expected a template"),
        (&["--template", "Dear\n{{ first_name"], "line 2"),
        (&["--template", "Dear {{ first_name | shout }}"], "shout"),
        (&["--template", " "], "--template"),
        (&["--from", "a name that is too long"], "--from"),
        (&["--base-url", "rest.nexmo.com"], "base_url"),
        (&["--api-secret", "two words"], "api_secret"),
        (&["--config", "gateway.toml"], "--config"),
        (&["--listen", "nowhere"], "--listen"),
        (&["--listen", &taken], "--listen"),
        (&["--grace", "soon"], "--grace"),
        (&["--short-links", "https://go.example"], "--short-links-secret"),
        (&["--short-links", "go.example", "--short-links-secret", "0123456789abcdef"], "--short-links"),
        (&["--short-links", "https://go.example", "--short-links-secret", "two words"], "at least 16 bytes"),
    ] {
        let output = end_of(start(path, &far, free_address(), arguments)).await;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(names), "{arguments:?}: {}", stderr(&output));
        assert!(!stderr(&output).contains("two words"), "a secret is not repeated");
    }
    assert_eq!(far.taken().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_provider_needs_is_named() {
    let folder = folder();
    let path = folder.path();
    let sample = include_str!("../../rivvi-providers/sms/samples/019.toml");
    write(path, "019.toml", sample);
    write(path, "typo.toml", &sample.replace("[answer]", "[answer]\nacepted = 1"));
    write(path, "hole.toml", &sample.replace("{{ text }}", "{{ text"));
    for (arguments, names) in [
        (&["--provider", "vonage"][..], "--api-key: expected, here or as VONAGE_API_KEY"),
        (&["--provider", "vonage", "--api-key", "k"], "--api-secret"),
        (&["--provider", "vonage-messages", "--application", "a"], "--private-key"),
        (&["--provider", "vonage-messages", "--application", "a", "--private-key", "no.pem"], "no.pem"),
        (&["--provider", "twilio"], "--account-sid"),
        (&["--provider", "twilio", "--account-sid", "AC1"], "--auth-token"),
        (&["--provider", "http"], "--config"),
        (&["--provider", "http", "--config", "none.toml"], "none.toml"),
        (&["--provider", "http", "--config", "typo.toml"], "typo.toml: answer.acepted"),
        (
            &["--provider", "http", "--config", "hole.toml", "--secret", "token=x"],
            "hole.toml: request.template",
        ),
        (&["--provider", "http", "--config", "019.toml"], "secret.NAME"),
        (
            &["--provider", "http", "--config", "019.toml", "--secret", "two words"],
            "--secret: expected NAME=TEXT",
        ),
        (&["--provider", "http", "--config", "019.toml", "--base-url", "http://a"], "--base-url"),
        (&["--base-url", "http://a"], "--base-url"),
    ] {
        let output = end_of(start_with(path, free_address(), arguments)).await;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(names), "{arguments:?}: {}", stderr(&output));
        assert!(!stderr(&output).contains("two words"), "a secret is not repeated");
    }
}
