//! The network log: one line per call leg, written before the network answers.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use rivvi_core::domain::{CallId, ContactId, E164, RunId};
use serde::{Deserialize, Serialize};

/// A call leg: somebody's phone was asked to ring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leg {
    /// When, by the engine's clock.
    pub at: DateTime<Utc>,
    /// The engine's id of the call.
    pub call_id: CallId,
    /// The number called.
    pub to: E164,
    /// The number shown.
    pub from: E164,
    /// The run it was for.
    pub run_id: RunId,
    /// The contact it was for.
    pub contact_id: ContactId,
    /// When it ends, unless it is hung up before; `None` in logs of older networks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<DateTime<Utc>>,
}

impl Leg {
    /// The legs in a network log, oldest first; none if there is no such file.
    ///
    /// # Errors
    /// If the file cannot be read, or holds something else.
    pub fn read_all(path: impl AsRef<Path>) -> Result<Vec<Self>, NetworkLogError> {
        read(path.as_ref()).map(|(legs, _)| legs)
    }
}

/// A network log that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkLogError {
    /// The file cannot be opened, read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// Another network writes to the file.
    #[error("{}: in use by another process; wait for it to end or give each its own file", path.display())]
    InUse {
        /// Which file.
        path: PathBuf,
    },
    /// A line is no call leg.
    #[error("{}: line {line}: expected a call leg as this network writes it, found something else", path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
    },
}

#[derive(Debug)]
pub(crate) struct NetworkLog {
    path: PathBuf,
    file: File,
    /// Where the last whole line that was read or written ends.
    length: u64,
    /// How many lines that are.
    lines: usize,
}

impl NetworkLog {
    /// Opens the log at `path`, making it if there is none, and reads the legs it holds. A last line that was cut
    /// off is removed: its leg was never answered. Nobody else may write to the file meanwhile.
    pub(crate) fn open(path: &Path) -> Result<(Self, Vec<Leg>), NetworkLogError> {
        let (log, legs) = Self::open_shared(path)?;
        if log.file.try_lock().is_err() {
            return Err(NetworkLogError::InUse { path: log.path });
        }
        log.cut_off().map_err(|source| log.io(source))?;
        Ok((log, legs))
    }

    /// Opens a log that other processes write to as well, and reads the legs it holds.
    pub(crate) fn open_shared(path: &Path) -> Result<(Self, Vec<Leg>), NetworkLogError> {
        let (legs, length) = read(path)?;
        let path = path.to_owned();
        match OpenOptions::new().create(true).read(true).append(true).open(&path) {
            Ok(file) => Ok((Self { path, file, length, lines: legs.len() }, legs)),
            Err(source) => Err(NetworkLogError::Io { path, source }),
        }
    }

    /// The legs that other processes have appended since the last look.
    pub(crate) fn catch_up(&mut self) -> Result<Vec<Leg>, NetworkLogError> {
        let mut text = Vec::new();
        let read =
            self.file.seek(SeekFrom::Start(self.length)).and_then(|_| self.file.read_to_end(&mut text));
        read.map_err(|source| self.io(source))?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let mut legs = Vec::new();
        for line in text[..whole].split_inclusive(|byte| *byte == b'\n') {
            let leg = serde_json::from_slice(line)
                .map_err(|_| NetworkLogError::Line { path: self.path.clone(), line: self.lines + 1 })?;
            self.length += line.len() as u64;
            self.lines += 1;
            legs.push(leg);
        }
        Ok(legs)
    }

    /// Appends a leg behind what was read or written last; what follows there is the rest of a line that was cut off.
    /// Nobody else may write meanwhile.
    pub(crate) fn append(&mut self, leg: &Leg) -> io::Result<()> {
        let mut line = serde_json::to_vec(leg)?;
        line.push(b'\n');
        self.cut_off()?;
        if let Err(error) = self.file.write_all(&line) {
            // A part of the line may stand there: the next leg must not be written behind it.
            self.cut_off()?;
            return Err(error);
        }
        self.length += line.len() as u64;
        self.lines += 1;
        Ok(())
    }

    /// Removes what stands behind the last whole line.
    fn cut_off(&self) -> io::Result<()> {
        if self.file.metadata()?.len() > self.length {
            self.file.set_len(self.length)?;
        }
        Ok(())
    }

    fn io(&self, source: io::Error) -> NetworkLogError {
        NetworkLogError::Io { path: self.path.clone(), source }
    }
}

/// How every line begins.
const LINE_START: &str = "{\"at\":\"";

/// The legs in a log, and where its last whole line ends.
fn read(path: &Path) -> Result<(Vec<Leg>, u64), NetworkLogError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(source) => return Err(NetworkLogError::Io { path: path.to_owned(), source }),
    };
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    // Only what this network began to write is a line that was cut off.
    let rest = &text[whole..];
    if !(rest.starts_with(LINE_START) || LINE_START.starts_with(rest)) {
        return Err(NetworkLogError::Line { path: path.to_owned(), line: text.lines().count() });
    }
    let legs = text[..whole].lines().enumerate().map(|(index, line)| {
        serde_json::from_str(line)
            .map_err(|_| NetworkLogError::Line { path: path.to_owned(), line: index + 1 })
    });
    Ok((legs.collect::<Result<_, _>>()?, whole as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leg(number: u64) -> Leg {
        let id = |n| std::str::FromStr::from_str(&format!("00000000-0000-7000-8000-{n:012}"));
        Leg {
            at: DateTime::UNIX_EPOCH,
            call_id: CallId::from_uuid(id(number).unwrap()),
            to: E164::from_digits(972_541_000_000 + number).unwrap(),
            from: E164::from_digits(97_221_234_567).unwrap(),
            run_id: RunId::from_uuid(id(1).unwrap()),
            contact_id: ContactId::from_uuid(id(2).unwrap()),
            ends_at: Some(DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(40)),
        }
    }

    #[test]
    fn it_reads_back_what_it_wrote_without_a_line_that_was_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("legs.jsonl");
        let (mut log, legs) = NetworkLog::open(&path).unwrap();
        assert!(legs.is_empty());
        log.append(&leg(1)).unwrap();
        log.append(&leg(2)).unwrap();
        log.file.write_all(b"{\"at\":\"2026").unwrap();
        assert!(
            matches!(NetworkLog::open(&path), Err(NetworkLogError::InUse { .. })),
            "one network at a time"
        );
        drop(log);
        let (mut log, legs) = NetworkLog::open(&path).unwrap();
        assert_eq!(legs, [leg(1), leg(2)]);
        log.append(&leg(3)).unwrap();
        drop(log);
        assert_eq!(NetworkLog::open(&path).unwrap().1.len(), 3);
    }

    #[test]
    fn what_others_append_is_read_once_and_what_they_left_unfinished_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("legs.jsonl");
        let (mut one, _) = NetworkLog::open_shared(&path).unwrap();
        let (mut other, _) = NetworkLog::open_shared(&path).unwrap();
        one.append(&leg(1)).unwrap();
        one.append(&leg(2)).unwrap();
        one.file.write_all(b"{\"at\":\"2026").unwrap();
        assert_eq!(other.catch_up().unwrap(), [leg(1), leg(2)]);
        assert_eq!(other.catch_up().unwrap(), []);
        other.append(&leg(3)).unwrap();
        assert_eq!(one.catch_up().unwrap(), [leg(3)]);
        assert_eq!(Leg::read_all(&path).unwrap(), [leg(1), leg(2), leg(3)]);
        one.file.write_all(b"{\"hello\":1}\n").unwrap();
        let error = other.catch_up().unwrap_err().to_string();
        assert!(error.contains("legs.jsonl: line 4: expected a call leg"), "{error}");
    }

    #[test]
    fn a_leg_of_an_older_network_does_not_say_when_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("legs.jsonl");
        let older = Leg { ends_at: None, ..leg(1) };
        let (mut log, _) = NetworkLog::open(&path).unwrap();
        log.append(&older).unwrap();
        assert!(!std::fs::read_to_string(&path).unwrap().contains("ends_at"));
        assert_eq!(Leg::read_all(&path).unwrap(), [older]);
    }

    #[test]
    fn another_kind_of_file_is_refused_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        for text in ["dear diary\n", "dear diary", "{\"hello\":1}"] {
            std::fs::write(&path, text).unwrap();
            let error = NetworkLog::open(&path).unwrap_err().to_string();
            assert!(error.contains("notes.txt: line 1: expected a call leg"), "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "the file is left as it was");
        }
    }
}
