//! Schemas of words that others own: made from its own lists, so that the document can't fall behind.

use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};

use crate::{
    engine::{ComponentStatus, Scope},
    saga::{Kind, Phase, Status},
};

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

pub(super) fn component_status() -> RefOr<Schema> {
    words(
        "Whether a component may be used",
        ComponentStatus::ALL.iter().map(|status| status.as_str()),
    )
}

pub(super) fn scope() -> RefOr<Schema> {
    words(
        "How much a token may do; each includes those before it",
        Scope::ALL.iter().map(|scope| scope.as_str()),
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
