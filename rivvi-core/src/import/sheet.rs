//! A contact sheet: where its bytes are, which format they have, and their digest.

use std::{
    fmt, fs,
    io::{self, BufReader, Cursor, Read, Seek},
    path::{Path, PathBuf},
    time::SystemTime,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{error::SheetError, workbook};

/// Largest spreadsheet file (xlsx, xls, ods) that is opened, in bytes. Text files have no limit: they are streamed.
pub const MAX_SPREADSHEET_BYTES: u64 = 256 * 1024 * 1024;

/// A contact sheet: bytes or a file, with its format and digest. It can be read several times and is cheap to clone.
#[derive(Clone)]
pub struct Sheet {
    name: String,
    format: SheetFormat,
    digest: String,
    source: Source,
}

#[derive(Clone)]
enum Source {
    Memory(Bytes),
    File { path: PathBuf, stamp: Stamp },
}

/// What tells one state of a file from another without reading it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    len: u64,
    modified: Option<SystemTime>,
}

/// Anything a workbook can be read from.
pub(super) trait ReadSeek: Read + Seek + Send {}
impl<T: Read + Seek + Send> ReadSeek for T {}

impl Sheet {
    /// A sheet in a file. Reads it once, to take its digest; the file must stay unchanged until the import is over.
    ///
    /// # Errors
    ///
    /// The file is missing, unreadable, empty, too large or of no known format.
    pub fn open(path: impl AsRef<Path>) -> Result<Sheet, SheetError> {
        let path = path.as_ref();
        let name =
            path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned());
        let read = |source: io::Error| SheetError::Read { name: path.display().to_string(), source };
        let file = fs::File::open(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => SheetError::NotFound { path: path.display().to_string() },
            _ => read(source),
        })?;
        let stamp = Stamp::of(&file.metadata().map_err(read)?);
        let source = Source::File { path: path.to_owned(), stamp };
        Self::inspect(name, source, file)
    }

    /// A sheet in memory. `name` is the name of the upload, which errors and reports repeat and whose extension helps
    /// to tell csv from tsv.
    ///
    /// # Errors
    ///
    /// The bytes are empty, too large or of no known format.
    pub fn from_bytes(name: &str, bytes: impl Into<Bytes>) -> Result<Sheet, SheetError> {
        let bytes = bytes.into();
        Self::inspect(name.to_owned(), Source::Memory(bytes.clone()), Cursor::new(bytes))
    }

    /// The name of the file, without its folder.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// SHA-256 of the bytes, in lower-case hexadecimal. Equal sheets have equal digests, whatever their names.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The format, told by the bytes rather than by the name.
    pub fn format(&self) -> SheetFormat {
        self.format
    }

    /// The bytes as they came, from their beginning.
    pub(crate) fn raw(&self) -> Result<Box<dyn Read + Send>, SheetError> {
        Ok(Box::new(self.reader()?))
    }

    fn inspect(name: String, source: Source, mut reader: impl Read) -> Result<Sheet, SheetError> {
        let (mut hash, mut head, mut total) = (Sha256::new(), Vec::new(), 0u64);
        let mut chunk = vec![0; 64 * 1024];
        loop {
            let n = match reader.read(&mut chunk) {
                Ok(0) => break,
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(SheetError::Read { name, source }),
            };
            if head.len() < HEAD_BYTES {
                head.extend_from_slice(&chunk[..n.min(HEAD_BYTES - head.len())]);
            }
            hash.update(&chunk[..n]);
            total += n as u64;
        }
        if total == 0 {
            return Err(SheetError::Empty { name });
        }
        let format = SheetFormat::detect(&name, &head)?;
        if format.is_spreadsheet() && total > MAX_SPREADSHEET_BYTES {
            return Err(SheetError::TooLarge { name, limit_bytes: MAX_SPREADSHEET_BYTES });
        }
        let digest = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Sheet { name, format, digest, source })
    }

    /// The bytes from their beginning; fails if the file is not the one that was opened.
    pub(super) fn reader(&self) -> Result<Box<dyn ReadSeek>, SheetError> {
        match &self.source {
            Source::Memory(bytes) => Ok(Box::new(Cursor::new(bytes.clone()))),
            Source::File { path, stamp } => {
                let read = |source| SheetError::Read { name: self.name.clone(), source };
                let file = fs::File::open(path).map_err(read)?;
                if Stamp::of(&file.metadata().map_err(read)?) != *stamp {
                    return Err(SheetError::Changed { name: self.name.clone() });
                }
                Ok(Box::new(BufReader::with_capacity(64 * 1024, file)))
            }
        }
    }
}

impl fmt::Debug for Sheet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sheet")
            .field("name", &self.name)
            .field("format", &self.format)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        Self { len: metadata.len(), modified: metadata.modified().ok() }
    }
}

/// The format of a sheet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SheetFormat {
    /// Text with delimiters, named `.csv` or without a telling name.
    Csv,
    /// Text with delimiters, named `.tsv` or `.tab`.
    Tsv,
    /// Text with delimiters, named `.txt`.
    Text,
    /// Excel since 2007.
    Xlsx,
    /// Excel before 2007.
    Xls,
    /// `OpenDocument` spreadsheet.
    Ods,
}

/// How many bytes decide the format.
const HEAD_BYTES: usize = 4096;

impl SheetFormat {
    /// Whether the format has worksheets and typed cells; the others are text.
    pub const fn is_spreadsheet(self) -> bool {
        matches!(self, SheetFormat::Xlsx | SheetFormat::Xls | SheetFormat::Ods)
    }

    fn detect(name: &str, head: &[u8]) -> Result<SheetFormat, SheetError> {
        let extension = name.rsplit_once('.').map(|(_, e)| e.to_ascii_lowercase()).unwrap_or_default();
        let unknown = |found| Err(SheetError::UnknownFormat { name: name.to_owned(), found });
        if head.starts_with(b"PK\x03\x04") {
            return Ok(if workbook::is_ods(head) || extension == "ods" {
                SheetFormat::Ods
            } else {
                SheetFormat::Xlsx
            });
        }
        if head.starts_with(b"PK") {
            return unknown("an empty or split zip archive");
        }
        if head.starts_with(&[0xD0, 0xCF, 0x11, 0xE0]) {
            return if extension == "xlsx" {
                unknown("a password-protected workbook")
            } else {
                Ok(SheetFormat::Xls)
            };
        }
        for (magic, found) in FOREIGN {
            if head.starts_with(magic) {
                return unknown(found);
            }
        }
        let start = String::from_utf8_lossy(&head[..head.len().min(256)])
            .trim_start_matches('\u{feff}')
            .to_lowercase();
        if ["<html", "<!doctype", "<table", "<?xml"].iter().any(|tag| start.trim_start().starts_with(tag)) {
            return unknown("a web page or XML file");
        }
        let utf16 = head.starts_with(&[0xFF, 0xFE]) || head.starts_with(&[0xFE, 0xFF]);
        let nuls = head.iter().filter(|byte| **byte == 0).count();
        if !utf16 && nuls > 0 && super::text::utf16_without_mark(head).is_none() {
            return unknown("binary data");
        }
        Ok(match extension.as_str() {
            "tsv" | "tab" => SheetFormat::Tsv,
            "txt" | "text" => SheetFormat::Text,
            _ => SheetFormat::Csv,
        })
    }
}

/// Beginnings of files that people upload by mistake.
const FOREIGN: [(&[u8], &str); 7] = [
    (b"%PDF", "a PDF file"),
    (b"\x89PNG", "an image"),
    (b"\xFF\xD8\xFF", "an image"),
    (b"GIF8", "an image"),
    (b"\x1F\x8B", "a gzip archive"),
    (b"Rar!", "a RAR archive"),
    (b"{\\rtf", "an RTF document"),
];

impl fmt::Display for SheetFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SheetFormat::Csv => "csv",
            SheetFormat::Tsv => "tsv",
            SheetFormat::Text => "txt",
            SheetFormat::Xlsx => "xlsx",
            SheetFormat::Xls => "xls",
            SheetFormat::Ods => "ods",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format_of(name: &str, bytes: &'static [u8]) -> Result<SheetFormat, SheetError> {
        Sheet::from_bytes(name, bytes).map(|sheet| sheet.format())
    }

    #[test]
    fn bytes_tell_the_format_and_names_only_help() {
        assert_eq!(format_of("a.csv", b"phone\n1").unwrap(), SheetFormat::Csv);
        assert_eq!(format_of("a.TSV", b"phone\n1").unwrap(), SheetFormat::Tsv);
        assert_eq!(format_of("a.xls", b"phone\n1").unwrap(), SheetFormat::Csv);
        assert_eq!(format_of("upload", b"PK\x03\x04 xl/").unwrap(), SheetFormat::Xlsx);
        assert_eq!(format_of("a.csv", b"\xD0\xCF\x11\xE0").unwrap(), SheetFormat::Xls);
        assert_eq!(format_of("a.csv", b"\xFF\xFEp\0h\0").unwrap(), SheetFormat::Csv);
    }

    #[test]
    fn what_is_no_sheet_is_refused_with_what_it_is() {
        for (bytes, word) in
            [(&b"%PDF-1.7"[..], "PDF"), (b"<html><table>", "web page"), (b"a\0b\0\0\0\x01\x02", "binary")]
        {
            let error = Sheet::from_bytes("list.csv", bytes).unwrap_err().to_string();
            assert!(error.contains(word) && error.contains("list.csv"), "{error}");
        }
        assert!(matches!(Sheet::from_bytes("a.csv", ""), Err(SheetError::Empty { .. })));
        let error = Sheet::from_bytes("a.xlsx", &b"\xD0\xCF\x11\xE0"[..]).unwrap_err().to_string();
        assert!(error.contains("password"), "{error}");
    }

    #[test]
    fn digest_is_the_sha256_of_the_bytes() {
        let sheet = Sheet::from_bytes("a.csv", "abc").unwrap();
        assert_eq!(sheet.digest(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn a_file_that_changes_under_the_import_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list.csv");
        fs::write(&path, "phone\n1\n").unwrap();
        let sheet = Sheet::open(&path).unwrap();
        assert_eq!(sheet.name(), "list.csv");
        assert!(sheet.reader().is_ok());
        fs::write(&path, "phone\n1\n2\n").unwrap();
        assert!(matches!(sheet.reader(), Err(SheetError::Changed { .. })));
        assert!(matches!(Sheet::open(folder.path().join("no.csv")), Err(SheetError::NotFound { .. })));
    }
}
