//! The engine: the shell around the pure core.
//!
//! [`Rivvi`] is its front. Put one together with [`Rivvi::builder`], then either [`spawn`](Rivvi::spawn) it, or call
//! [`tick`](Rivvi::tick) from a timer if the host has no long-running process. Any number of engines may share one
//! store.
//!
//! | part | does |
//! |---|---|
//! | dispatcher | takes due contacts, commits intents, places calls |
//! | intake | applies what is told about calls, in batches |
//! | inbound | finds out who calls in and why, and who answers |
//! | reconciler | looks after calls without news |
//! | scheduler | starts, ends and finishes runs |
//! | loader | takes contacts from the blob store into the ledger |
//! | completer | archives finished runs |
//! | publisher | carries out actions, feeds event sinks, matches early webhooks |

mod attempt;
pub(crate) mod breaker;
mod builder;
mod campaigns;
mod carrier;
mod completer;
mod config;
mod dispatcher;
mod explain;
mod handle;
mod hooks;
mod importer;
mod inbound;
mod intake;
mod loader;
mod organizations;
mod processed;
mod progress;
mod publisher;
mod reconciler;
mod runs;
mod scheduler;
mod sms;
mod suppression_list;
mod terms;
mod tick;
mod trouble;
mod webhook_copies;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock, Weak};
use std::time::Duration;

use chrono::{DateTime, Utc};
use foldhash::HashMap;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::domain::{CallId, IdSource, ItemId, Medium, NodeId, ProviderName, RunId};
use crate::import::ContactTransformer;
use crate::message::ShortLinks;
use crate::policy::Policy;
use crate::provider::{EmailProvider, SmsProvider, VoiceProvider, WebhookError, WebhookRequest};
use crate::storage::{DeadLetter, Storage, StorageError};

pub use builder::{BuildError, Builder};
pub use campaigns::Campaigns;
pub use config::EngineConfig;
pub use explain::ContactExplanation;
pub use handle::EngineHandle;
pub use hooks::{EventSink, HostAction, HostError};
pub use importer::{ImportedRun, RunImportError};
pub use organizations::{NewOrganization, Organizations};
pub use progress::{Progress, Watch};
pub use runs::Runs;
pub use suppression_list::{Suppressed, SuppressionList};
pub use tick::Tick;
pub use trouble::Trouble;
pub use webhook_copies::WebhookCopies;

/// An engine: the front through which a host works with Rivvi. Clones share the same engine.
///
/// ```
/// use rivvi_core::engine::Rivvi;
/// use rivvi_core::storage::Storage;
///
/// let rivvi = Rivvi::builder().storage(Storage::in_memory()).build()?;
/// # Ok::<(), rivvi_core::engine::BuildError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Rivvi {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Itself, for sinks that outlive it.
    this: Weak<Inner>,
    storage: Storage,
    voice: Vec<Arc<dyn VoiceProvider>>,
    sms: Vec<Arc<dyn SmsProvider>>,
    email: Vec<Arc<dyn EmailProvider>>,
    short_links: Option<ShortLinks>,
    breakers: Mutex<HashMap<ProviderName, breaker::Breaker>>,
    connected: RwLock<HashSet<ProviderName>>,
    clock: Arc<dyn Clock>,
    ids: IdSource,
    node: NodeId,
    policy: Policy,
    config: EngineConfig,
    sinks: Vec<Arc<dyn EventSink>>,
    actions: HashMap<String, Arc<dyn HostAction>>,
    transformers: Vec<Arc<dyn ContactTransformer>>,
    intake: intake::Intake,
    terms: terms::TermsCache,
    /// Calls this node ended lately.
    hung_up: Mutex<HashMap<CallId, DateTime<Utc>>>,
    /// How many contacts runs had that another node seems to load, and since when.
    loading: Mutex<HashMap<RunId, (u64, DateTime<Utc>)>>,
    webhook_copies: webhook_copies::Queue,
    /// When this node looked last for live data to remove.
    purged_at: Mutex<Option<DateTime<Utc>>>,
    /// Per run and medium, the first free place behind those whom pace put off.
    places: Mutex<HashMap<(RunId, Medium), DateTime<Utc>>>,
    /// What the loops meet again and again.
    troubles: Mutex<HashMap<trouble::Loop, Trouble>>,
    dispatch_turn: AtomicU64,
    dispatch_wake: Notify,
    upkeep_wake: Notify,
    /// How often this engine was spawned and not yet shut down.
    loops: AtomicUsize,
    /// Whether other nodes are about to be told.
    telling: AtomicBool,
    /// Counts changes this node made, for those who watch.
    progress: tokio::sync::watch::Sender<u64>,
}

impl Rivvi {
    /// Starts putting an engine together.
    pub fn builder() -> Builder {
        Builder::new()
    }

    fn from_inner(inner: impl FnOnce(Weak<Inner>) -> Inner) -> Self {
        Self { inner: Arc::new_cyclic(|this| inner(this.clone())) }
    }

    /// Tenants.
    pub fn organizations(&self) -> Organizations<'_> {
        Organizations { inner: &self.inner }
    }

    /// What to do and how.
    pub fn campaigns(&self) -> Campaigns<'_> {
        Campaigns { inner: &self.inner }
    }

    /// Executions of campaigns.
    pub fn runs(&self) -> Runs<'_> {
        Runs { inner: &self.inner }
    }

    /// Numbers that must not be contacted.
    pub fn suppression_list(&self) -> SuppressionList<'_> {
        SuppressionList { inner: &self.inner }
    }

    /// Takes a webhook of a provider, of calls or of text messages: verifies it, stores it, applies it. Send the answer back
    /// as it is; after an error answer with [`WebhookError::status`].
    ///
    /// An answer to a text message is kept with the latest message to that number, and given to the host if the campaign
    /// says so. If it is a [wish for no more](crate::domain::OptOutSettings), the number is suppressed before this returns,
    /// and the wish is confirmed once.
    ///
    /// Webhooks that arrive at the same time are written together. If there is a blob store, a copy of the webhook as it
    /// came is kept there a moment later, see [`webhook_copies`](Self::webhook_copies).
    ///
    /// # Errors
    /// See [`WebhookError`].
    pub async fn receive(
        &self,
        provider: &str,
        request: &WebhookRequest,
    ) -> Result<http::Response<bytes::Bytes>, WebhookError> {
        self.inner.receive(provider, request).await
    }

    /// Answers a vendor that asks by webhook what to do about a call that comes in: verifies the question, finds the
    /// organization by the number called and the person by the number that calls, and tells which agent answers and what it
    /// knows. Send the answer back as it is; after an error answer with [`WebhookError::status`].
    ///
    /// If the person was called before, the inbound call is noted with the outbound call it answers before this returns: it
    /// becomes a call of direction [`Inbound`](crate::domain::Direction::Inbound) in the archive, a contact that waits is
    /// not called while it is on the phone, and is settled, or called again at the time it asked for, when it was talked
    /// to. The agent is that of the campaign, with the variables of the contact; for people of whom no run under way and no
    /// [context](crate::storage::CampaignContext) that is valid knows anything, that of the organization.
    ///
    /// Asking again while it rings changes nothing.
    ///
    /// # Errors
    /// See [`WebhookError`].
    pub async fn receive_inbound(
        &self,
        provider: &str,
        request: &WebhookRequest,
    ) -> Result<http::Response<bytes::Bytes>, WebhookError> {
        self.inner.receive_inbound(provider, request).await
    }

    /// Takes a hit on a [short link](ShortLinks): counts it with its message, and tells where to redirect to. `None` if the
    /// token is none of ours, or nothing is known of its message any more: show the people something useful then. Hits on a
    /// link within the same minute of the clock count once.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn follow_link(&self, token: &str) -> Result<Option<String>, StorageError> {
        self.inner.follow_link(token).await
    }

    /// What became of the copies of webhooks that this engine keeps in the blob store.
    pub fn webhook_copies(&self) -> WebhookCopies {
        self.inner.webhook_copies.counts()
    }

    /// Actions that kept failing and webhooks whose call never became known, in the order of their ids, the first
    /// `limit` after `after`.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn dead_letters(
        &self,
        after: Option<ItemId>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StorageError> {
        self.inner.storage.ledger.dead_letters(after, limit).await
    }

    /// Gives dead letters another chance. Returns how many there were.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn revive(&self, ids: Vec<ItemId>) -> Result<u64, StorageError> {
        let revived = self.inner.storage.ledger.revive(ids, self.inner.clock.now()).await?;
        self.inner.wake_everywhere();
        Ok(revived)
    }

    /// The clock of the engine.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    /// The stores of the engine, for reading what the front does not offer.
    pub fn storage(&self) -> &Storage {
        &self.inner.storage
    }
}

impl Inner {
    /// Has the loops of this engine look for work, and those of other nodes if this one has none.
    fn wake(&self) {
        self.wake_here();
        if self.loops.load(Ordering::Relaxed) == 0 {
            self.wake_others();
        }
    }

    /// Has the loops of all nodes look for work.
    fn wake_everywhere(&self) {
        self.wake_here();
        self.wake_others();
    }

    fn wake_here(&self) {
        self.dispatch_wake.notify_one();
        self.upkeep_wake.notify_one();
        self.progress.send_modify(|changes| *changes += 1);
    }

    /// Tells other nodes soon. What happens until then is told with it.
    fn wake_others(&self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if self.telling.swap(true, Ordering::AcqRel) {
            return;
        }
        let (clock, this) = (self.clock.clone(), self.this.clone());
        runtime.spawn(async move {
            clock.sleep_until(clock.now() + TELLING).await;
            if let Some(inner) = this.upgrade() {
                inner.telling.store(false, Ordering::Release);
                inner.storage.wakeups.wake().await;
            }
        });
    }
}

/// The least time between two wake-ups of other nodes.
const TELLING: Duration = Duration::from_millis(20);
