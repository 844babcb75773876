//! Servers for the nodes, from `scripts/services`.

use std::path::PathBuf;
use std::process::Command;

use crate::disturbance::Disturbance;
use crate::support;

/// A server that a test uses.
pub(crate) struct Server {
    name: &'static str,
    /// Its URL.
    pub(crate) url: String,
    /// Whether it is the test's own, to be restarted at will and deleted at the end.
    own: bool,
}

impl Server {
    /// A server of the tests' own, so that restarting it disturbs no other test. If the user names an external one, that
    /// is taken, and not restarted.
    pub(crate) fn own(name: &'static str) -> Self {
        let status = services(&[], &["status", name]).output().unwrap();
        if String::from_utf8_lossy(&status.stdout).contains("external") {
            println!("note: {name} is external, so this test does not restart it");
            return Self { name, url: url(&[], name), own: false };
        }
        let folder = folder();
        start(&["--folder", &folder], name);
        Self { name, url: url(&["--folder", &folder], name), own: true }
    }

    /// The server that all tests share.
    #[cfg(feature = "dynamo")]
    pub(crate) fn shared(name: &'static str) -> Self {
        start(&[], name);
        Self { name, url: url(&[], name), own: false }
    }

    /// Its orderly restart, if it is our own.
    pub(crate) fn restart(&self, what: &'static str, after_ms: u64) -> Option<Disturbance> {
        let command = format!("{} restart {}", self.script(), self.name);
        self.own.then(|| Disturbance { name: what, command: shell(command), after_ms })
    }

    /// Its sudden death, and its recovery a moment later, if it is our own.
    pub(crate) fn crash(&self, what: &'static str, after_ms: u64) -> Option<Disturbance> {
        let (script, name) = (self.script(), self.name);
        let command = format!("{script} kill {name} && {script} start {name}");
        self.own.then(|| Disturbance { name: what, command: shell(command), after_ms })
    }

    /// Its disk is full for some seconds: no file may grow, and what it cannot bear it dies of. When there is room again,
    /// it is started if it died, as a service manager would.
    #[cfg(feature = "postgres")]
    pub(crate) fn full_disk(&self, what: &'static str, after_ms: u64) -> Option<Disturbance> {
        let (script, name, folder) = (self.script(), self.name, folder());
        // Those that are forked meanwhile have the limit of their parent, so its own changes first.
        // Only who is the server, or may do everything, may set its limits.
        let command = format!(
            "set -e
             read -r pid _ <'{folder}/{name}/{name}.pid'
             as=()
             if [ \"$(id -u)\" = 0 ]; then
               as=(setpriv --reuid=\"$(stat -c %u /proc/\"$pid\")\" --regid=\"$(stat -c %g /proc/\"$pid\")\" --clear-groups)
             fi
             limit() {{ \"${{as[@]}}\" prlimit --pid \"$1\" --fsize=\"$2:\"; }}
             disk() {{
               limit \"$pid\" \"$1\"
               for child in $(cat /proc/\"$pid\"/task/*/children); do
                 limit \"$child\" \"$1\" 2>/dev/null || true
               done
             }}
             disk 8192
             sleep 5
             disk unlimited 2>/dev/null || true
             {script} start {name}
             sleep 3
             {script} start {name}"
        );
        self.own.then(|| Disturbance { name: what, command: shell(command), after_ms })
    }

    fn script(&self) -> String {
        format!("{}/scripts/services --folder '{}'", env!("CARGO_MANIFEST_DIR"), folder())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // What a long run leaves behind tells why it failed.
        if self.own && !(std::thread::panicking() && crate::long::calls().is_some()) {
            let _ = services(&["--folder", &folder()], &["reset", self.name]).output();
        }
    }
}

fn start(set: &[&str], name: &str) {
    let started = services(set, &["start", name]).output().unwrap();
    assert!(started.status.success(), "{name} did not start: {}", support::stderr(&started));
}

/// The URL of a server that runs, as a shell reads it from the script's exports.
fn url(set: &[&str], name: &str) -> String {
    let exports = services(set, &["env", name]).output().unwrap();
    assert!(exports.status.success(), "{}", support::stderr(&exports));
    let variable = format!("RIVVI_TEST_{}", name.to_uppercase());
    let script = format!("{}\nprintf %s \"${variable}\"", String::from_utf8(exports.stdout).unwrap());
    String::from_utf8(Command::new("bash").args(["-c", &script]).output().unwrap().stdout).unwrap()
}

fn services(set: &[&str], arguments: &[&str]) -> Command {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/services"));
    command.env("CARGO_TARGET_DIR", target()).args(set).args(arguments);
    command
}

fn shell(command: String) -> Vec<String> {
    let target = target().display().to_string();
    vec!["env".into(), format!("CARGO_TARGET_DIR={target}"), "bash".into(), "-c".into(), command]
}

/// A long run has servers of its own, so that another test of this kind beside it does not restart them.
fn folder() -> String {
    let name = if crate::long::calls().is_some() { "services-real-faults" } else { "services-nodes" };
    target().join(name).display().to_string()
}

/// The folder of all build profiles, where the script keeps what it installs.
fn target() -> PathBuf {
    let profile = support::target();
    profile.parent().map_or(profile.clone(), ToOwned::to_owned)
}
