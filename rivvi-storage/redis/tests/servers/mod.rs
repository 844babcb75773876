//! The servers that tests run against.

#![allow(dead_code, reason = "each test uses a part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first error")]

use std::net::TcpListener;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rivvi_core::clock::{Clock, SystemClock};
use rivvi_core::domain::IdSource;
use rivvi_storage_redis::{Redis, RedisOptions};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// The URL in an environment variable.
pub(crate) fn url(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set: run scripts/test, or eval \"$(scripts/services env)\"")
    })
}

/// Options with a prefix that nobody else uses.
pub(crate) fn fresh_options() -> RedisOptions {
    let mut options = RedisOptions::default();
    options.prefix = format!("test-{}", IdSource::random().next(SystemClock::new().now()).simple());
    options
}

/// The test server, under a prefix of its own.
pub(crate) async fn fresh() -> Redis {
    Redis::open_with(&url("RIVVI_TEST_REDIS"), fresh_options()).await.unwrap()
}

pub(crate) async fn pause(span: Duration) {
    let clock = SystemClock::new();
    clock.sleep_until(clock.now() + span).await;
}

/// A server process of its own, which a test may kill.
pub(crate) struct OwnServer {
    pub(crate) port: u16,
    folder: Arc<TempDir>,
    options: Vec<&'static str>,
    process: Option<Child>,
}

impl OwnServer {
    /// A server on a free port with these options beyond those that keep it alone and in memory.
    pub(crate) async fn start(options: &[&'static str]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let mut server = Self { port, folder, options: options.to_vec(), process: None };
        server.start_again().await;
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Starts the process anew on the same port and folder, and waits until it listens.
    pub(crate) async fn start_again(&mut self) {
        let mut command = Command::new("redis-server");
        command
            .args([
                "--port",
                &self.port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--rdbcompression",
                "no",
                "--dir",
            ])
            .arg(self.folder.path())
            .args(&self.options)
            .stdout(Stdio::null())
            .kill_on_drop(true);
        self.process = Some(command.spawn().expect("redis-server is in the path: run scripts/test"));
        for _ in 0..500 {
            if tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_ok() {
                return;
            }
            pause(Duration::from_millis(10)).await;
        }
        panic!("redis-server did not listen on port {} within 5 s", self.port);
    }

    /// Has the server write what it holds to its folder, to be read at the next start.
    pub(crate) async fn save(&self) {
        let saved =
            Command::new("redis-cli").args(["-p", &self.port.to_string(), "save"]).output().await.unwrap();
        assert!(saved.status.success(), "{}", String::from_utf8_lossy(&saved.stderr));
    }

    /// What [`save`](Self::save) wrote.
    pub(crate) fn stored(&self) -> Vec<u8> {
        std::fs::read(self.folder.path().join("dump.rdb")).unwrap()
    }

    /// Ends the process as the end of its machine would.
    pub(crate) async fn kill(&mut self) {
        let mut process = self.process.take().unwrap();
        process.kill().await.unwrap();
    }

    /// Stops or continues the process (`STOP`, `CONT`).
    pub(crate) async fn signal(&self, signal: &str) {
        let id = self.process.as_ref().unwrap().id().unwrap().to_string();
        let status = Command::new("kill").args([&format!("-{signal}"), &id]).status().await.unwrap();
        assert!(status.success());
    }
}
