//! Taking recordings from a server to where recordings are kept.

use rivvi_core::storage::Blobs;
use rivvi_core::storage::object_store::path::Path;
use rivvi_core::storage::object_store::{self, ObjectStoreExt, WriteMultipart};

use crate::ari::{AriError, Client, Download};

/// Recordings up to here, some nine minutes, are written by one request.
const WHOLE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Parts of larger ones that are written at the same time.
const PARTS_AT_ONCE: usize = 2;

/// A recording that could not be kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeepError {
    #[error("{0}")]
    Server(#[from] AriError),
    #[error("{0}")]
    Store(#[from] object_store::Error),
}

/// Copies a stored recording to a place in the store: all of it or nothing. Holds only a part of it in memory.
pub(crate) async fn keep(client: &Client, name: &str, store: &Blobs, place: &str) -> Result<(), KeepError> {
    let (store, place) = (store.store(), Path::from(place));
    let mut download = client.recording(name).await?;
    let mut start = Vec::new();
    while start.len() <= WHOLE_BYTES_MAX {
        match download.next().await? {
            Some(bytes) => start.extend_from_slice(&bytes),
            None => {
                store.put(&place, start.into()).await?;
                return Ok(());
            }
        }
    }
    let mut upload = WriteMultipart::new_with_chunk_size(store.put_multipart(&place).await?, WHOLE_BYTES_MAX);
    upload.write(&start);
    drop(start);
    match write_rest(&mut download, &mut upload).await {
        Ok(()) => Ok(upload.finish().await.map(drop)?),
        Err(error) => {
            // What cannot be given up now is removed by the rules of the bucket for uploads that were never finished.
            let _ = upload.abort().await;
            Err(error)
        }
    }
}

async fn write_rest(download: &mut Download, upload: &mut WriteMultipart) -> Result<(), KeepError> {
    while let Some(bytes) = download.next().await? {
        upload.wait_for_capacity(PARTS_AT_ONCE).await?;
        upload.write(&bytes);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rivvi_core::domain::Secret;
    use rivvi_core::storage::object_store::memory::InMemory;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::ari::tls;

    /// A server that gives out a recording of so many bytes: in pieces with a pause before each.
    async fn server(bytes: usize, sent: usize, pieces: u32, pause: Duration) -> Client {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/ari", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            assert_ne!(stream.read(&mut request).await.unwrap(), 0);
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut interval = tokio::time::interval(pause.max(Duration::from_millis(1)));
            for _ in 0..pieces {
                interval.tick().await;
                let piece = vec![7; sent / pieces as usize];
                stream.write_all(&piece).await.unwrap();
            }
        });
        let http = Client::http(&tls().unwrap()).unwrap();
        Client::new(http, url.parse().unwrap(), "user".into(), Secret::new("password"))
    }

    async fn kept(client: &Client) -> Result<Option<u64>, KeepError> {
        let store = Blobs::new(InMemory::new());
        let done = keep(client, "r", &store, "there.wav").await;
        let size = store.store().head(&Path::from("there.wav")).await.ok().map(|meta| meta.size);
        done.map(|()| size)
    }

    #[tokio::test]
    async fn recordings_are_kept_whole_however_long_they_are_and_take() {
        let (small, large) = (100_000, 20_000_000);
        let at_once = Duration::ZERO;
        assert_eq!(kept(&server(small, small, 1, at_once).await).await.unwrap(), Some(100_000));
        assert_eq!(kept(&server(large, large, 100, at_once).await).await.unwrap(), Some(20_000_000));
        let slow = server(small, small, 5, Duration::from_millis(2_700)).await;
        assert_eq!(kept(&slow).await.unwrap(), Some(100_000), "longer than a request may take");
    }

    #[tokio::test]
    async fn a_recording_that_breaks_off_is_not_kept() {
        for bytes in [100_000, 20_000_000] {
            let broken = kept(&server(bytes, bytes / 2, 1, Duration::ZERO).await).await;
            assert!(matches!(broken, Err(KeepError::Server(_))), "{broken:?}");
        }
    }
}
