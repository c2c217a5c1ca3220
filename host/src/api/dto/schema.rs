//! Schemas of words that the pure core owns: made from its own lists, so that the document can't fall behind.

use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};

use crate::saga::{Kind, Phase, Status};

pub(super) fn status() -> RefOr<Schema> {
    words(
        "Where a saga stands",
        Status::ALL.iter().map(|status| status.as_str()),
    )
}

pub(super) fn kind() -> RefOr<Schema> {
    words(
        "A label: it changes no behaviour",
        Kind::ALL.iter().map(|kind| kind.as_str()),
    )
}

pub(super) fn phase() -> RefOr<Schema> {
    words(
        "The two functions of a step",
        [Phase::Run, Phase::Compensate].iter().map(|phase| phase.as_str()),
    )
}

fn words<'a>(description: &str, words: impl Iterator<Item = &'a str>) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
        .enum_values(Some(words.collect::<Vec<_>>()))
        .build()
        .into()
}
