//! The example as a process.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Output, Stdio};

use serde_json::Value;

use crate::far::{Far, KEY, SECRET, SIGNATURE_SECRET};
use crate::support::{example, stderr};

pub(crate) const CAMPAIGN: &str = r#"
    name = "Reminder"
    channel = "sms"
    message.text = "Dear {{ first_name }}, see you tomorrow."
"#;

/// A folder with a campaign and three people.
pub(crate) fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let people = "first name,phone\nDana,+972522000001\nNoa,+972522000002\nGil,+972522000003\n";
    write(folder.path(), "people.csv", people);
    write(folder.path(), "campaign.toml", CAMPAIGN);
    folder
}

pub(crate) fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).unwrap();
}

pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Starts the example on Vonage's SMS API, but for what `more` says otherwise.
pub(crate) fn start(folder: &Path, far: &Far, listen: SocketAddr, more: &[&str]) -> Child {
    let url = far.side.url();
    let vonage = [
        ("--provider", "vonage"),
        ("--base-url", url.as_str()),
        ("--api-key", KEY),
        ("--api-secret", SECRET),
        ("--signature-secret", SIGNATURE_SECRET),
    ];
    let vonage = vonage.into_iter().filter(|(name, _)| !more.contains(name));
    let arguments: Vec<&str> = vonage.flat_map(|(name, value)| [name, value]).collect();
    start_with(folder, listen, &[&arguments, more].concat())
}

/// Starts the example on the provider that the arguments name.
pub(crate) fn start_with(folder: &Path, listen: SocketAddr, more: &[&str]) -> Child {
    let listen = listen.to_string();
    let usual = [
        ("--from", "+97231234567"),
        ("--listen", listen.as_str()),
        ("--contacts", "people.csv"),
        ("--campaign", "campaign.toml"),
        ("--db", "run.db"),
        ("--grace", "0s"),
    ];
    let usual = usual.into_iter().filter(|(name, _)| !more.contains(name));
    let mut command = example("sms");
    command.current_dir(folder).arg("--json").args(usual.flat_map(|(name, value)| [name, value])).args(more);
    command.env("SMS_SECRET_HOOK", "h00k");
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

pub(crate) async fn end_of(child: Child) -> Output {
    tokio::task::spawn_blocking(|| child.wait_with_output().unwrap()).await.unwrap()
}

/// The result of a process that ended well and told nothing personal or secret.
pub(crate) async fn result_of(child: Child) -> Value {
    let output = end_of(child).await;
    assert!(output.status.success(), "{}", stderr(&output));
    assert_silent(&output);
    serde_json::from_slice(&output.stdout).unwrap()
}

pub(crate) fn assert_silent(output: &Output) {
    for text in [stderr(output), String::from_utf8_lossy(&output.stdout).into_owned()] {
        for secret in [SECRET, SIGNATURE_SECRET, "t0ken", "h00k", "9722", "Dana"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

/// Waits until the example listens.
#[cfg(unix)]
pub(crate) async fn until_listening(address: SocketAddr) {
    while std::net::TcpStream::connect(address).is_err() {
        crate::far::pause(50).await;
    }
}

/// Presses Ctrl-C.
#[cfg(unix)]
pub(crate) fn interrupt(child: &Child) {
    let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(killed.unwrap().success());
}
