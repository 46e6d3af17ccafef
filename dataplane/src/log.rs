//! Log lines on stderr: text for a person, JSON for a collector.

use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::cli::LogFormat;

/// Starts logging. `RUST_LOG` sets the level; without it, `info`.
pub(crate) fn start(format: LogFormat) {
    let filter = EnvFilter::builder()
        .with_default_directive(tracing::Level::INFO.into())
        .from_env_lossy();
    let builder = fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
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
}
