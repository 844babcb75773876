//! The contacts of a run on their way from the sheet to the ledger: a JSON document with one contact on each line.
//!
//! ```text
//! {"run_id":"…","sheet_digest":"…","contacts":[
//! {"row":2,"number":"+972…",…},
//! {"row":3,"number":"+972…",…}
//! ]}
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use object_store::ObjectMeta;
use serde::{Deserialize, Serialize};

use crate::domain::{Contact, E164, PersonFields, Personal, Priority, Run, RunId};
use crate::policy::zone::ResolvedZones;
use crate::storage::blobs::{CHUNK_BYTES, Upload};
use crate::storage::{Blobs, StorageError, StorageErrorKind};

/// What the document is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    run_id: RunId,
    sheet_digest: String,
}

/// What a line tells of a contact: that which is not the same for all contacts of a run that never was started.
#[derive(Serialize, Deserialize)]
struct Line<P, Z, V> {
    row: u64,
    number: E164,
    person: P,
    zones: Z,
    priority: Priority,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    external_id: Option<Personal<String>>,
    variables: V,
}

/// Ends the first line, after which the contacts come.
const OPEN: &[u8] = b",\"contacts\":[";
/// The last line.
const CLOSE: &[u8] = b"]}";

/// Writes the document.
#[derive(Debug)]
pub(super) struct ProcessedWriter {
    upload: Upload,
    text: Vec<u8>,
    empty: bool,
}

impl ProcessedWriter {
    /// Begins the document of a run with the sheet of this digest.
    pub(super) fn new(upload: Upload, run: &Run, sheet_digest: &str) -> Self {
        let head = Head { run_id: run.id, sheet_digest: sheet_digest.to_owned() };
        let mut text = serde_json::to_vec(&head).unwrap_or_default();
        text.pop();
        text.extend_from_slice(OPEN);
        Self { upload, text, empty: true }
    }

    /// Adds contacts, whose rows ascend.
    pub(super) async fn write(&mut self, contacts: &[Contact]) -> Result<(), StorageError> {
        for contact in contacts {
            self.text.extend_from_slice(if self.empty { b"\n" } else { b",\n" });
            self.empty = false;
            let line = Line {
                row: contact.row,
                number: contact.number,
                person: &contact.person,
                zones: &contact.zones,
                priority: contact.priority,
                external_id: contact.external_id.clone(),
                variables: &contact.variables,
            };
            serde_json::to_writer(&mut self.text, &line).map_err(|_| {
                let context = format!("the contact of row {} cannot be written as JSON", contact.row);
                StorageError::new(StorageErrorKind::Corrupt, "import", context)
            })?;
        }
        self.upload.write(&self.text).await?;
        self.text.clear();
        Ok(())
    }

    /// Makes the document.
    pub(super) async fn finish(mut self) -> Result<(), StorageError> {
        self.text.push(b'\n');
        self.text.extend_from_slice(CLOSE);
        self.upload.write(&self.text).await?;
        self.upload.finish().await
    }

    /// Gives the document up.
    pub(super) async fn abandon(self) {
        self.upload.abandon().await;
    }
}

/// Reads the document of a run from beginning to end.
#[derive(Debug)]
pub(super) struct ProcessedReader<'a> {
    blobs: &'a Blobs,
    run: &'a Run,
    operation: &'static str,
    meta: ObjectMeta,
    /// How much of the object was read.
    offset: u64,
    /// What was read and not yet taken, from `taken` on.
    text: Vec<u8>,
    taken: usize,
    lines: u64,
    contacts: u64,
    last_row: u64,
    ended: bool,
}

/// The longest line that is believed. The sheet allows rows of 1 MiB, which escaping may lengthen.
const LINE_BYTES_MAX: usize = 2 * CHUNK_BYTES;

impl<'a> ProcessedReader<'a> {
    /// Opens the document of a run that [waits in blobs](Run::waits_in_blobs), which must be of the sheet that the run
    /// reports on.
    pub(super) async fn open(
        blobs: &'a Blobs,
        run: &'a Run,
        operation: &'static str,
    ) -> Result<Self, StorageError> {
        let path = run.processed_file.as_deref().unwrap_or_default();
        let meta = blobs.head(operation, path).await.map_err(|error| match error.kind {
            StorageErrorKind::NotFound => missing(operation, path),
            _ => error,
        })?;
        let (text, taken, offset) = (Vec::new(), 0, 0);
        let (lines, contacts, last_row, ended) = (0, 0, 0, false);
        let mut reader =
            Self { blobs, run, operation, meta, offset, text, taken, lines, contacts, last_row, ended };
        let head = reader.next_line().await?;
        let digest = run.report.as_ref().map(|report| report.digest.clone()).unwrap_or_default();
        let expected = Head { run_id: run.id, sheet_digest: digest };
        let found = head
            .strip_suffix(OPEN)
            .and_then(|head| serde_json::from_slice::<Head>(&[head, b"}"].concat()).ok());
        match found {
            Some(found) if found == expected => Ok(reader),
            Some(_) => Err(reader.corrupt("is of another run or of another sheet")),
            None => Err(reader.corrupt("has no head in its first line")),
        }
    }

    /// The next contacts, at most `limit`; none at the end.
    ///
    /// # Errors
    /// [`Corrupt`](StorageErrorKind::Corrupt) if a line is not as it was written, or if there are not as many as the
    /// import counted.
    pub(super) async fn next_batch(&mut self, limit: usize) -> Result<Vec<Contact>, StorageError> {
        let mut contacts = Vec::with_capacity(limit.min(1_000));
        while !self.ended && contacts.len() < limit {
            let line = self.next_line().await?;
            if line == CLOSE {
                self.end()?;
            } else {
                contacts.push(self.contact(&line)?);
            }
        }
        Ok(contacts)
    }

    fn end(&mut self) -> Result<(), StorageError> {
        self.ended = true;
        let imported = self.run.report.as_ref().map_or(0, |report| report.imported);
        if self.contacts != imported {
            let problem = format!("has {} contacts where the import counted {imported}", self.contacts);
            return Err(self.corrupt(&problem));
        }
        Ok(())
    }

    fn contact(&mut self, line: &[u8]) -> Result<Contact, StorageError> {
        // What the parser says may quote the line, so it is not passed on.
        let line: Line<PersonFields, ResolvedZones, BTreeMap<String, String>> =
            serde_json::from_slice(line.strip_suffix(b",").unwrap_or(line))
                .map_err(|_| self.corrupt(&format!("holds no contact in line {}", self.lines)))?;
        if line.row <= self.last_row {
            return Err(self.corrupt(&format!("is out of order in line {}", self.lines)));
        }
        self.last_row = line.row;
        self.contacts += 1;
        let run = self.run;
        let mut contact = Contact::new(run.id, run.org_id, line.row, line.number, line.zones, run.created_at);
        contact.person = line.person;
        contact.priority = line.priority;
        contact.external_id = line.external_id;
        contact.variables = Personal::new(Arc::new(line.variables));
        Ok(contact)
    }

    async fn next_line(&mut self) -> Result<Vec<u8>, StorageError> {
        let mut searched = self.taken;
        loop {
            if let Some(at) = self.text[searched..].iter().position(|byte| *byte == b'\n') {
                let line = self.text[self.taken..searched + at].to_vec();
                self.taken = searched + at + 1;
                self.lines += 1;
                return Ok(line);
            }
            self.text.drain(..self.taken);
            self.taken = 0;
            searched = self.text.len();
            if self.offset >= self.meta.size {
                self.lines += 1;
                // The last line has no line break; behind it there is nothing.
                let line = std::mem::take(&mut self.text);
                return if line == CLOSE { Ok(line) } else { Err(self.corrupt("ends before its end")) };
            }
            if self.text.len() > LINE_BYTES_MAX {
                return Err(self.corrupt(&format!("has an endless line {}", self.lines + 1)));
            }
            let chunk: Bytes = self.blobs.chunk(self.operation, &self.meta, self.offset).await?;
            if chunk.is_empty() {
                return Err(self.corrupt("ends before its end"));
            }
            self.offset += chunk.len() as u64;
            self.text.extend_from_slice(&chunk);
        }
    }

    fn corrupt(&self, problem: &str) -> StorageError {
        let context = format!(
            "{} {problem}; remove it and import the same sheet again, which writes it anew",
            self.meta.location
        );
        StorageError::new(StorageErrorKind::Corrupt, self.operation, context)
    }
}

fn missing(operation: &'static str, path: &str) -> StorageError {
    let context =
        format!("{path} is missing; restore it, or import the same sheet again, which writes it anew");
    StorageError::new(StorageErrorKind::NotFound, operation, context)
}
