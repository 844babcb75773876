//! The encoding of text sheets: which one it is, and their bytes as UTF-8, streamed.

use std::io::{self, Read};

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Decoder, Encoding, ISO_8859_8, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1255};

/// Bytes read at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// Bytes with letters beyond ASCII that are shown to the detector; more of them teach it nothing.
const DETECT_BYTES: usize = 1024 * 1024;
/// The encoding of a text sheet.
#[derive(Debug, Clone, Copy)]
pub(super) struct TextEncoding {
    encoding: &'static Encoding,
    /// Length of the byte order mark, which is not part of the text.
    mark_bytes: usize,
    /// The bytes are valid UTF-8 and pass as they are.
    as_is: bool,
}

impl TextEncoding {
    /// Reads the whole text once: a byte order mark decides, else valid UTF-8, else the letters and the `region`.
    pub(super) fn detect(mut reader: impl Read, region: Option<&str>) -> io::Result<Self> {
        let mut evidence = Evidence::default();
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut first = true;
        loop {
            let n = fill(&mut reader, &mut chunk)?;
            if first {
                if let Some(found) = Self::at_once(&chunk[..n]) {
                    if found.encoding != UTF_8 {
                        return Ok(found);
                    }
                    evidence.mark_bytes = found.mark_bytes;
                }
                first = false;
            }
            if n == 0 {
                return Ok(evidence.conclude(region));
            }
            evidence.see(&chunk[..n]);
        }
    }

    /// What the first bytes alone tell.
    fn at_once(head: &[u8]) -> Option<Self> {
        if let Some((encoding, mark_bytes)) = Encoding::for_bom(head) {
            return Some(Self { encoding, mark_bytes, as_is: false });
        }
        utf16_without_mark(head).map(|encoding| Self { encoding, mark_bytes: 0, as_is: false })
    }

    /// The name of the encoding, for instance `windows-1255`.
    pub(super) fn name(self) -> &'static str {
        self.encoding.name()
    }

    /// The text as UTF-8, without the byte order mark. Bytes that are no text become U+FFFD.
    pub(super) fn decode(self, mut reader: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
        let mut mark = [0; 3];
        fill(&mut reader, &mut mark[..self.mark_bytes])?;
        if self.as_is {
            return Ok(Box::new(reader));
        }
        Ok(Box::new(Decoded {
            reader,
            decoder: self.encoding.new_decoder_without_bom_handling(),
            raw: vec![0; CHUNK_BYTES],
            raw_at: 0,
            raw_end: 0,
            text: vec![0; CHUNK_BYTES],
            text_at: 0,
            text_end: 0,
            ended: false,
            done: false,
        }))
    }
}

/// UTF-16 that came without its byte order mark, told by the zero bytes of Latin letters and delimiters.
pub(super) fn utf16_without_mark(head: &[u8]) -> Option<&'static Encoding> {
    let head = &head[..head.len().min(512) & !1];
    if head.len() < 4 {
        return None;
    }
    let zeros = |offset: usize| head.iter().skip(offset).step_by(2).filter(|byte| **byte == 0).count();
    let (even, odd, half) = (zeros(0), zeros(1), head.len() / 2);
    match (even, odd) {
        (0, odd) if odd * 4 >= half => Some(UTF_16LE),
        (even, 0) if even * 4 >= half => Some(UTF_16BE),
        _ => None,
    }
}

/// What was seen of a text while looking for its encoding.
struct Evidence {
    detector: EncodingDetector,
    shown_bytes: usize,
    mark_bytes: usize,
    /// Bytes of a character that the next chunk completes.
    carry: Vec<u8>,
    wide_valid: u64,
    invalid: u64,
    high_bytes: u64,
    hebrew_bytes: u64,
}

impl Default for Evidence {
    fn default() -> Self {
        Self {
            detector: EncodingDetector::new(Iso2022JpDetection::Deny),
            shown_bytes: 0,
            mark_bytes: 0,
            carry: Vec::new(),
            wide_valid: 0,
            invalid: 0,
            high_bytes: 0,
            hebrew_bytes: 0,
        }
    }
}

impl Evidence {
    fn see(&mut self, chunk: &[u8]) {
        if chunk.is_ascii() && self.carry.is_empty() {
            return;
        }
        self.judge_utf8(chunk);
        if self.shown_bytes < DETECT_BYTES {
            self.detector.feed(chunk, false);
            self.shown_bytes += chunk.len();
            self.high_bytes += chunk.iter().filter(|byte| **byte >= 0x80).count() as u64;
            self.hebrew_bytes += chunk.iter().filter(|byte| (0xE0..=0xFA).contains(*byte)).count() as u64;
        }
    }

    fn judge_utf8(&mut self, chunk: &[u8]) {
        let mut bytes = std::mem::take(&mut self.carry);
        bytes.extend_from_slice(chunk);
        let mut rest = bytes.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(text) => {
                    self.wide_valid += wide_chars(text.as_bytes());
                    return;
                }
                Err(error) => {
                    self.wide_valid += wide_chars(&rest[..error.valid_up_to()]);
                    let Some(len) = error.error_len() else {
                        self.carry = rest[error.valid_up_to()..].to_vec();
                        return;
                    };
                    self.invalid += 1;
                    rest = &rest[error.valid_up_to() + len..];
                }
            }
        }
    }

    fn conclude(mut self, region: Option<&str>) -> TextEncoding {
        if !self.carry.is_empty() {
            self.invalid += 1;
        }
        let mark_bytes = self.mark_bytes;
        // A few broken bytes in a text full of UTF-8 do not make it another encoding.
        if mark_bytes > 0 || self.invalid * 10 <= self.wide_valid {
            return TextEncoding { encoding: UTF_8, mark_bytes, as_is: self.invalid == 0 };
        }
        self.detector.feed(b"", true);
        let domain =
            region.filter(|r| r.bytes().all(|b| b.is_ascii_alphabetic())).map(str::to_ascii_lowercase);
        let guess = self.detector.guess(domain.as_deref().map(str::as_bytes), Utf8Detection::Deny);
        let israeli = domain.as_deref() == Some("il") && self.hebrew_bytes * 2 > self.high_bytes;
        let encoding = if guess == ISO_8859_8 || israeli { WINDOWS_1255 } else { guess };
        TextEncoding { encoding, mark_bytes: 0, as_is: false }
    }
}

/// Characters beyond ASCII in valid UTF-8.
fn wide_chars(valid: &[u8]) -> u64 {
    valid.iter().filter(|byte| **byte >= 0xC0).count() as u64
}

/// Reads until the buffer is full or the reader ends.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

/// A reader of UTF-8 over a reader of another encoding.
struct Decoded<R> {
    reader: R,
    decoder: Decoder,
    raw: Vec<u8>,
    raw_at: usize,
    raw_end: usize,
    text: Vec<u8>,
    text_at: usize,
    text_end: usize,
    ended: bool,
    done: bool,
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.text_at == self.text_end && !self.done {
            if self.raw_at == self.raw_end && !self.ended {
                self.raw_at = 0;
                self.raw_end = fill(&mut self.reader, &mut self.raw)?;
                self.ended = self.raw_end < self.raw.len();
            }
            let (result, read, written, _) =
                self.decoder.decode_to_utf8(&self.raw[self.raw_at..self.raw_end], &mut self.text, self.ended);
            self.raw_at += read;
            (self.text_at, self.text_end) = (0, written);
            self.done = self.ended && result == encoding_rs::CoderResult::InputEmpty;
        }
        let n = buffer.len().min(self.text_end - self.text_at);
        buffer[..n].copy_from_slice(&self.text[self.text_at..self.text_at + n]);
        self.text_at += n;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detect(bytes: &[u8], region: Option<&str>) -> (&'static str, String) {
        let encoding = TextEncoding::detect(bytes, region).unwrap();
        let mut text = String::new();
        let owned = io::Cursor::new(bytes.to_vec());
        encoding.decode(owned).unwrap().read_to_string(&mut text).unwrap();
        (encoding.name(), text)
    }

    #[test]
    fn encodings_are_told_apart() {
        let text = "שם,טלפון\nדנה,0541234567\n";
        let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let utf16_be: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let (hebrew, ..) = WINDOWS_1255.encode(text);
        let cases: [(&str, Vec<u8>, &str); 6] = [
            ("UTF-8", text.into(), text),
            ("UTF-8", [b"\xEF\xBB\xBF", text.as_bytes()].concat(), text),
            ("UTF-16LE", [b"\xFF\xFE", utf16.as_slice()].concat(), text),
            ("UTF-16BE", [b"\xFE\xFF", utf16_be.as_slice()].concat(), text),
            ("UTF-16LE", utf16, text),
            ("windows-1255", hebrew.into_owned(), text),
        ];
        for (name, bytes, expected) in cases {
            assert_eq!(detect(&bytes, Some("IL")), (name, expected.to_owned()));
        }
    }

    #[test]
    fn western_letters_are_not_hebrew() {
        let (bytes, ..) =
            encoding_rs::WINDOWS_1252.encode("Name,Phone\nJosé Müller,+34 600 000 000\nSøren,1\n");
        assert_eq!(detect(&bytes, Some("US")).0, "windows-1252");
        assert_eq!(detect(&bytes, None).0, "windows-1252");
    }

    #[test]
    fn utf8_with_one_broken_byte_stays_utf8() {
        let mut bytes = "שלום עולם, טלפון של דנה\n".repeat(3).into_bytes();
        bytes.push(0xFF);
        let (name, text) = detect(&bytes, Some("IL"));
        assert_eq!(name, "UTF-8");
        assert!(text.ends_with('\u{FFFD}'));
    }

    #[test]
    fn characters_across_chunks_are_whole() {
        let text = "א".repeat(CHUNK_BYTES) + "x";
        assert_eq!(detect(format!("x{text}").as_bytes(), None), ("UTF-8", format!("x{text}")));
        let (bytes, ..) = WINDOWS_1255.encode(&text);
        assert_eq!(detect(&bytes, Some("IL")).1, text);
    }
}
