//! Inputs that targets start from: one file each, in `corpus/<target>`.

use std::io;
use std::path::{Path, PathBuf};

/// An input and the name of its file.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The name of the file.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// The folder of a target's corpus.
pub fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

/// The corpus of a target, in the order of names.
///
/// # Errors
/// The folder or a file in it cannot be read.
pub fn read(target: &str) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for file in std::fs::read_dir(folder(target))? {
        let file = file?;
        let name = file.file_name().to_string_lossy().into_owned();
        entries.push(Entry { name, bytes: std::fs::read(file.path())? });
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}
