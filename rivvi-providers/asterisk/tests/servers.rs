//! Two Asterisk servers, one of which is killed in the middle of calls.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first error")]

mod scene;

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rivvi_core::clock::SystemClock;
use rivvi_core::domain::Disposition;
use rivvi_core::provider::{CallEvent, VoiceProvider};
use rivvi_provider_asterisk::{Asterisk, AsteriskServer};
use scene::{Callee, Scene, Told, disposition};

const STAY: &str = "start = 'w'\n[[nodes]]\nid = 'w'\ntype = 'wait'\nduration = '50s'";

/// An Asterisk of the test's own, which it may kill.
struct Second {
    script: PathBuf,
    folder: PathBuf,
}

impl Second {
    fn start() -> Self {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let second =
            Self { script: root.join("scripts/services"), folder: target.join("services-asterisk-second") };
        second.run("start");
        second
    }

    fn run(&self, verb: &str) -> String {
        let output =
            Command::new(&self.script).arg("--folder").arg(&self.folder).args([verb, "asterisk"]).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{verb}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn url(&self) -> String {
        let export = self.run("env");
        export.trim().split_once('=').unwrap().1.to_owned()
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        self.run("stop");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_spread_stay_on_their_server_and_outlive_the_other() {
    let second = Second::start();
    let mut servers = vec![
        AsteriskServer::new("pbx1", &scene::url()).unwrap(),
        AsteriskServer::new("pbx2", &second.url()).unwrap(),
    ];
    servers[1].weight = 2;
    let clock = Arc::new(SystemClock::new());
    let asterisk = Asterisk::new(scene::options(), servers, clock.clone()).unwrap();
    let told = Told::new();
    asterisk.connect(told.clone()).await.unwrap();
    let scene = Scene { asterisk, told, clock, app: String::new() };
    while scene.asterisk.servers().iter().any(|server| !server.connected) {
        scene.pause(Duration::from_millis(20)).await;
    }

    let (mut first, mut other) = (vec![], vec![]);
    while first.len() < 3 || other.len() < 3 {
        let request = scene.request(Callee::SILENT, STAY);
        let reference = scene.asterisk.place_call(&request).await.unwrap().reference.unwrap();
        if reference.starts_with("pbx1/") { first.push(request) } else { other.push(request) }
    }
    for request in first.iter().chain(&other) {
        scene.told.answered(request.call_id).await;
    }

    second.run("kill");
    while scene.asterisk.servers()[1].connected {
        scene.pause(Duration::from_millis(20)).await;
    }
    let placed = scene.asterisk.place_call(&scene.request(Callee::HANGS_UP, STAY)).await.unwrap();
    assert!(placed.reference.unwrap().starts_with("pbx1/"), "calls go where they can be placed");
    let error = scene.asterisk.find_call(&scene.query(&other[0])).await.unwrap_err();
    assert!(error.may_repeat(), "a server that is away says nothing about its calls: {error}");

    second.run("start");
    for request in &other {
        let told = scene.told.over(request.call_id).await;
        assert_eq!(disposition(&told), Disposition::AnsweredHuman, "it had been answered");
        assert!(
            matches!(told.last(), Some(CallEvent::Ended { talk_time: None, .. })),
            "nobody knows for how long"
        );
    }
    for request in &first {
        scene.asterisk.hang_up(&scene.query(request)).await.unwrap();
        assert_eq!(disposition(&scene.told.over(request.call_id).await), Disposition::AnsweredHuman);
    }
}
