//! Speech in memory.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use super::key::Key;

/// Speech in memory, up to so many bytes; what was not wanted for the longest time goes first.
#[derive(Debug)]
pub(super) struct Memory {
    bytes_max: usize,
    bytes: usize,
    kept: HashMap<Key, (u64, Bytes)>,
    /// By when it was wanted last.
    order: BTreeMap<u64, Key>,
    wanted: u64,
}

impl Memory {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, bytes: 0, kept: HashMap::new(), order: BTreeMap::new(), wanted: 0 }
    }

    pub(super) fn find(&mut self, key: &Key) -> Option<Bytes> {
        let (last, speech) = self.kept.get_mut(key)?;
        self.order.remove(last);
        self.wanted += 1;
        *last = self.wanted;
        self.order.insert(self.wanted, key.clone());
        Some(speech.clone())
    }

    /// Keeps speech, unless it is larger than all there is room for.
    pub(super) fn keep(&mut self, key: Key, speech: Bytes) {
        if speech.len() > self.bytes_max || self.find(&key).is_some() {
            return;
        }
        self.wanted += 1;
        self.bytes += speech.len();
        self.order.insert(self.wanted, key.clone());
        self.kept.insert(key, (self.wanted, speech));
        while self.bytes > self.bytes_max {
            let Some((_, key)) = self.order.pop_first() else { return };
            if let Some((_, speech)) = self.kept.remove(&key) {
                self.bytes -= speech.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{AudioFormat, SpeechRequest};
    use crate::speech::cache::key::tests::Named;

    #[test]
    fn what_was_not_wanted_goes_first() {
        let key = |text: &str| Key::of(&Named("a", ""), &SpeechRequest::new(text, AudioFormat::Linear8k));
        let mut memory = Memory::new(10);
        for text in ["a", "b", "c"] {
            memory.keep(key(text), Bytes::from_static(&[0; 3]));
        }
        assert!(memory.find(&key("a")).is_some());
        memory.keep(key("d"), Bytes::from_static(&[0; 4]));
        let there = |memory: &mut Memory| ["a", "b", "c", "d"].map(|text| memory.find(&key(text)).is_some());
        assert_eq!(there(&mut memory), [true, false, true, true]);
        memory.keep(key("e"), Bytes::from_static(&[0; 11]));
        assert_eq!(there(&mut memory), [true, false, true, true], "too large for it");
        memory.keep(key("a"), Bytes::from_static(&[0; 3]));
        assert_eq!((memory.bytes, memory.order.len()), (10, 3));
    }
}
