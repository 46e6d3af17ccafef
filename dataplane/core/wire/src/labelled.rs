//! Enums whose variants are what metrics count by: each with its label, once.

/// An enum of things that are counted: its variants with the labels that metrics use, all of them in
/// the order of the declaration, and the place of each in an array of counters.
///
/// ```
/// lns_wire::labelled! {
///     /// What has become of a parcel.
///     pub enum Fate {
///         /// It is there.
///         Arrived = "arrived",
///         /// It is not.
///         Lost = "lost",
///     }
/// }
/// assert_eq!(Fate::ALL, [Fate::Arrived, Fate::Lost]);
/// assert_eq!(Fate::Arrived.label(), "arrived");
/// assert_eq!(Fate::Lost.place(), 1);
/// ```
#[macro_export]
macro_rules! labelled {
    (
        $(#[$about:meta])*
        pub enum $type:ident {
            $($(#[$doc:meta])* $name:ident = $label:literal,)*
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum $type {
            $($(#[$doc])* $name,)*
        }

        impl $type {
            /// All of them, in the order of the declaration.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Where it stands in [`Self::ALL`].
            #[allow(clippy::as_conversions, reason = "a discriminant has no other conversion")]
            pub const fn place(self) -> usize {
                self as usize
            }

            /// The label that metrics use.
            pub const fn label(self) -> &'static str {
                match self {
                    $(Self::$name => $label,)*
                }
            }
        }
    };
}
