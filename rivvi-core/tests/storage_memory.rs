//! The in-memory store keeps the promises of the storage traits.

use rivvi_core::storage::Storage;

async fn fresh() -> Storage {
    Storage::in_memory()
}

rivvi_core::storage_conformance!(fresh);
