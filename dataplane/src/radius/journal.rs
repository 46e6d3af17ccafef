//! What the log says of RADIUS: one line when a server's state changes in a way that somebody acts on.

use lns_radius::config::Purpose;
use lns_radius::event::{Cause, Event};
use lns_radius::server::ServerState;
use tracing::{debug, info, warn};

use super::figures::Figures;

/// The word that logs, metrics and commands use.
pub(crate) const fn label(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Authentication => "authentication",
        Purpose::Accounting => "accounting",
        Purpose::Copy => "copy",
    }
}

/// Writes what is worth a line.
pub(super) fn write(purpose: Purpose, event: &Event, figures: &Figures) {
    match event {
        Event::Server {
            server,
            from,
            to,
            cause,
        } => of_server(purpose, server, (*from, *to), *cause, figures),
        Event::Connection {
            connection,
            server,
            from,
            to,
            cause,
        } => debug!(
            purpose = label(purpose),
            server = &**server,
            %connection,
            from = from.label(),
            to = to.label(),
            cause = cause.map(Cause::label),
            "connection"
        ),
        // Shown by `lnsd radius` and counted; far too many to be written down.
        Event::Trunk { .. }
        | Event::Request { .. }
        | Event::Aggregate { .. }
        | Event::Dropped { .. } => {}
    }
}

fn of_server(
    purpose: Purpose,
    server: &str,
    (from, to): (ServerState, ServerState),
    cause: Option<Cause>,
    figures: &Figures,
) {
    let purpose = label(purpose);
    match to {
        ServerState::Up => info!(purpose, server, "RADIUS server is up"),
        ServerState::Zombie => warn!(purpose, server, "RADIUS server does not answer"),
        ServerState::Down => warn!(
            purpose,
            server,
            reason = cause.map(Cause::label),
            error = figures.last_failure(server),
            "RADIUS server is down"
        ),
        ServerState::Idle | ServerState::Opening | ServerState::Trial => debug!(
            purpose,
            server,
            from = from.label(),
            to = to.label(),
            "RADIUS server"
        ),
    }
}
