//! Taking turns with other processes.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rivvi_core::clock::Clock;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// How long to wait before trying again.
const AGAIN: Duration = Duration::from_millis(1);

/// Turns at a file, one at a time over all processes of the machine.
#[derive(Debug, Clone)]
pub(crate) struct Turns {
    /// The lock belongs to the open file, so within the process a mutex keeps the order.
    file: Arc<Mutex<File>>,
}

/// A turn, until dropped; the end of the process ends it too.
#[derive(Debug)]
pub(crate) struct Turn(OwnedMutexGuard<File>);

impl Turns {
    /// Turns at the file at `path`, which exists.
    pub(crate) fn at(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).append(true).open(path)?;
        Ok(Self { file: Arc::new(Mutex::new(file)) })
    }

    /// Waits for a turn. Dropping the future is harmless, so a wait for a process that stands still can be limited.
    pub(crate) async fn take(&self, clock: &dyn Clock) -> io::Result<Turn> {
        let file = self.file.clone().lock_owned().await;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Turn(file)),
                Err(TryLockError::WouldBlock) => clock.sleep_until(clock.now() + AGAIN).await,
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // If that fails, closing the file ends the turn.
        let _ = self.0.unlock();
    }
}
