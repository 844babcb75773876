//! The suite for blob stores: what [`Blobs`] needs of an [`ObjectStore`](crate::storage::object_store::ObjectStore).
//!
//! For hosts that bring a store of their own, or an S3-compatible server of which they want to know whether it will do.
//! A case begins with an empty store. [`blobs_conformance!`](crate::blobs_conformance) makes a test of each case.

use super::at_once;
use crate::storage::blobs::CHUNK_BYTES;
use crate::storage::{Blobs, StorageErrorKind};

const PATH: &str = "processed-data/0190a1b2-0000-7000-8000-000000000001/data.json";

/// Bytes that tell their place.
fn pattern(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|at| (at / 251 + at) as u8 ^ seed).collect()
}

async fn read(blobs: &Blobs, path: &str) -> Vec<u8> {
    let meta = blobs.head("test", path).await.unwrap();
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < meta.size {
        let chunk = blobs.chunk("test", &meta, bytes.len() as u64).await.unwrap();
        assert!(!chunk.is_empty() && chunk.len() <= CHUNK_BYTES, "a chunk of {} bytes", chunk.len());
        bytes.extend_from_slice(&chunk);
    }
    bytes
}

/// An object is what was put last.
pub async fn objects_are_put_and_replaced(blobs: &Blobs) {
    for bytes in [pattern(1, 1), pattern(70_000, 2), pattern(300, 3)] {
        blobs.put("test", PATH, bytes.clone()).await.unwrap();
        assert_eq!(read(blobs, PATH).await, bytes);
    }
}

/// Of those who create an object at once, one does; it is replaced by none of the others.
pub async fn objects_are_created_once(blobs: &Blobs) {
    let answers = at_once(8, |index| {
        let blobs = blobs.clone();
        async move { blobs.create("test", PATH, pattern(2_000, index as u8)).await.unwrap() }
    });
    let answers = answers.await;
    let winners: Vec<usize> = (0..8).filter(|index| answers[*index]).collect();
    assert_eq!(winners.len(), 1, "{answers:?}");
    assert!(!blobs.create("test", PATH, pattern(2_000, 9)).await.unwrap());
    assert_eq!(read(blobs, PATH).await, pattern(2_000, winners[0] as u8));
}

/// An object that does not exist is not found, and removed already.
pub async fn missing_objects_are_not_found(blobs: &Blobs) {
    assert_eq!(blobs.head("test", PATH).await.unwrap_err().kind, StorageErrorKind::NotFound);
    blobs.remove("test", PATH).await.unwrap();
    blobs.put("test", PATH, pattern(10, 1)).await.unwrap();
    for _ in 0..2 {
        blobs.remove("test", PATH).await.unwrap();
        assert_eq!(blobs.head("test", PATH).await.unwrap_err().kind, StorageErrorKind::NotFound);
    }
}

/// A long object is written piece by piece and is there only when it is finished, in place of one that was there.
pub async fn long_objects_come_into_being_as_a_whole(blobs: &Blobs) {
    for (length, seed) in [(2 * CHUNK_BYTES + 12_345, 1), (2 * CHUNK_BYTES, 2), (CHUNK_BYTES, 3), (0, 4)] {
        let bytes = pattern(length, seed);
        let mut upload = blobs.upload("test", PATH.to_owned());
        for piece in bytes.chunks(1_000_003) {
            upload.write(piece).await.unwrap();
        }
        if seed == 1 {
            assert_eq!(blobs.head("test", PATH).await.unwrap_err().kind, StorageErrorKind::NotFound);
        }
        upload.finish().await.unwrap();
        assert!(read(blobs, PATH).await == bytes, "{length} bytes");
    }
}

/// An object that was given up leaves what was there.
pub async fn abandoned_objects_leave_what_was_there(blobs: &Blobs) {
    blobs.put("test", PATH, pattern(100, 1)).await.unwrap();
    for length in [5, CHUNK_BYTES + 1] {
        let mut upload = blobs.upload("test", PATH.to_owned());
        upload.write(&pattern(length, 2)).await.unwrap();
        upload.abandon().await;
        assert_eq!(read(blobs, PATH).await, pattern(100, 1));
    }
}

/// An object that is replaced while it is read is not read on: nobody sees a mixture.
pub async fn replaced_objects_are_not_read_on(blobs: &Blobs) {
    blobs.put("test", PATH, pattern(CHUNK_BYTES + 10, 1)).await.unwrap();
    let meta = blobs.head("test", PATH).await.unwrap();
    blobs.chunk("test", &meta, 0).await.unwrap();
    blobs.put("test", PATH, pattern(CHUNK_BYTES + 10, 2)).await.unwrap();
    let error = blobs.chunk("test", &meta, CHUNK_BYTES as u64).await.unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::Busy, "{error}");
}

#[doc(hidden)]
#[macro_export]
macro_rules! __blobs_cases {
    ([$($then:tt)*] $($given:tt)*) => {
        $($then)*! {
            [$($given)*]
            objects_are_put_and_replaced,
            objects_are_created_once,
            missing_objects_are_not_found,
            long_objects_come_into_being_as_a_whole,
            abandoned_objects_leave_what_was_there,
            replaced_objects_are_not_read_on,
        }
    };
}

/// Makes a test of every case of the suite for blob stores, each named like its case and with a store of its own.
///
/// The argument is a function or closure that returns a future of a [`Blobs`](crate::storage::Blobs), or of a pair of
/// one and whatever must live as long. Attributes before it go to every test. See [`testkit`](crate::testkit).
#[macro_export]
macro_rules! blobs_conformance {
    ($(#[$attribute:meta])* $factory:expr) => {
        $crate::__blobs_cases! { [$crate::__blobs_tests] [$(#[$attribute])*] ($factory) }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __blobs_tests {
    ([$attributes:tt $factory:tt] $($case:ident,)*) => {
        $($crate::__blobs_test! { $attributes $factory $case })*

        #[test]
        fn blobs_suite_is_complete() {
            $crate::testkit::blobs::assert_suite_is_complete();
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __blobs_test {
    ([$($attribute:tt)*] ($factory:expr) $case:ident) => {
        #[test]
        $($attribute)*
        fn $case() {
            $crate::testkit::run_case(async {
                let fixture = ($factory)().await;
                let blobs: &$crate::storage::Blobs = $crate::testkit::Fixture::subject(&fixture);
                $crate::testkit::blobs::$case(blobs).await;
            });
        }
    };
}

macro_rules! cases {
    ([] $($case:ident,)*) => {
        /// The name of every case.
        pub const CASES: &[&str] = &[$(stringify!($case),)*];
    };
}

__blobs_cases! { [cases] }

/// Asserts that every case is in the list from which tests are made.
///
/// # Panics
/// If one is not.
pub fn assert_suite_is_complete() {
    super::assert_lists_all(include_str!("blobs.rs"), CASES.iter().copied(), "blobs");
}

#[cfg(test)]
mod tests {
    #[test]
    fn suite_is_complete() {
        super::assert_suite_is_complete();
    }
}
