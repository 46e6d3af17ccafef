//! State machines as tables: the lines that are printed are the lines that run.

use core::fmt;

/// An event that a state does not know.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Illegal {
    /// The state.
    pub state: &'static str,
    /// The event.
    pub event: &'static str,
}

impl fmt::Display for Illegal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.event, self.state)
    }
}

/// One line of a table: in this state, on this event, that state.
pub type Line<S, E> = (S, E, S);

/// Declares states, events and the table of a machine.
macro_rules! machine {
    (
        $(#[$states_doc:meta])*
        states $states:ident { $($(#[$state_doc:meta])* $state:ident = $state_label:literal,)* }
        $(#[$events_doc:meta])*
        events $events:ident { $($(#[$event_doc:meta])* $event:ident = $event_label:literal,)* }
        table { $($($from:ident)|+ + $on:ident => $to:ident,)* }
    ) => {
        lns_wire::labelled! {
            $(#[$states_doc])*
            pub enum $states { $($(#[$state_doc])* $state = $state_label,)* }
        }
        lns_wire::labelled! {
            $(#[$events_doc])*
            pub enum $events { $($(#[$event_doc])* $event = $event_label,)* }
        }

        impl $states {
            /// The table, line by line.
            pub const TABLE: &'static [$crate::machine::Line<Self, $events>] =
                &[$($((Self::$from, $events::$on, Self::$to),)+)*];

            /// The state after `event`.
            ///
            /// # Errors
            /// The table has no such line.
            pub const fn on(self, event: $events) -> Result<Self, $crate::machine::Illegal> {
                match (self, event) {
                    $(($(Self::$from)|+, $events::$on) => Ok(Self::$to),)*
                    #[allow(unreachable_patterns, reason = "a table may have a line for each pair")]
                    _ => Err($crate::machine::Illegal {
                        state: self.label(),
                        event: event.label(),
                    }),
                }
            }

            /// The table as a graph in the language of Graphviz.
            pub fn graph() -> String {
                let edges = Self::TABLE.iter().map(|(from, on, to)| {
                    format!("  \"{}\" -> \"{}\" [label=\"{}\"]\n", from.label(), to.label(), on.label())
                });
                let edges: String = edges.collect();
                format!("digraph {} {{\n{edges}}}\n", stringify!($states))
            }
        }
    };
}
pub(crate) use machine;
