//! Data for placeholders: what a file means, and its mistakes at their places.

use super::super::data::{DataFormat, TakeRows};
use super::super::{Overrides, ScenarioErrors, Surroundings, load_file_with};
use crate::plan::Plan;
use std::path::Path;

/// A scenario with two files of data beside it.
fn load(text: &str) -> Result<Plan, ScenarioErrors> {
    let files = &|path: &Path| match path.to_str() {
        Some("users.csv") => Ok(b"name,token\nann,t1\n".to_vec()),
        Some("rooms.jsonl") => Ok(b"{\"id\": 7, \"title\": \"x\"}\n".to_vec()),
        Some("empty.csv") => Ok(Vec::new()),
        _ => Err("no such file".to_owned()),
    };
    let surroundings = Surroundings { environment: &|_| None, files };
    load_file_with(Path::new("storm.toml"), text, &surroundings, &Overrides::default())
}

const DATA: &str =
    "[data.users]\nfile = \"users.csv\"\n[data.rooms]\nfile = \"rooms.jsonl\"\ntake = \"once\"\n";

#[test]
fn columns_are_placeholders_wherever_text_goes_out() {
    let text = format!(
        r#"steps = [
          {{ http = "POST /{{rooms.id}}", body = '{{"name":"{{users.name}}"}}', take = {{ sid = "json:/s" }} }},
          {{ open = true, headers = {{ Cookie = "{{users.token}}" }} }},
          {{ send = "{{sid}} {{users.name}}", expect = {{ json = "/a", equals = "{{rooms.title}}" }} }},
        ]
        [target]
        url = "ws://h:1/?token={{users.token}}"
        {DATA}"#
    );
    let plan = load(&text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let users = &plan.data[0];
    assert_eq!(
        (users.name.as_str(), users.format, users.take),
        ("users", DataFormat::Csv, TakeRows::InOrder)
    );
    assert_eq!((plan.data[1].format, plan.data[1].take), (DataFormat::JsonLines, TakeRows::Once));
    let used = crate::plan::steps::names_used(&plan.session);
    for name in ["rooms.id", "rooms.title", "users.name", "users.token", "sid"] {
        assert!(used.contains(name), "{name}: {used:?}");
    }
    let json = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);
}

/// Words of the first mistake, and the text under its caret.
fn mistake(text: &str) -> (String, String) {
    let errors = load(text).expect_err(text);
    let mistake = &errors.mistakes()[0];
    let crate::plan::Place::File(span) = mistake.place() else { panic!("{errors}") };
    (errors.to_string(), text[span.clone()].to_owned())
}

#[test]
fn a_mistake_in_data_is_at_its_place() {
    let steps = "steps = [{ send = \"{users.name}\" }]\n[target]\nurl = \"ws://h:1/\"\n";
    for (data, under, says) in [
        ("[data.users]\nfile = \"users.txt\"", "\"users.txt\"", "the form of 'users.txt' can't be told"),
        ("[data.users]\nfile = \"gone.csv\"", "\"gone.csv\"", "'gone.csv' can't be read: no such file"),
        ("[data.users]\nfile = \"empty.csv\"", "\"empty.csv\"", "no first line with the names"),
        ("[data.users]\nfile = \"users.csv\"\ntake = \"onec\"", "\"onec\"", "did you mean `once`?"),
        ("[data.users]\ntake = \"once\"", "[data.users]", "the field `file` is missing"),
        ("[data.users]\nfil = \"users.csv\"", "fil", "did you mean `file`?"),
        ("[data.\"a b\"]\nfile = \"users.csv\"", "\"a b\"", "can't be the name of data"),
        ("[data]\nusers = \"users.csv\"", "\"users.csv\"", "does not fit here"),
        ("[data.user]\nfile = \"users.csv\"", "{users.name}", "did you mean `{user.name}`?"),
        ("[data.users]\nfile = \"rooms.jsonl\"", "{users.name}", "{users.name} is not a placeholder here"),
    ] {
        let (told, at) = mistake(&format!("{steps}{data}\n"));
        assert!(told.contains(says), "{data}: {told}");
        assert_eq!(at, under, "{data}: {told}");
    }
    let (told, _) = mistake(&format!("[target]\nurl = \"ws://h:1/\"\n{DATA}"));
    assert!(told.contains("nothing of this scenario can use data"), "{told}");
    let bad = load(&format!("{steps}[data.users]\nfile = \"gone.csv\"\n")).expect_err("no such file");
    assert_eq!(bad.mistakes().len(), 1, "a column of bad data is no mistake of its own: {bad}");
}
