//! The JSON schema (2020-12) of a scenario file, made from the table of fields.

use super::fields::{Row, TABLES, TableDoc, rows};
use serde_json::{Map, Value, json};

/// JSON schema of a scenario file.
pub fn schema() -> Value {
    let rows = rows();
    let mut properties = fields(&rows, "");
    for TableDoc { name, doc } in TABLES {
        let mut table = json!({
            "description": doc,
            "type": "object",
            "additionalProperties": false,
            "properties": fields(&rows, name),
        });
        if *name == "load" {
            table["not"] = json!({ "required": ["open", "closed"] });
        }
        properties.insert((*name).to_owned(), table);
    }
    let mut definitions = super::threshold::definitions();
    for (name, definition) in super::session::steps::definitions() {
        definitions.insert(name.to_owned(), definition);
    }
    definitions.insert("population".to_owned(), population(&rows));
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A scenario of connstorm",
        "description": "What a TOML file given to `connstorm run` may hold. Strings may hold ${NAME}, replaced by the environment's variable.",
        "type": "object",
        "additionalProperties": false,
        "anyOf": [
            { "required": ["target"], "properties": { "target": { "required": ["url"] } } },
            { "required": ["serve"] },
            { "required": ["population"] },
        ],
        "properties": properties,
        "$defs": definitions,
    })
}

/// A population: what a scenario has to say how clients connect and what they do.
fn population(rows: &[Row]) -> Value {
    let mut properties = Map::new();
    properties.insert("name".into(), json!({ "description": "Name of the population.", "type": "string" }));
    properties.insert(
        "share".into(),
        json!({ "description": "Share of the scenario's load, beside the others' shares. Left out: 1, or a load of its own.",
            "type": ["integer", "string"] }),
    );
    let top = fields(rows, "");
    properties.extend(
        ["steps", "workers"].into_iter().filter_map(|name| Some((name.into(), top.get(name)?.clone()))),
    );
    for TableDoc { name, doc } in TABLES.iter().filter(|table| table.name != "serve") {
        let table = json!({
            "description": doc,
            "type": "object",
            "additionalProperties": false,
            "properties": fields(rows, name),
        });
        let table = if *name == "target" { json!({ "oneOf": [{ "type": "string" }, table] }) } else { table };
        properties.insert((*name).to_owned(), table);
    }
    json!({ "type": "object", "additionalProperties": false, "required": ["name"], "properties": properties })
}

/// The properties of one table.
fn fields(rows: &[Row], table: &str) -> Map<String, Value> {
    let of_table = rows.iter().filter(|row| row.table == table);
    of_table
        .filter_map(|row| {
            let mut schema = row.schema.clone();
            schema["description"] = description(row).into();
            Some((row.name?.to_owned(), schema))
        })
        .collect()
}

fn description(row: &Row) -> String {
    match row.default.text() {
        Some(default) => format!("{}. Left out: {default}.", row.doc),
        None => format!("{}.", row.doc),
    }
}
