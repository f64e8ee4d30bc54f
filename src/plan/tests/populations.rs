//! Populations: what a file means, and its mistakes at their places.

use super::super::{Arrivals, Lifetime, Overrides, Plan};
use super::{load, load_with};
use std::time::Duration;

const MIX: &str = r#"
name = "mix"
[load]
open = [{ hold = "10s", at = "100/s" }]
[connection]
lifetime = "2s"
[source]
addresses = ["127.0.0.2"]

[[population]]
name = "talkers"
share = 20
target = "ws://127.0.0.1:9001/chat?n={conn}&t={token}"
steps = [
  { http = "GET /token", take = { token = "json:/t" } },
  { open = true },
  { send = "hi", expect = "echo", name = "say" },
]

[[population]]
name = "listeners"
share = 80
[population.target]
url = "tcp://127.0.0.1:9002"
[population.connection]
lifetime = "until-end"
[population.source]
addresses = ["127.0.0.3"]

[[population]]
name = "probe"
target = "http://127.0.0.1:9003/health"
[population.load]
closed = { slots = 2, duration = "5s" }

[thresholds]
"population.talkers.step.say.p99" = "< 1s"
"population.listeners.connect.p99" = "< 50ms"
"step.say.failed" = "== 0"
"#;

fn rate(plan: &Plan) -> f64 {
    let Arrivals::Open(stages) = &plan.load.arrivals else { panic!("{:?}", plan.load) };
    stages[0].to.as_per_second()
}

#[test]
fn a_population_is_a_scenario_laid_over_the_common_fields() {
    let plan = load(MIX).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let [talkers, listeners, probe] = &plan.populations[..] else { panic!("{:?}", plan.populations) };
    assert_eq!((talkers.share, listeners.share, probe.share), (Some(20), Some(80), None));
    assert!((rate(&talkers.plan) - 20.0).abs() < 1e-9 && (rate(&listeners.plan) - 80.0).abs() < 1e-9);
    assert_eq!(talkers.plan.connection.lifetime, Lifetime::Fixed(Duration::from_secs(2)));
    assert_eq!(listeners.plan.connection.lifetime, Lifetime::UntilEnd);
    assert_eq!(listeners.plan.url().unwrap(), "tcp://127.0.0.1:9002");
    assert_eq!(talkers.plan.session.steps.len(), 3);
    assert!(matches!(probe.plan.load.arrivals, Arrivals::Closed { slots: 2, .. }));
    assert_eq!(plan.source.addresses.blocks().len(), 2, "those of all populations");
    assert!((rate(&plan) - 100.0).abs() < 1e-9, "the whole has the load of all");
    assert_eq!(plan.each().len(), 3);
    let json = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);
    let faster = load_with(
        &MIX[..MIX.find("[[population]]\nname = \"probe\"").unwrap()],
        &Overrides::default().with("--rate", "1000/s"),
    );
    assert!((rate(&faster.unwrap().populations[0].plan) - 200.0).abs() < 1e-9, "a flag is of the whole load");
    let shown = serde_json::to_string(&plan.redacted()).unwrap();
    assert!(!shown.contains("{token}"), "{shown}");
}

#[test]
fn a_scenario_without_populations_is_its_own_only_one() {
    let plan = load("[target]\nurl = \"tcp://h:1\"\n").unwrap();
    assert!(plan.populations.is_empty() && std::ptr::eq(plan.each()[0], &plan));
}

/// Words of the mistakes, and the text under the caret of the first.
fn mistake(text: &str) -> (String, String) {
    let errors = load(text).expect_err(text);
    let place = match errors.mistakes()[0].place() {
        crate::plan::Place::File(range) => text[range.clone()].to_owned(),
        other => format!("{other:?}"),
    };
    (errors.to_string(), place)
}

#[test]
fn each_mistake_has_its_place() {
    let mut wrong = Vec::new();
    for (from, to, says, under) in [
        ("share = 20", "share = 20\nserve = {}", "a population has no field 'serve'", "serve"),
        ("share = 20", "shrae = 20", "did you mean `share`?", "shrae"),
        ("share = 20", "share = 0", "'0' is too few", "0"),
        ("name = \"probe\"", "name = \"a b\"", "not the name of a population", "\"a b\""),
        ("name = \"probe\"", "name = \"talkers\"", "another population is called 'talkers'", "\"talkers\""),
        ("name = \"probe\"\n", "", "the field `name` is missing", "[[population]]"),
        ("name = \"probe\"\n", "name = \"probe\"\nshare = 3\n", "and one of its own", "3"),
        ("{token}\"", "{tokn}\"", "did you mean `{token}`?", "{tokn}"),
        ("expect = \"echo\"", "expct = \"echo\"", "did you mean `expect`?", "expct"),
        ("lifetime = \"until-end\"", "lifetime = \"2\"", "not a duration", "\"2\""),
        (
            "population.talkers.step.say",
            "population.talker.step.say",
            "no population 'talker'",
            "population.talker.step.say.p99",
        ),
        (
            "population.talkers.step.say",
            "population.listeners.step.say",
            "it has no steps",
            "population.listeners.step.say.p99",
        ),
        (
            "population.listeners.connect",
            "population.listeners.conect",
            "did you mean",
            "population.listeners.conect.p99",
        ),
        (
            "\"population.listeners.connect.p99\" = \"< 50ms\"",
            "\"population.listeners.onset.refusals\" = \"never\"",
            "of the whole run",
            "onset",
        ),
    ] {
        let text = MIX.replace(from, to);
        assert_ne!(text, MIX, "{from}");
        let (told, at) = mistake(&text);
        if !told.contains(says) || !at.contains(under) {
            wrong.push(format!("{says} at {under}; not at {at}:\n{told}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let aborts = format!("{MIX}[abort_when]\n\"population.talkers.failed\" = \"> 1\"\n");
    assert!(mistake(&aborts).0.contains("not by one population"));
    let errors = load_with(MIX, &Overrides::default().with("--rate", "9/s")).unwrap_err().to_string();
    assert!(errors.contains("'probe' has a load of its own"), "{errors}");
    let few = MIX
        .replace("open = [{ hold = \"10s\", at = \"100/s\" }]", "closed = { slots = 2, duration = \"5s\" }");
    assert!(mistake(&few).0.contains("nothing of the load is left for the population 'talkers'"));
    let common = MIX.replace("[connection]", "[connection]\nclose = \"fni\"");
    assert_eq!(load(&common).unwrap_err().mistakes().len(), 1, "a mistake in a common field is told once");
}
