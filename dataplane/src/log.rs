//! Log lines on stderr: text for a person, JSON for a collector. The last of them are kept, so that
//! they can be asked for wherever stderr goes.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::cli::LogFormat;

/// Lines kept: with the limits of the journal, the last minutes of the worst flood, and weeks of a
/// quiet node.
const LINES: usize = 4_096;

/// Octets kept, whatever the length of the lines.
const OCTETS: usize = 1 << 20;

/// Starts logging. `RUST_LOG` sets the level; without it, `info`. What is written is kept in the ring
/// that this gives.
pub(crate) fn start(format: LogFormat) -> Arc<Ring> {
    let ring = Arc::new(Ring::default());
    let kept = Arc::clone(&ring);
    let filter = EnvFilter::builder()
        .with_default_directive(tracing::Level::INFO.into())
        .from_env_lossy();
    let builder = fmt()
        .with_env_filter(filter)
        .with_writer(move || Tee(Arc::clone(&kept)))
        .with_target(false);
    // A second start keeps the first: only tests do that.
    let _already_started = match format {
        LogFormat::Text => builder.with_ansi(false).finish().try_init(),
        LogFormat::Json => builder
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .finish()
            .try_init(),
    };
    ring
}

/// Writes to stderr, and keeps what it writes.
struct Tee(Arc<Ring>);

impl io::Write for Tee {
    /// The formatter hands over a whole line at once.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.keep(line);
        // Where stderr is gone, the ring is what is left.
        let _gone = io::stderr().write_all(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The last log lines, at most [`LINES`] of at most [`OCTETS`] together.
#[derive(Debug, Default)]
pub(crate) struct Ring(Mutex<Lines>);

#[derive(Debug, Default)]
struct Lines {
    kept: VecDeque<Box<str>>,
    octets: usize,
    left_out: u64,
}

impl Ring {
    fn keep(&self, line: &[u8]) {
        let line: Box<str> = String::from_utf8_lossy(line).trim_end().into();
        let mut lines = self.lock();
        lines.octets += line.len();
        lines.kept.push_back(line);
        while lines.kept.len() > LINES || lines.octets > OCTETS {
            let Some(oldest) = lines.kept.pop_front() else {
                return;
            };
            lines.octets -= oldest.len();
            lines.left_out += 1;
        }
    }

    /// The lines that are kept, oldest first, and how many there were before them.
    pub(crate) fn lines(&self) -> (Vec<String>, u64) {
        let lines = self.lock();
        (
            lines
                .kept
                .iter()
                .map(|line| String::from(&**line))
                .collect(),
            lines.left_out,
        )
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        // Nothing panics while it holds this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn the_last_lines_are_kept_and_the_others_counted() {
        let ring = Ring::default();
        for number in 0..LINES + 5 {
            ring.keep(format!("line {number}\n").as_bytes());
        }
        let (lines, left_out) = ring.lines();
        assert_eq!((lines.len(), left_out), (LINES, 5));
        assert_eq!(lines.first().map(String::as_str), Some("line 5"));
        assert_eq!(*lines.last().unwrap(), format!("line {}", LINES + 4));
    }

    #[test]
    fn long_lines_take_no_more_memory_than_allowed() {
        let ring = Ring::default();
        for _ in 0..40 {
            ring.keep(&vec![b'x'; 100_000]);
        }
        let (lines, left_out) = ring.lines();
        assert_eq!((lines.len(), left_out), (OCTETS / 100_000, 30));
        ring.keep(&vec![b'x'; OCTETS + 1]);
        assert!(ring.lines().0.is_empty());
        assert_eq!(ring.lock().octets, 0);
    }

    #[test]
    fn what_is_written_is_kept() {
        let ring = Arc::new(Ring::default());
        Tee(Arc::clone(&ring)).write_all(b"a line\n").unwrap();
        assert_eq!(ring.lines(), (vec!["a line".to_owned()], 0));
    }
}
