//! Where everything is kept: options of the command line, and the stores they name.

use std::path::PathBuf;

use clap::Args;
use rivvi::storage::{Blobs, Storage};
use rivvi::stores::SqliteStorage;
use tempfile::TempDir;

use crate::shared::outcome::Failure;

#[derive(Debug, Args)]
pub(crate) struct StoreOptions {
    /// SQLite file; the same file resumes an interrupted run [default: a temporary file]
    #[arg(long, value_name = "FILE")]
    db: Option<PathBuf>,
    /// Folder for uploads, processed sheets, webhooks and call logs [default: they are not kept]
    #[arg(long, value_name = "DIR")]
    blobs: Option<PathBuf>,
}

impl StoreOptions {
    /// Opens the stores. Without a file they last as long as the folder that comes with them.
    pub(crate) async fn open(&self, example: &str) -> Result<(Storage, Option<TempDir>), Failure> {
        let input = |error: &dyn std::fmt::Display| Failure::Input(error.to_string());
        let (path, folder) = match &self.db {
            Some(path) => (path.clone(), None),
            None => {
                let folder = TempDir::with_prefix(format!("rivvi-{example}-"))
                    .map_err(|error| Failure::Broken(format!("no temporary folder: {error}")))?;
                (folder.path().join("run.db"), Some(folder))
            }
        };
        let mut storage: Storage = SqliteStorage::open(&path).await.map_err(|error| input(&error))?.into();
        if let Some(folder) = &self.blobs {
            storage.blobs = Some(Blobs::in_folder(folder).map_err(|error| input(&error))?);
        }
        Ok((storage, folder))
    }

    /// What to do after an interruption.
    pub(crate) fn how_to_go_on(&self) -> String {
        match &self.db {
            Some(db) => format!("run the same command again, with --db {}.", db.display()),
            None => "give a --db FILE next time, to be able to go on.".to_owned(),
        }
    }
}
