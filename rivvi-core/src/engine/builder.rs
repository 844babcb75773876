//! Putting an engine together.

use std::sync::{Arc, RwLock};

use foldhash::HashMap;
use tokio::sync::Notify;

use super::breaker::Breaker;
use super::hooks::{EventSink, HostAction};
use super::intake::Intake;
use super::terms::TermsCache;
use super::{EngineConfig, Inner, Rivvi};
use crate::clock::{Clock, SystemClock};
use crate::domain::{IdSource, NodeId};
use crate::import::ContactTransformer;
use crate::message::ShortLinks;
use crate::policy::{Policy, Rule};
use crate::provider::{EmailProvider, SmsProvider, VoiceProvider};
use crate::storage::Storage;

/// Puts an engine together. Only the storage has no default.
#[derive(Debug)]
#[must_use]
pub struct Builder {
    storage: Option<Storage>,
    voice: Vec<Arc<dyn VoiceProvider>>,
    sms: Vec<Arc<dyn SmsProvider>>,
    email: Vec<Arc<dyn EmailProvider>>,
    short_links: Option<ShortLinks>,
    clock: Arc<dyn Clock>,
    ids: IdSource,
    policy: Policy,
    config: EngineConfig,
    sinks: Vec<Arc<dyn EventSink>>,
    actions: Vec<Arc<dyn HostAction>>,
    transformers: Vec<Arc<dyn ContactTransformer>>,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            storage: None,
            voice: Vec::new(),
            sms: Vec::new(),
            email: Vec::new(),
            short_links: None,
            clock: Arc::new(SystemClock::new()),
            ids: IdSource::random(),
            policy: Policy::new(),
            config: EngineConfig::default(),
            sinks: Vec::new(),
            actions: Vec::new(),
            transformers: Vec::new(),
        }
    }

    /// Where everything is kept.
    pub fn storage(mut self, storage: impl Into<Storage>) -> Self {
        self.storage = Some(storage.into());
        self
    }

    /// Adds a voice provider. The first healthy one in the order of adding places a call.
    pub fn voice(self, provider: impl VoiceProvider) -> Self {
        self.shared_voice(Arc::new(provider))
    }

    /// Adds a voice provider that the host keeps a handle to.
    pub fn shared_voice(mut self, provider: Arc<dyn VoiceProvider>) -> Self {
        self.voice.push(provider);
        self
    }

    /// Adds a provider of text messages. The first healthy one in the order of adding sends a message.
    pub fn sms(self, provider: impl SmsProvider) -> Self {
        self.shared_sms(Arc::new(provider))
    }

    /// Adds a provider of text messages that the host keeps a handle to.
    pub fn shared_sms(mut self, provider: Arc<dyn SmsProvider>) -> Self {
        self.sms.push(provider);
        self
    }

    /// Adds a provider of e-mail. The first healthy one in the order of adding sends an e-mail.
    pub fn email(self, provider: impl EmailProvider) -> Self {
        self.shared_email(Arc::new(provider))
    }

    /// Adds a provider of e-mail that the host keeps a handle to.
    pub fn shared_email(mut self, provider: Arc<dyn EmailProvider>) -> Self {
        self.email.push(provider);
        self
    }

    /// Has the links of messages tell who followed them. Without, messages hold the links as the campaign has them.
    pub fn short_links(mut self, links: ShortLinks) -> Self {
        self.short_links = Some(links);
        self
    }

    /// The clock; the machine's by default.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Where ids come from; the operating system's randomness by default.
    pub fn ids(mut self, ids: IdSource) -> Self {
        self.ids = ids;
        self
    }

    /// Adds a rule of the host: it can forbid more than Rivvi's rules, never allow more.
    pub fn rule(mut self, rule: impl Rule) -> Self {
        self.policy = self.policy.with(Arc::new(rule));
        self
    }

    /// Adds a receiver of all journal entries.
    pub fn event_sink(mut self, sink: impl EventSink) -> Self {
        self.sinks.push(Arc::new(sink));
        self
    }

    /// Registers an action that conversations may ask for.
    pub fn action(mut self, action: impl HostAction) -> Self {
        self.actions.push(Arc::new(action));
        self
    }

    /// Adds a transformer that sees every row at import.
    pub fn contact_transformer(mut self, transformer: impl ContactTransformer + 'static) -> Self {
        self.transformers.push(Arc::new(transformer));
        self
    }

    /// The numbers of the engine.
    pub fn config(mut self, config: EngineConfig) -> Self {
        self.config = config;
        self
    }

    /// The engine.
    ///
    /// # Errors
    /// If the storage is missing, a number of the configuration makes no sense, or two providers, actions or event
    /// sinks have the same name.
    pub fn build(self) -> Result<Rivvi, BuildError> {
        let storage = self.storage.ok_or(BuildError::NoStorage)?;
        if let Some(problem) = self.config.problem() {
            return Err(BuildError::Config(problem));
        }
        let mut breakers = HashMap::default();
        let names = self.voice.iter().map(|provider| provider.name());
        let names = names.chain(self.sms.iter().map(|provider| provider.name()));
        for name in names.chain(self.email.iter().map(|provider| provider.name())) {
            if breakers.insert(name.clone(), Breaker::default()).is_some() {
                return Err(BuildError::SameName(name.to_string()));
            }
        }
        let mut actions = HashMap::default();
        for action in self.actions {
            let name = action.name().to_owned();
            if actions.insert(name.clone(), action).is_some() {
                return Err(BuildError::SameName(name));
            }
        }
        let mut sinks = std::collections::HashSet::new();
        if let Some(twice) = self.sinks.iter().find(|sink| !sinks.insert(sink.name().to_owned())) {
            return Err(BuildError::SameName(twice.name().to_owned()));
        }
        let node = NodeId::from_uuid(self.ids.next(self.clock.now()));
        Ok(Rivvi::from_inner(|this| Inner {
            this,
            storage,
            voice: self.voice,
            sms: self.sms,
            email: self.email,
            short_links: self.short_links,
            breakers: std::sync::Mutex::new(breakers),
            connected: RwLock::default(),
            clock: self.clock,
            ids: self.ids,
            node,
            policy: self.policy,
            config: self.config,
            sinks: self.sinks,
            actions,
            transformers: self.transformers,
            intake: Intake::default(),
            terms: TermsCache::default(),
            hung_up: std::sync::Mutex::default(),
            loading: std::sync::Mutex::default(),
            webhook_copies: super::webhook_copies::Queue::default(),
            purged_at: std::sync::Mutex::default(),
            places: std::sync::Mutex::default(),
            troubles: std::sync::Mutex::default(),
            // Nodes begin with different runs, so that they do not all wait for the same organization.
            dispatch_turn: std::sync::atomic::AtomicU64::new(u64::from(node.as_uuid().as_bytes()[15])),
            dispatch_wake: Notify::new(),
            upkeep_wake: Notify::new(),
            loops: std::sync::atomic::AtomicUsize::default(),
            telling: std::sync::atomic::AtomicBool::default(),
            progress: tokio::sync::watch::channel(0).0,
        }))
    }
}

/// Why an engine cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// No storage was given.
    #[error("no storage was given: call `storage(...)`, for a trial with `Storage::in_memory()`")]
    NoStorage,
    /// A number of the configuration makes no sense.
    #[error("{0}")]
    Config(&'static str),
    /// Two providers, two actions or two event sinks share a name.
    #[error("two providers, actions or event sinks are called `{0}`: names must differ")]
    SameName(String),
}
