//! The connection that everything of this crate shares.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fred::clients::{Client, SubscriberClient};
use fred::error::{Error, ErrorKind};
use fred::interfaces::{ClientLike, EventInterface};
use fred::types::ConnectHandle;
use fred::types::config::{
    Config, ConnectionConfig, PerformanceConfig, ReconnectPolicy, Server, TcpConfig, UnresponsiveConfig,
};
use rivvi_core::clock::{Clock, SystemClock};
use tokio::sync::Semaphore;
use tokio::sync::broadcast::Receiver;
use tokio::task::JoinHandle;

use crate::error::{RedisError, problem};
use crate::url;

/// Commands that may wait for their answers at once. More fail at once instead of piling up while Redis is slow.
const WAITING_MAX: usize = 1_024;
/// How long a connection that ended for good is left alone before it is begun anew.
const RESTART_AFTER: Duration = Duration::from_secs(1);

type Errors = Receiver<(Error, Option<Server>)>;

/// How to use Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisOptions {
    /// What the names of all keys begin with, 1 to 64 letters, digits or `_.-`. Nodes that share a run share the
    /// prefix; installations that share a Redis must not. Default `rivvi`.
    pub prefix: String,
    /// How long an answer is waited for before Redis counts as away, 10 ms to 60 s. Default one second.
    pub timeout: Duration,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self { prefix: "rivvi".into(), timeout: Duration::from_secs(1) }
    }
}

impl RedisOptions {
    fn check(&self) -> Result<(), RedisError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        if !(1..=64).contains(&self.prefix.len()) || !self.prefix.chars().all(allowed) {
            return Err(RedisError::Config("the prefix must be 1 to 64 letters, digits or `_.-`"));
        }
        if !(Duration::from_millis(10)..=Duration::from_secs(60)).contains(&self.timeout) {
            return Err(RedisError::Config("the timeout must be 10 ms to 60 s"));
        }
        Ok(())
    }
}

/// A connection to one Redis server, cluster, or server behind sentinels. Clones share it; it is closed with the last.
///
/// It finds its way back by itself after any outage, waiting from 20 ms up to 2 s between attempts. Meanwhile
/// everything asked of it fails within [`RedisOptions::timeout`], mostly at once, and nothing waits for longer.
#[derive(Clone)]
pub struct Redis {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    settings: Settings,
    prefix: String,
    waiting: Semaphore,
    away: AtomicBool,
    _connection: Supervised,
}

/// Everything a client is made from.
#[derive(Clone)]
pub(crate) struct Settings {
    config: Config,
    connection: ConnectionConfig,
    performance: PerformanceConfig,
    policy: ReconnectPolicy,
}

impl Redis {
    /// Connects with the default options. See [`Redis::open_with`].
    ///
    /// # Errors
    /// See [`Redis::open_with`].
    pub async fn open(url: &str) -> Result<Self, RedisError> {
        Self::open_with(url, RedisOptions::default()).await
    }

    /// Connects to the Redis at `url`:
    ///
    /// - `redis://[[user:]password@]host[:port][/database]`
    /// - `redis-cluster://[[user:]password@]host:port[?node=host:port&node=...]`
    /// - `redis-sentinel://[[user:]password@]host[:port][/database]?sentinelServiceName=name[&node=host:port&...]`,
    ///   with `sentinelUsername` and `sentinelPassword` if the sentinels want their own
    ///
    /// `rediss://`, `rediss-cluster://` and `rediss-sentinel://` are the same over TLS (feature `tls`), trusting the
    /// certificates of the system.
    ///
    /// # Errors
    /// [`RedisError::Config`] if the URL or an option makes no sense; [`RedisError::Away`] if Redis does not answer
    /// within three timeouts, so that a wrong address shows at start. See also [`Redis::open_lazily`].
    pub async fn open_with(url: &str, options: RedisOptions) -> Result<Self, RedisError> {
        let (redis, mut errors) = Self::start(url, options)?;
        let client = redis.shared.client.clone();
        let mut last = None;
        let connected = async {
            while !client.is_connected() {
                let attempt =
                    tokio::time::timeout(Duration::from_millis(50), client.wait_for_connect()).await;
                if matches!(attempt, Ok(Ok(()))) {
                    break;
                }
                while let Ok((error, _)) = errors.try_recv() {
                    last = Some(error);
                }
            }
        };
        if tokio::time::timeout(redis.settings().timeout() * 3, connected).await.is_ok() {
            return Ok(redis);
        }
        let problem = last.map_or_else(|| "did not answer".to_owned(), |error| problem(&error));
        Err(RedisError::Away { server: redis.settings().name(), problem })
    }

    /// Returns at once and connects whenever Redis answers: for a node that must start while Redis is away.
    ///
    /// # Errors
    /// [`RedisError::Config`] if the URL or an option makes no sense.
    pub fn open_lazily(url: &str, options: RedisOptions) -> Result<Self, RedisError> {
        Self::start(url, options).map(|(redis, _)| redis)
    }

    fn start(url: &str, options: RedisOptions) -> Result<(Self, Errors), RedisError> {
        options.check()?;
        let settings = Settings::new(url::parse(url)?, options.timeout);
        let client = settings.client();
        let errors = client.error_rx();
        let connection = Supervised::start(client.clone());
        let shared = Shared {
            client,
            settings,
            prefix: options.prefix,
            waiting: Semaphore::new(WAITING_MAX),
            away: AtomicBool::new(false),
            _connection: connection,
        };
        Ok((Self { shared: Arc::new(shared) }, errors))
    }

    /// What the names of all keys begin with.
    pub fn prefix(&self) -> &str {
        &self.shared.prefix
    }

    /// Whether the last thing asked of Redis was answered; true before anything was asked.
    pub fn is_there(&self) -> bool {
        !self.shared.away.load(Ordering::Relaxed)
    }

    pub(crate) fn client(&self) -> &Client {
        &self.shared.client
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// The answer to `command`; tells of outages and recoveries once each.
    ///
    /// # Errors
    /// [`RedisError::Away`].
    pub(crate) async fn answer<T>(
        &self,
        command: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, RedisError> {
        let away = |problem| RedisError::Away { server: self.shared.settings.name(), problem };
        let Ok(_permit) = self.shared.waiting.try_acquire() else {
            return Err(away(format!("has {WAITING_MAX} commands to answer already")));
        };
        // Where the connection is down, a command fails at once instead of waiting for it.
        let answer = match self.shared.client.is_connected() {
            true => command.await.map_err(|error| away(problem(&error))),
            false => Err(away(problem(&Error::new(ErrorKind::Canceled, "not connected")))),
        };
        let was_away = self.shared.away.swap(answer.is_err(), Ordering::Relaxed);
        match &answer {
            Err(error) if !was_away => tracing::warn!(%error, "Redis is away"),
            Ok(_) if was_away => tracing::info!(server = self.shared.settings.name(), "Redis is back"),
            _ => {}
        }
        answer
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("server", &self.shared.settings.name())
            .field("prefix", &self.shared.prefix)
            .finish_non_exhaustive()
    }
}

impl Settings {
    fn new(config: Config, timeout: Duration) -> Self {
        let connection = ConnectionConfig {
            connection_timeout: timeout * 2,
            internal_command_timeout: timeout * 2,
            unresponsive: UnresponsiveConfig { max_timeout: Some(timeout * 2), interval: timeout / 4 },
            tcp: TcpConfig { nodelay: Some(true), ..TcpConfig::default() },
            // A password that was changed on the server first must not end the connection for good.
            reconnect_on_auth_error: true,
            ..ConnectionConfig::default()
        };
        let performance =
            PerformanceConfig { default_command_timeout: timeout, ..PerformanceConfig::default() };
        let mut policy = ReconnectPolicy::new_exponential(0, 20, 2_000, 2);
        policy.set_jitter(20);
        Self { config, connection, performance, policy }
    }

    fn client(&self) -> Client {
        let Self { config, connection, performance, policy } = self.clone();
        Client::new(config, Some(performance), Some(connection), Some(policy))
    }

    pub(crate) fn subscriber(&self) -> SubscriberClient {
        let Self { config, connection, performance, policy } = self.clone();
        SubscriberClient::new(config, Some(performance), Some(connection), Some(policy))
    }

    /// The servers without credentials: for errors and logs.
    pub(crate) fn name(&self) -> String {
        let hosts = self.config.server.hosts();
        let hosts: Vec<String> = hosts.iter().map(|host| format!("{}:{}", host.host, host.port)).collect();
        hosts.join(",")
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.performance.default_command_timeout
    }
}

/// The task that keeps a client connected. Ends when dropped.
pub(crate) struct Supervised(JoinHandle<()>);

impl Supervised {
    /// Connects a client, and again if it gives up, as it does for errors it takes for those of its configuration.
    pub(crate) fn start<C: ClientLike + 'static>(client: C) -> Self {
        Self(tokio::spawn(async move {
            let clock = SystemClock::new();
            loop {
                let mut connection = AbortOnDrop(client.connect());
                let _ = (&mut connection.0).await;
                clock.sleep_until(clock.now() + RESTART_AFTER).await;
            }
        }))
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct AbortOnDrop(ConnectHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
