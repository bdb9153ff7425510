//! The published schemas of the documents: JSON Schema 2020-12, made from the types themselves.

use clap::ValueEnum;
use schemars::{Schema, schema_for};

use crate::bench::Bench;
use crate::bench::stored::Stored;
use crate::gate::exact::Exact;
use crate::paired::selftest::Proof;
use crate::report::{json, paired};
use crate::results::history::Record;

/// A kind of document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// A scenario file; `#:schema PATH` in its first line lets editors complete and check it.
    Scenario,
    /// Of `regatta run --json`.
    Run,
    /// Of `regatta bench --json`, and `manifest.json` of a stored run.
    Bench,
    /// Of `regatta compare --json` over stored runs.
    Compare,
    /// Of `regatta gate --json`, and of `regatta compare --json` over revisions.
    Gate,
    /// Of `regatta gate --self-test --json`.
    SelfTest,
    /// A file of results/exact.
    Exact,
    /// A line of results/history.
    History,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Scenario,
        Self::Run,
        Self::Bench,
        Self::Compare,
        Self::Gate,
        Self::SelfTest,
        Self::Exact,
        Self::History,
    ];

    /// The name of its file in `docs/schema`.
    #[must_use]
    pub const fn file(self) -> &'static str {
        match self {
            Self::Scenario => "scenario.schema.json",
            Self::Run => "run.schema.json",
            Self::Bench => "bench.schema.json",
            Self::Compare => "compare.schema.json",
            Self::Gate => "gate.schema.json",
            Self::SelfTest => "self-test.schema.json",
            Self::Exact => "exact.schema.json",
            Self::History => "history.schema.json",
        }
    }

    /// Its schema.
    #[must_use]
    pub fn schema(self) -> Schema {
        match self {
            // A scenario is read by hand, for the sake of its messages; so its schema is put together by hand too.
            Self::Scenario => Schema::try_from(crate::scenario::schema::schema()).unwrap_or_default(),
            Self::Run => schema_for!(json::Document),
            Self::Bench => schema_for!(Bench),
            Self::Compare => schema_for!(Stored),
            Self::Gate => schema_for!(paired::Document),
            Self::SelfTest => schema_for!(Proof),
            Self::Exact => schema_for!(Exact),
            Self::History => schema_for!(Record),
        }
    }

    /// Its schema as text.
    #[must_use]
    pub fn text(self) -> String {
        // A schema is a JSON value: writing it cannot fail.
        serde_json::to_string_pretty(&self.schema()).unwrap_or_default() + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_schemas_are_those_of_the_types() {
        for kind in Kind::ALL {
            let path = format!("{}/../docs/schema/{}", env!("CARGO_MANIFEST_DIR"), kind.file());
            let published = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(
                published == kind.text(),
                "{path} is old; `regatta schema --write docs/schema` makes it new"
            );
        }
    }

    #[test]
    fn a_schema_describes_its_fields_and_says_which_are_required() {
        let schema = Kind::Bench.schema();
        let value = schema.as_value();
        let required = value["required"].as_array().expect("a list");
        assert!(required.iter().any(|name| name == "machine"), "{required:?}");
        assert!(value["properties"]["rounds"]["description"].as_str().is_some_and(|text| !text.is_empty()));
    }
}
