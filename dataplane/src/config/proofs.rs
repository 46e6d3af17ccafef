//! That each field of the manifest takes effect when its description says so.
//!
//! A proof goes the whole way of a reload: a manifest, the set-up that it means, a node with a live
//! tunnel and a live session, then another manifest and what comes of it. The list of fields is the
//! schema's own: a field without a proof fails, and so does a proof that changes another field.

mod addresses;
mod lacs;
mod members;
mod packets;
mod policies;
mod ppp;
mod process;
mod radius;
mod stage;
mod subscribers;

use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use lns_api::Effect;
use lns_api::schema::effect::{Field, fields};

use self::stage::Stage;

/// How it is shown of one field when a change takes effect.
struct Proof {
    /// Its path in the schema.
    field: &'static str,
    /// What is shown.
    effect: Effect,
    /// Changes the field on a stage, and panics where the node does another thing than is said.
    prove: fn(&mut Stage),
}

const fn proof(field: &'static str, effect: Effect, prove: fn(&mut Stage)) -> Proof {
    Proof {
        field,
        effect,
        prove,
    }
}

fn proofs() -> impl Iterator<Item = &'static Proof> {
    [
        process::PROOFS,
        lacs::PROOFS,
        ppp::PROOFS,
        subscribers::PROOFS,
        addresses::PROOFS,
        policies::PROOFS,
        policies::OF_RULES,
        radius::PROOFS,
        members::PROOFS,
    ]
    .into_iter()
    .flatten()
}

#[test]
fn every_field_has_one_proof_of_the_effect_that_its_description_says() {
    let fields = fields();
    for Field { path, effect } in &fields {
        let found: Vec<_> = proofs().filter(|proof| proof.field == path).collect();
        assert_eq!(found.len(), 1, "proofs of {path}");
        assert_eq!(found[0].effect, *effect, "{path}");
    }
    assert_eq!(proofs().count(), fields.len(), "proofs of no field");
}

#[test]
fn every_field_takes_effect_when_its_description_says() {
    let mut failed = Vec::new();
    for proof in proofs() {
        let held = catch_unwind(AssertUnwindSafe(|| {
            let mut stage = Stage::new();
            (proof.prove)(&mut stage);
            stage.has_changed(proof.field, proof.effect);
        }));
        if held.is_err() {
            failed.push(proof.field);
        }
    }
    assert!(failed.is_empty(), "these do not: {failed:?}");
}
