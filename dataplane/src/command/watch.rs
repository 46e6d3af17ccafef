//! Shows something again each second, until Ctrl-C.

use core::time::Duration;
use std::io::{self, IsTerminal as _};
use std::process;
use std::thread;
use std::time::Instant;

use nix::sys::signal::{SigSet, Signal};
use terminal_size::{Height, Width, terminal_size};

use super::read::show;
use crate::cli::Output;
use crate::failure::Failure;

/// How often.
const INTERVAL: Duration = Duration::from_secs(1);

/// Lines of a terminal that does not say how many it has.
const LINES: usize = 24;

/// Characters of a line of it.
const COLUMNS: usize = 80;

/// Goes to the first line and clears the screen (ECMA-48: CUP, ED).
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

/// Where it is shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Screen {
    /// Where the newest takes the place of the one before, and only so much fits.
    Terminal {
        /// Lines of text.
        lines: usize,
        /// Characters of a line.
        columns: usize,
    },
    /// Where one follows the other.
    Plain,
    /// Where programs read: a line each.
    Programs,
}

impl Screen {
    /// What stdout is now, for an answer in this form: a window may change its size.
    fn now(output: Output) -> Self {
        if output == Output::Json {
            return Self::Programs;
        }
        if !io::stdout().is_terminal() {
            return Self::Plain;
        }
        let (columns, lines) = terminal_size().map_or((COLUMNS, LINES), |(width, height)| {
            let (Width(columns), Height(lines)) = (width, height);
            (columns.into(), lines.into())
        });
        Self::Terminal { lines, columns }
    }

    /// How many lines of text there is room for; the cursor has the last one.
    pub(super) const fn room(self) -> usize {
        match self {
            Self::Terminal { lines, .. } => lines.saturating_sub(1),
            Self::Plain | Self::Programs => usize::MAX,
        }
    }

    /// `text` as it is written there.
    fn frame(self, text: &str) -> String {
        let columns = match self {
            Self::Terminal { columns, .. } => columns,
            Self::Plain => return format!("{text}\n"),
            Self::Programs => return text.to_owned(),
        };
        let lines = text.lines().take(self.room());
        let cut = lines.map(|line| line.chars().take(columns).chain(['\n']).collect::<String>());
        CLEAR.to_owned() + &cut.collect::<String>()
    }
}

/// Draws until Ctrl-C or SIGTERM, which end the process well, or until nobody reads it any more.
pub(super) fn each_second(
    output: Output,
    mut draw: impl FnMut(Screen) -> Result<String, Failure>,
) -> Result<(), Failure> {
    end_on_signals()?;
    loop {
        let begun = Instant::now();
        let screen = Screen::now(output);
        let text = draw(screen)?;
        if show(&screen.frame(&text))?.is_break() {
            return Ok(());
        }
        thread::sleep(INTERVAL.saturating_sub(begun.elapsed()));
    }
}

/// From now on these signals end the process with 0: whoever watches has seen enough. They do so also
/// while an answer is waited for.
fn end_on_signals() -> Result<(), Failure> {
    let failed = |error: &dyn core::fmt::Display| Failure::failed("cannot take signals", error);
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    signals.thread_block().map_err(|error| failed(&error))?;
    let waiting = thread::Builder::new().spawn(move || {
        if signals.wait().is_ok() {
            process::exit(0);
        }
    });
    waiting.map(|_| ()).map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_shows_what_fits_and_begins_at_the_top() {
        let screen = Screen::Terminal {
            lines: 3,
            columns: 5,
        };
        assert_eq!(screen.room(), 2);
        assert_eq!(
            screen.frame("one\ntwo and more\nthree\n"),
            "\u{1b}[H\u{1b}[2Jone\ntwo a\n"
        );
    }

    #[test]
    fn where_there_is_no_terminal_a_block_follows_the_other() {
        assert_eq!(Screen::Plain.frame("one\ntwo\n"), "one\ntwo\n\n");
        assert_eq!(Screen::Plain.room(), usize::MAX);
        assert_eq!(Screen::Programs.frame("{}\n"), "{}\n");
    }
}
