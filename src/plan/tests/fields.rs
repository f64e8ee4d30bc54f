//! The table of fields, held against the plan, and against what is made from it.

use super::super::fields::{LeftOut, Row, Takes, rows};
use super::super::{Overrides, from_flags, load_file};
use crate::protocol::Kind;
use std::path::Path;

/// A target of a kind that a field is meant for, with what some fields need beside them.
fn base(row: &Row) -> Overrides {
    let kind = Kind::ALL.into_iter().find(|kind| row.schemes.fit(*kind)).unwrap();
    let base = Overrides::to(&format!("{kind}://localhost:1"));
    match row.table {
        "reconnect" => base.with_switch("--reconnect"),
        "messages" => base.with("--send", "x").with("--expect", "any").with("--lifetime", "1s"),
        _ => base,
    }
}

/// The default that help, schema and reference tell is the default of the plan.
#[test]
fn a_default_that_is_told_is_the_one_that_is_used() {
    let mut seen = 0;
    for row in rows() {
        let (Some(flag), LeftOut::Value(text)) = (row.flag, &row.default) else { continue };
        let without = from_flags(&base(&row)).unwrap_or_else(|errors| panic!("{flag}: {errors}"));
        let with =
            from_flags(&base(&row).with(flag, text)).unwrap_or_else(|errors| panic!("{flag}: {errors}"));
        assert_eq!(with, without, "{flag} {text}");
        seen += 1;
    }
    assert!(seen >= 12, "{seen}");
    let serve = |fields: &str| {
        load_file(Path::new("x.toml"), &format!("[serve]\n{fields}"), &|_| None, &Overrides::default())
            .unwrap()
    };
    for row in rows().iter().filter(|row| row.table == "serve") {
        let (Some(name), LeftOut::Value(text)) = (row.name, &row.default) else { continue };
        assert_eq!(serve(&format!("{name} = \"{text}\"")), serve(""), "{name}");
    }
}

#[test]
fn no_name_and_no_letter_is_given_twice() {
    let rows = rows();
    for (n, row) in rows.iter().enumerate() {
        assert!(row.name.is_some() || row.flag.is_some(), "{row:?}");
        assert!(!row.doc.is_empty() && !row.doc.ends_with('.'), "{row:?}");
        assert_eq!(row.takes == Takes::Nothing, row.value_name.is_empty() && row.flag.is_some(), "{row:?}");
        for other in &rows[..n] {
            assert!(row.name.is_none() || (row.table, row.name) != (other.table, other.name), "{row:?}");
            assert!(row.flag.is_none() || row.flag != other.flag, "{row:?}");
            assert!(row.short.is_none() || row.short != other.short, "{row:?}");
        }
    }
}

#[test]
fn a_flag_that_is_no_field_is_a_mistake() {
    let told = from_flags(&Overrides::to("tcp://h:1").with("--lifetme", "1s")).unwrap_err().to_string();
    assert!(
        told.contains("--lifetme is not a flag") && told.contains("did you mean `--lifetime`?"),
        "{told}"
    );
}

#[test]
fn waits_before_reconnecting_need_reconnecting() {
    let told = from_flags(&Overrides::to("tcp://h:1").with("--backoff", "1s")).unwrap_err().to_string();
    assert!(told.contains("--backoff '1s'") && told.contains("`--reconnect` beside it"), "{told}");
    assert!(
        from_flags(&Overrides::to("tcp://h:1").with("--backoff", "1s").with_switch("--reconnect")).is_ok()
    );
}

/// Set BLESS=1 to write the files anew.
#[test]
fn schema_and_reference_in_the_repository_are_those_of_the_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let schema = serde_json::to_string_pretty(&super::super::schema()).unwrap() + "\n";
    for (path, text) in
        [("src/plan/schema.json", schema), ("docs/reference/scenario.md", super::super::reference())]
    {
        let path = root.join(path);
        if std::env::var_os("BLESS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &text).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(kept == text, "{} is old: run this test with BLESS=1", path.display());
    }
}
