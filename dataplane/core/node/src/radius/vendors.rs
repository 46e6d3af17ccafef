//! What is in a Vendor-Specific (RFC 2865, 5.26), whole or not at all.
//!
//! A vendor may put anything into its own: whose attributes are not ours to read is for the caller to say.

use lns_wire::Reader;
use lns_wire::radius::kind;
use lns_wire::radius::{Attribute, ParseError};

/// The attributes in it. One that is not whole is the last.
#[derive(Clone, Debug)]
pub(super) struct Inner<'a>(Reader<'a>);

/// Whose an attribute is and what is in it, if it is a vendor's.
pub(super) fn read<'a>(attribute: &Attribute<'a>) -> Option<Result<(u32, Inner<'a>), ParseError>> {
    (attribute.kind == kind::VENDOR_SPECIFIC).then(|| {
        let mut reader = Reader::new(attribute.value);
        Ok((reader.u32()?, Inner(reader)))
    })
}

impl<'a> Iterator for Inner<'a> {
    type Item = Result<Attribute<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let attribute = Attribute::read(&mut self.0);
        if attribute.is_err() {
            self.0.take_rest();
        }
        Some(attribute)
    }
}
