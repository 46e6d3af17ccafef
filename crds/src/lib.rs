//! The kubelns.io resources: types, defaults, validation.
