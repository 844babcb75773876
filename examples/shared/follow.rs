//! An engine that runs by itself, followed to the end of a run.

use std::time::Duration;

use rivvi::Rivvi;
use rivvi::domain::RunId;

use super::outcome::Failure;
use super::progress::Display;

/// Whether the run came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finished {
    Done,
    Interrupted,
}

/// Lets the engine run, and what `beside` does, until the run is over or `interrupt` comes; shows progress every `pause`
/// of the engine's time. A store that is away for a while is waited for.
pub(crate) async fn follow(
    rivvi: &Rivvi,
    beside: impl Future<Output = ()> + Send + 'static,
    run_id: RunId,
    contacts: u64,
    pause: Duration,
    mut interrupt: std::pin::Pin<&mut impl Future<Output = ()>>,
) -> Result<Finished, Failure> {
    let engine = rivvi.spawn();
    let beside = tokio::spawn(beside);
    let mut display = Display::new(contacts);
    let finished = loop {
        match rivvi.runs().progress(run_id).await {
            Ok(progress) => {
                if display.is_due() || progress.state.is_final() {
                    display.show(&progress, rivvi.clock().now());
                    if let Some(trouble) = rivvi.trouble() {
                        display.note(&format!("waiting for the store: {}", trouble.error));
                    }
                }
                if progress.state.is_final() {
                    break Ok(Finished::Done);
                }
            }
            Err(error) if error.is_temporary() => {
                if display.is_due() {
                    display.note(&format!("waiting for the store: {error}"));
                }
            }
            Err(error) => break Err(error.into()),
        }
        let next = rivvi.clock().now() + pause;
        tokio::select! {
            () = rivvi.clock().sleep_until(next) => {}
            () = interrupt.as_mut() => break Ok(Finished::Interrupted),
        }
    };
    display.end();
    engine.shutdown().await;
    beside.abort();
    finished
}
