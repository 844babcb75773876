//! Speech: what synthesizers have in common, and what was spoken before.
//!
//! - [`CachedSpeech`]: a synthesizer in front of another that never pays twice for the same text.
//! - [`audio`]: WAV files, rates and codings.
//!
//! ```text
//!  request ─▶ memory ─▶ flight ─▶ blobs ─▶ breaker ─▶ claim ─▶ synthesizer ─▶ blobs
//!              hit?     joined?    hit?     closed?   spoken                  kept
//!                                                     elsewhere?
//! ```

pub mod audio;
mod cache;

pub use cache::{CachedSpeech, CachedSpeechOptions, SpeechStatistics};
