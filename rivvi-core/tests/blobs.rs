//! A folder and the store in memory do as blob stores.

#![allow(clippy::unwrap_used, reason = "a test stops at the first error")]

mod memory {
    use rivvi_core::storage::Blobs;
    use rivvi_core::storage::object_store::memory::InMemory;

    async fn fresh() -> Blobs {
        Blobs::new(InMemory::new())
    }

    rivvi_core::blobs_conformance!(fresh);
}

mod folder {
    use rivvi_core::storage::Blobs;

    async fn fresh() -> (Blobs, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        (Blobs::in_folder(folder.path().join("made/as needed")).unwrap(), folder)
    }

    rivvi_core::blobs_conformance!(fresh);

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = Blobs::in_folder(file.join("below")).unwrap_err().to_string();
        assert!(error.contains("file/below cannot be made"), "{error}");
    }
}
