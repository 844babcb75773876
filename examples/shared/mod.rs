//! What the examples have in common.

pub(crate) mod follow;
pub(crate) mod job;
pub(crate) mod outcome;
pub(crate) mod progress;
pub(crate) mod stop;

use std::process::ExitCode;

use outcome::Failure;

/// Does the work of a program and tells what kept it from doing it.
pub(crate) fn launch(work: impl Future<Output = Result<ExitCode, Failure>>) -> ExitCode {
    let done = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => Err(Failure::Broken(format!("the runtime cannot start: {error}"))),
    };
    done.unwrap_or_else(|failure| {
        eprintln!("error: {failure}");
        failure.exit_code()
    })
}
