//! Changes to inputs, decided by a seed.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::corpus::Entry;

/// Numbers at the edges of what types hold, and things that are nearly numbers.
const NUMBERS: [&str; 16] = [
    "0",
    "-1",
    "1",
    "255",
    "256",
    "65536",
    "2147483648",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "18446744073709551616",
    "-9223372036854775808",
    "1e308",
    "1e-400",
    "0.1",
    "NaN",
];

/// Texts that are awkward almost everywhere.
const WORDS: [&str; 14] =
    ["", "\0", "\n", "\r\n", "\"", "'", "\\", "{{", "}}", "%", "\u{feff}", "\u{202e}", "שלום", "\u{1f98a}"];

/// Makes new inputs from a corpus: always the same ones for the same seed.
#[derive(Debug)]
pub struct Mutator<'a> {
    dice: StdRng,
    corpus: &'a [Entry],
    dictionary: &'a [&'a str],
    bytes_max: usize,
}

impl<'a> Mutator<'a> {
    /// A mutator of inputs of at most `bytes_max` bytes, which knows these words.
    pub fn new(seed: u64, corpus: &'a [Entry], dictionary: &'a [&'a str], bytes_max: usize) -> Self {
        Self { dice: StdRng::seed_from_u64(seed), corpus, dictionary, bytes_max }
    }

    /// The input, changed in one to eight places.
    pub fn mutate(&mut self, input: &[u8]) -> Vec<u8> {
        let mut bytes = input.to_vec();
        let mut changes = 1;
        while changes < 8 && self.dice.random_bool(0.5) {
            changes += 1;
        }
        for _ in 0..changes {
            self.change(&mut bytes);
        }
        bytes.truncate(self.bytes_max);
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        match self.dice.random_range(0..12) {
            0 | 1 => {
                if let Some(byte) = self.any(bytes) {
                    bytes[byte] ^= 1 << self.dice.random_range(0..8);
                }
            }
            2 => {
                if let Some(byte) = self.any(bytes) {
                    bytes[byte] =
                        [0, 0xFF, 0x7F, 0x80, b' ', b'\n', b'"', b'0'][self.dice.random_range(0..8)];
                }
            }
            3 => {
                let at = self.dice.random_range(0..=bytes.len());
                let new: Vec<u8> = (0..self.dice.random_range(1..5)).map(|_| self.dice.random()).collect();
                bytes.splice(at..at, new);
            }
            4 => {
                let (from, to) = self.range(bytes.len());
                bytes.drain(from..to);
            }
            5 => bytes.truncate(self.dice.random_range(0..=bytes.len())),
            6 => self.repeat(bytes),
            7 => self.splice(bytes),
            8 => self.number(bytes),
            _ => self.word(bytes),
        }
    }

    fn any(&mut self, bytes: &[u8]) -> Option<usize> {
        (!bytes.is_empty()).then(|| self.dice.random_range(0..bytes.len()))
    }

    /// A range, mostly a short one.
    fn range(&mut self, len: usize) -> (usize, usize) {
        let from = self.dice.random_range(0..=len);
        let longest = if self.dice.random_bool(0.8) { 16 } else { len };
        (from, (from + self.dice.random_range(0..=longest)).min(len))
    }

    fn repeat(&mut self, bytes: &mut Vec<u8>) {
        let (from, to) = self.range(bytes.len());
        let part = bytes[from..to].to_vec();
        let most = if self.dice.random_bool(0.9) { 4 } else { 400 };
        let times = self.dice.random_range(1..=most).min(self.bytes_max / part.len().max(1) + 1);
        bytes.splice(to..to, part.repeat(times));
    }

    /// A part of another input in place of a part of this one.
    fn splice(&mut self, bytes: &mut Vec<u8>) {
        let corpus = self.corpus;
        if corpus.is_empty() {
            return;
        }
        let other = &corpus[self.dice.random_range(0..corpus.len())].bytes;
        let (from, to) = self.range(bytes.len());
        let (other_from, other_to) = self.range(other.len());
        bytes.splice(from..to, other[other_from..other_to].iter().copied());
    }

    /// Another number in place of one that stands there as text.
    fn number(&mut self, bytes: &mut Vec<u8>) {
        let starts: Vec<usize> = (0..bytes.len())
            .filter(|at| bytes[*at].is_ascii_digit() && (*at == 0 || !bytes[*at - 1].is_ascii_digit()))
            .collect();
        let Some(start) = self.any(&vec![0; starts.len()]).map(|at| starts[at]) else { return };
        let len = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = NUMBERS[self.dice.random_range(0..NUMBERS.len())];
        bytes.splice(start..start + len, number.bytes());
    }

    fn word(&mut self, bytes: &mut Vec<u8>) {
        let known = self.dice.random_range(0..WORDS.len() + 3 * self.dictionary.len());
        let word = match known.checked_sub(WORDS.len()) {
            Some(place) => self.dictionary[place / 3],
            None => WORDS[known],
        };
        let (from, to) = self.range(bytes.len());
        let to = if self.dice.random() { from } else { to };
        bytes.splice(from..to, word.bytes());
    }
}
