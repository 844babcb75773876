//! Everything that is logged on this thread, for looking through it.

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Metadata, Subscriber};

/// What is logged on this thread for as long as it lives, at every level.
pub(super) struct Logs {
    text: Arc<Mutex<String>>,
    _guard: DefaultGuard,
}

impl Logs {
    pub(super) fn listen() -> Self {
        let text = Arc::new(Mutex::default());
        let guard = tracing::subscriber::set_default(Listener(text.clone()));
        Self { text, _guard: guard }
    }

    pub(super) fn text(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

struct Listener(Arc<Mutex<String>>);

impl Listener {
    fn write(&self, write: impl FnOnce(&mut Writer<'_>)) {
        write(&mut Writer(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner)));
    }
}

struct Writer<'a>(&'a mut String);

impl Visit for Writer<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        writeln!(self.0, "{field}={value:?}").unwrap();
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        // As it is: `Debug` would escape what is looked for.
        writeln!(self.0, "{field}={value}").unwrap();
    }
}

impl Subscriber for Listener {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.write(|writer| span.record(writer));
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        self.write(|writer| values.record(writer));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        self.write(|writer| event.record(writer));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_on_this_thread_is_heard() {
        let logs = Logs::listen();
        let name = "Dana";
        tracing::trace!(who = name, "called {}", "+972541234567");
        let _span = tracing::debug_span!("call", reference = "r7").entered();
        let heard = logs.text();
        for word in ["Dana", "+972541234567", "r7"] {
            assert!(heard.contains(word), "{word}");
        }
        drop(logs);
        tracing::error!("nobody hears this");
    }
}
