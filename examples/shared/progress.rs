//! Live progress on stderr: a bar on a terminal, a line now and then elsewhere.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use chrono::{DateTime, Utc};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rivvi::clock::{Clock, SystemClock};
use rivvi::engine::Progress;

#[derive(Debug)]
pub(crate) struct Display {
    bar: ProgressBar,
    clock: SystemClock,
    shown_at: Duration,
    lines: bool,
}

impl Display {
    pub(crate) fn new(contacts: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(contacts), ProgressDrawTarget::stderr_with_hz(8));
        let style = "{bar:32.cyan/blue} {pos}/{len} settled  {msg}";
        bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
        let lines = !std::io::stderr().is_terminal();
        Self { bar, clock: SystemClock::new(), shown_at: Duration::ZERO, lines }
    }

    /// Whether enough time has passed to show something again.
    pub(crate) fn is_due(&self) -> bool {
        let wait = if self.lines { Duration::from_secs(2) } else { Duration::from_millis(120) };
        self.clock.monotonic() >= self.shown_at + wait
    }

    pub(crate) fn show(&mut self, progress: &Progress, now: DateTime<Utc>) {
        self.shown_at = self.clock.monotonic();
        // The rate and the remaining time are of the real clock: what the person in front of it wants to know.
        let real = self.shown_at.as_secs_f64().max(0.001);
        let done = progress.done();
        let remaining = if done > 0.0 { real * (1.0 - done) / done } else { 0.0 };
        #[allow(clippy::cast_precision_loss, reason = "a count of calls")]
        let rate = progress.placed() as f64 / real;
        let reached = match (progress.tally.messages.delivered, progress.answered()) {
            (0, answered) => format!("answered {answered}"),
            (delivered, 0) => format!("delivered {delivered}"),
            (delivered, answered) => format!("answered {answered}  delivered {delivered}"),
        };
        let text = format!(
            "{}  placed {}  {reached}  active {}  {rate:.0}/s  ETA {remaining:.0}s",
            now.format("%a %d %b %H:%M"),
            progress.placed(),
            progress.active(),
        );
        self.bar.set_length(progress.tally.contacts());
        self.bar.set_position(progress.tally.settled());
        if self.lines {
            line(&format!("{}/{} settled  {text}", progress.tally.settled(), progress.tally.contacts()));
        }
        self.bar.set_message(text);
    }

    /// Shows why there is nothing new to show.
    pub(crate) fn note(&mut self, text: &str) {
        self.shown_at = self.clock.monotonic();
        if self.lines {
            line(text);
        }
        self.bar.set_message(text.to_owned());
    }

    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// A line that cannot be written, perhaps because the disk is full, must not end the program.
fn line(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
