//! How speech is kept.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, SystemClock};
use crate::provider::SpeechSynthesizer;

/// How speech is kept.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CachedSpeechOptions {
    /// What speaks when the first synthesizer cannot. Default none.
    pub fallback: Option<Arc<dyn SpeechSynthesizer>>,
    /// Bytes of speech that are kept in memory. A minute takes 1 MB at 8 kHz. Default 64 MiB.
    pub memory_bytes_max: usize,
    /// How long one request to the blob store may take. Default 3 s.
    pub store_timeout: Duration,
    /// How long one synthesis may take. Default 30 s.
    pub synthesis_max: Duration,
    /// The clock by which claims lapse and pauses end. Default that of the machine.
    pub clock: Arc<dyn Clock>,
}

impl Default for CachedSpeechOptions {
    fn default() -> Self {
        Self {
            fallback: None,
            memory_bytes_max: 64 * 1024 * 1024,
            store_timeout: Duration::from_secs(3),
            synthesis_max: Duration::from_secs(30),
            clock: Arc::new(SystemClock::new()),
        }
    }
}
