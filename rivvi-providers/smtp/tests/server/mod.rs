//! The SMTP server that `scripts/services` starts, and a way to it that can break.

use std::sync::{Arc, Mutex};

use rivvi_core::domain::EmailAddress;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What the server tells of itself.
pub(crate) struct Server {
    pub(crate) smtp: u16,
    pub(crate) tls: u16,
    pub(crate) certificate: Vec<u8>,
}

pub(crate) async fn server() -> Server {
    let told = get("/").await;
    let port = |name: &str| u16::try_from(told[name].as_u64().unwrap()).unwrap();
    let certificate = told["certificate"].as_str().unwrap().as_bytes().to_vec();
    Server { smtp: port("smtp"), tls: port("tls"), certificate }
}

/// What the server has taken for an address.
pub(crate) async fn mails(to: &EmailAddress) -> Vec<Value> {
    get(&format!("/mails/{}", encoded(to))).await.as_array().unwrap().clone()
}

/// How the next e-mail to (or, for `mail`, from) an address goes wrong.
pub(crate) async fn fail_next(address: &EmailAddress, fault: &str) {
    http("PUT", &format!("/faults/{}", encoded(address)), fault).await;
}

fn encoded(address: &EmailAddress) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'@' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    address.expose().bytes().map(byte).collect()
}

async fn get(path: &str) -> Value {
    serde_json::from_str(&http("GET", path, "").await).unwrap()
}

async fn http(method: &str, path: &str, body: &str) -> String {
    let url = std::env::var("RIVVI_TEST_SMTP").unwrap_or_else(|_| {
        panic!(
            "RIVVI_TEST_SMTP is not set: expected the URL of the SMTP server's control; start it with \
             `scripts/services` and load the variables it prints"
        )
    });
    let mut stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).await.unwrap();
    let request = format!("{method} {path} HTTP/1.0\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains(" 200 "), "{answer}");
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// A port that leads to the server, as long as it is open.
pub(crate) struct Way {
    pub(crate) port: u16,
    to: u16,
    tasks: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl Way {
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let way = Self { port: listener.local_addr().unwrap().port(), to: port, tasks: Arc::default() };
        way.lead(listener);
        way
    }

    /// Closes every connection, and refuses new ones.
    pub(crate) async fn close(&self) {
        let tasks: Vec<_> = std::mem::take(&mut *self.tasks.lock().unwrap());
        for task in tasks {
            task.abort();
            let _ = task.await;
        }
    }

    pub(crate) async fn open(&self) {
        if self.tasks.lock().unwrap().is_empty() {
            self.lead(TcpListener::bind(("127.0.0.1", self.port)).await.unwrap());
        }
    }

    /// How many connections came this way and are not closed.
    pub(crate) fn connections(&self) -> usize {
        self.tasks.lock().unwrap().iter().filter(|task| !task.is_finished()).count() - 1
    }

    fn lead(&self, listener: TcpListener) {
        let (tasks, to) = (self.tasks.clone(), self.to);
        let listening = tokio::spawn(async move {
            while let Ok((mut here, _)) = listener.accept().await {
                let task = tokio::spawn(async move {
                    let mut there = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut here, &mut there).await;
                });
                tasks.lock().unwrap().push(task);
            }
        });
        self.tasks.lock().unwrap().push(listening);
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.tasks.lock().unwrap().iter().for_each(JoinHandle::abort);
    }
}
