//! Texts in parts that Polly takes: pure.

use unicode_segmentation::UnicodeSegmentation;

/// Billed characters that one request may have (<https://docs.aws.amazon.com/polly/latest/dg/limits.html>).
pub(crate) const BILLED_MAX: usize = 3_000;
/// Characters that one request may have, with the tags of SSML, which are not billed.
pub(crate) const CHARACTERS_MAX: usize = 6_000;

/// A text in parts of at most `max` characters, which together are the text: as few as fit whole sentences, where those are
/// too long whole words, where those are too long as many signs as fit. Parts without anything to say are left out.
///
/// Characters are counted as UTF-16 does, which is never less than what the vendor counts.
pub(crate) fn parts(text: &str, max: usize) -> Vec<&str> {
    let mut packed = Packed { text, max, parts: Vec::new(), from: 0, to: 0, length: 0 };
    for sentence in text.split_sentence_bounds() {
        if length(sentence) <= max {
            packed.add(sentence);
            continue;
        }
        packed.end();
        for word in sentence.split_word_bounds() {
            if length(word) <= max {
                packed.add(word);
                continue;
            }
            for sign in word.graphemes(true) {
                if length(sign) <= max {
                    packed.add(sign);
                } else {
                    sign.split_inclusive(|_: char| true).for_each(|part| packed.add(part));
                }
            }
        }
        packed.end();
    }
    packed.end();
    packed.parts
}

/// Characters of a text, as UTF-16 counts them.
pub(crate) fn length(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// Characters of a document that are not within its tags.
pub(crate) fn billed_of_ssml(document: &str) -> usize {
    let mut within = false;
    let outside = |sign: &char| {
        match *sign {
            '<' => within = true,
            '>' if within => {
                within = false;
                return false;
            }
            _ => {}
        }
        !within
    };
    document.chars().filter(outside).map(char::len_utf16).sum()
}

/// The part that grows, and those that are full.
struct Packed<'a> {
    text: &'a str,
    max: usize,
    parts: Vec<&'a str>,
    from: usize,
    to: usize,
    length: usize,
}

impl Packed<'_> {
    /// Adds what comes next in the text, and fits into a part of its own.
    fn add(&mut self, piece: &str) {
        let added = length(piece);
        if self.length + added > self.max {
            self.end();
        }
        self.to += piece.len();
        self.length += added;
    }

    fn end(&mut self) {
        let part = &self.text[self.from..self.to];
        if part.chars().any(|sign| !sign.is_whitespace()) {
            self.parts.push(part);
        }
        (self.from, self.length) = (self.to, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_stays_whole() {
        let text = "One. Two! שלוש? 四。";
        assert_eq!(parts(text, BILLED_MAX), [text]);
        assert_eq!(parts("", 10), Vec::<&str>::new());
        assert_eq!(parts(" \n\t ", 2), Vec::<&str>::new());
    }

    #[test]
    fn long_texts_end_at_sentences_long_sentences_at_words_and_long_words_anywhere() {
        assert_eq!(parts("One two. Three four. Five.", 22), ["One two. Three four. ", "Five."]);
        assert_eq!(parts("One two. Three four. Five.", 12), ["One two. ", "Three four. ", "Five."]);
        assert_eq!(parts("Hi. One two three four", 9), ["Hi. ", "One two ", "three ", "four"]);
        assert_eq!(parts("abcdefgh", 3), ["abc", "def", "gh"]);
        assert_eq!(parts("一二三。四五六。", 4), ["一二三。", "四五六。"]);
    }

    #[test]
    fn signs_are_never_torn() {
        for part in parts(&"👩‍👩‍👧‍👦".repeat(5), 12) {
            assert!(part.starts_with('👩'), "{part}");
        }
        for part in parts(&"e\u{301}".repeat(50), 7) {
            assert!(part.starts_with('e') && length(part) <= 7, "{part}");
        }
        let towers = format!("a{}", "\u{301}".repeat(50));
        assert_eq!(parts(&towers, 7).concat(), towers);
    }

    #[test]
    fn no_part_is_too_long_and_nothing_is_lost() {
        let texts = [
            "Good morning, Dana. Your appointment is tomorrow. ".repeat(200),
            "word ".repeat(3_000),
            "ארוך מאוד בלי סוף ".repeat(900),
            "x".repeat(10_000),
            "🙂".repeat(4_000),
        ];
        for text in &texts {
            let parts = parts(text, BILLED_MAX);
            assert!(parts.iter().all(|part| length(part) <= BILLED_MAX));
            assert_eq!(parts.concat().trim(), text.trim());
            assert!(parts.len() <= length(text) / 2_900 + 2, "{} parts", parts.len());
        }
    }

    #[test]
    fn tags_are_not_billed() {
        assert_eq!(billed_of_ssml("<speak>Hi <break time=\"1s\"/>you</speak>"), 6);
        assert_eq!(billed_of_ssml("a > b"), 5);
        assert_eq!(billed_of_ssml("<speak"), 0);
    }
}
