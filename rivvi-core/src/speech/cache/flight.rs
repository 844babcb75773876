//! One synthesis for all who want the same speech at once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};

use super::counters::Counters;
use super::key::Key;
use super::memory::Memory;
use super::options::CachedSpeechOptions;
use super::shelf::{Claimed, Shelf};
use super::source::Source;
use crate::provider::{ProviderError, ProviderErrorKind, SpeechRequest};

/// Speech, or why there is none, for everyone who waits for it.
type Spoken = Result<Bytes, Arc<ProviderError>>;

pub(super) struct Flights {
    shelf: Shelf,
    options: CachedSpeechOptions,
    pub(super) counters: Arc<Counters>,
    state: Mutex<State>,
}

struct State {
    memory: Memory,
    /// What is being made, in tasks of its own, so that it is kept even if nobody waits any more.
    flying: HashMap<Key, Shared<BoxFuture<'static, Spoken>>>,
}

/// Ends a flight however it ends.
struct Landing {
    flights: Arc<Flights>,
    key: Key,
}

impl Flights {
    pub(super) fn new(shelf: Shelf, options: CachedSpeechOptions, counters: Arc<Counters>) -> Self {
        let state = State { memory: Memory::new(options.memory_bytes_max), flying: HashMap::new() };
        Self { shelf, options, counters, state: Mutex::new(state) }
    }

    /// The speech of a request by this synthesizer: kept, or made now.
    pub(super) async fn speech(self: &Arc<Self>, source: &Arc<Source>, request: &SpeechRequest) -> Spoken {
        let key = Key::of(&*source.synthesizer, request);
        let flight = {
            let mut state = self.state();
            if let Some(speech) = state.memory.find(&key) {
                Counters::count(&self.counters.memory_hits);
                return Ok(speech);
            }
            match state.flying.entry(key.clone()) {
                Entry::Occupied(flying) => {
                    Counters::count(&self.counters.joined);
                    flying.get().clone()
                }
                Entry::Vacant(free) => free.insert(self.take_off(source, key, request)).clone(),
            }
        };
        flight.await
    }

    fn take_off(
        self: &Arc<Self>,
        source: &Arc<Source>,
        key: Key,
        request: &SpeechRequest,
    ) -> Shared<BoxFuture<'static, Spoken>> {
        let (flights, pilot, request) = (self.clone(), source.clone(), request.clone());
        let flying = tokio::spawn(async move {
            let landing = Landing { flights: flights.clone(), key };
            let spoken = flights.fly(&pilot, &landing.key, &request).await;
            if let Ok(speech) = &spoken {
                flights.state().memory.keep(landing.key.clone(), speech.clone());
            }
            spoken.map_err(Arc::new)
        });
        let source = source.clone();
        let landed = flying.map(move |spoken| {
            spoken.unwrap_or_else(|broken| {
                let error = source.error(ProviderErrorKind::Unavailable);
                // What a panic said may hold the text.
                let why = if broken.is_panic() { "the synthesizer panicked" } else { "the process ends" };
                Err(Arc::new(error.with_source(why)))
            })
        });
        landed.boxed().shared()
    }

    /// The speech as it is kept or, if nobody else makes it, as the synthesizer makes it.
    async fn fly(&self, source: &Source, key: &Key, request: &SpeechRequest) -> Result<Bytes, ProviderError> {
        let (counters, clock) = (&self.counters, &self.options.clock);
        if let Some(speech) = self.shelf.find(key).await {
            Counters::count(&counters.store_hits);
            return Ok(speech);
        }
        if let Err(error) = source.admit(clock.now()) {
            Counters::count(&counters.refused);
            return Err(error);
        }
        let claim = match self.shelf.claim(key).await {
            Claimed::Spoken(speech) => {
                source.not_asked(clock.now());
                Counters::count(&counters.store_hits);
                return Ok(speech);
            }
            Claimed::Ours(nth) => Some(nth),
            Claimed::Not => None,
        };
        let spoken = source.speak(request, self.options.synthesis_max, &**clock).await;
        match &spoken {
            Ok(_) => Counters::count(&counters.synthesized),
            Err(_) => Counters::count(&counters.failed),
        }
        let kept = match spoken {
            Ok(speech) => Ok(self.shelf.keep(key, speech).await),
            Err(error) => Err(error),
        };
        if let Some(nth) = claim {
            // Once there is speech, nobody needs older claims any more.
            self.shelf.give_up(key, if kept.is_ok() { 1..=nth } else { nth..=nth }).await;
        }
        kept
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.flights.state().flying.remove(&self.key);
    }
}
