//! Flags alone, and flags over a file.

use super::super::threshold::Threshold;
use super::super::units::Rate;
use super::super::{
    Arrivals, Close, Colour, DEFAULT_DURATION, Lifetime, Overrides, Plan, PortPolicy, RateStage,
    ScenarioErrors, from_flags,
};
use super::load_with;
use std::num::NonZeroU32;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const OPEN: &str = "[target]\nurl = \"tcp://h:1\"\n[load]\nopen = [{ ramp_to = 5000, over = \"10s\" }, { hold = \"30s\" }, { ramp_to = 1000, over = \"5s\" }]";
const CLOSED: &str = "[target]\nurl = \"tcp://h:1\"\n[load]\nclosed = { slots = 200, duration = \"30s\" }";
const ENDLESS: &str = "[target]\nurl = \"tcp://h:1\"\n[load]\nclosed = { slots = 200 }";

/// Flags as the command line has them: `--rate 5/s --ramp 1s`.
fn flags(line: &str) -> Overrides {
    let mut overrides = Overrides::default();
    let mut words = line.split_whitespace();
    while let (Some(flag), Some(value)) = (words.next(), words.next()) {
        match flag {
            "--target" => overrides = overrides.with_target(value),
            flag => overrides.set(flag, &value.replace('~', " ")),
        }
    }
    overrides
}

fn alone(line: &str) -> Result<Plan, ScenarioErrors> {
    from_flags(&flags(&format!("--target tcp://h:1 {line}")))
}

fn open(stages: &[(f64, f64, u64)]) -> Arrivals {
    let rate = |value| Rate::per_second(value).unwrap();
    let stage = |(from, to, seconds): &(f64, f64, u64)| RateStage {
        from: rate(*from),
        to: rate(*to),
        over: Duration::from_secs(*seconds),
    };
    Arrivals::Open(stages.iter().map(stage).collect())
}

fn closed(slots: u64, seconds: Option<u64>) -> Arrivals {
    Arrivals::Closed { slots, duration: seconds.map(Duration::from_secs) }
}

fn texts(thresholds: &[Threshold]) -> Vec<String> {
    thresholds.iter().map(ToString::to_string).collect()
}

/// Messages at a pace of their own, without a number, closed each connection after the first: 20,435 were made
/// where 10 were wanted.
#[test]
fn messages_without_a_number_are_sent_until_the_end() {
    let plan = |line: &str| {
        let mut flags = Overrides::to("ws://h:1/");
        let words: Vec<&str> = line.split_whitespace().collect();
        words.chunks(2).for_each(|pair| flags.set(pair[0], pair[1]));
        from_flags(&flags).unwrap()
    };
    let ten = plan("--concurrency 10 --connections 10 --send x --every 1s");
    assert_eq!((ten.connection.lifetime, ten.session.messages.count), (Lifetime::UntilEnd, None));
    let Arrivals::Closed { duration, .. } = ten.load.arrivals else { panic!("{:?}", ten.load) };
    assert_eq!(duration, Some(DEFAULT_DURATION), "else it would never end");
    let Arrivals::Open(stages) = plan("--rate 10/s --connections 9 --send x --every 1s").load.arrivals else {
        panic!()
    };
    assert!(stages[0].over > DEFAULT_DURATION, "time for messages after the last has connected");
    let counted = plan("--rate 10/s --send x --every 1s --count 3");
    assert_eq!(counted.connection.lifetime, Lifetime::Fixed(Duration::ZERO));
    let said = plan("--rate 10/s --send x --every 1s --lifetime 2s");
    assert_eq!(said.connection.lifetime, Lifetime::Fixed(Duration::from_secs(2)));
}

#[test]
fn loads_by_flags_alone() {
    for (line, arrivals) in [
        ("", open(&[(100.0, 100.0, 10)])),
        ("--ramp 5s", open(&[(0.0, 100.0, 5), (100.0, 100.0, 10)])),
        ("--rate 5000/s", open(&[(5000.0, 5000.0, 10)])),
        ("--rate 5000/s --ramp 0s --duration 1m", open(&[(5000.0, 5000.0, 60)])),
        ("--rate 5000/s --ramp 10s --duration 30s", open(&[(0.0, 5000.0, 10), (5000.0, 5000.0, 30)])),
        ("--rate 10/s --connections 99", open(&[(10.0, 10.0, 10)])),
        ("--rate 10/s --connections 99 --lifetime 5s", open(&[(10.0, 10.0, 15)])),
        ("--rate 10/s --connections 99 --lifetime until-end", open(&[(10.0, 10.0, 10)])),
        ("--rate 10/s --connections 99 --lifetime 5s --duration 10s", open(&[(10.0, 10.0, 10)])),
        ("--rate 10/s --ramp 4s --connections 99", open(&[(0.0, 10.0, 4), (10.0, 10.0, 8)])),
        ("--rate 10/s --ramp 40s --connections 99", open(&[(0.0, 10.0, 40)])),
        ("--rate 10/s --connections 99 --duration 3s", open(&[(10.0, 10.0, 3)])),
        ("--concurrency 200", closed(200, Some(10))),
        ("--concurrency 200 --duration 3s", closed(200, Some(3))),
        ("--concurrency 200 --connections 3", closed(200, None)),
    ] {
        assert_eq!(alone(line).expect(line).load.arrivals, arrivals, "{line}");
    }
}

#[test]
fn loads_by_flags_over_a_file() {
    for (file, line, arrivals) in [
        (OPEN, "", open(&[(0.0, 5000.0, 10), (5000.0, 5000.0, 30), (5000.0, 1000.0, 5)])),
        (OPEN, "--rate 50/s", open(&[(0.0, 50.0, 10), (50.0, 50.0, 30), (50.0, 10.0, 5)])),
        (OPEN, "--duration 3s", open(&[(0.0, 5000.0, 10), (5000.0, 5000.0, 3), (5000.0, 1000.0, 5)])),
        (OPEN, "--ramp 3s", open(&[(0.0, 5000.0, 3), (5000.0, 5000.0, 30), (5000.0, 1000.0, 5)])),
        (OPEN, "--ramp 0s", open(&[(5000.0, 5000.0, 30), (5000.0, 1000.0, 5)])),
        (OPEN, "--rate 9 --duration 3s", open(&[(0.0, 9.0, 10), (9.0, 9.0, 3), (9.0, 1.8, 5)])),
        (OPEN, "--rate 9 --ramp 2s --duration 3s", open(&[(0.0, 9.0, 2), (9.0, 9.0, 3)])),
        (OPEN, "--rate 10 --connections 99", open(&[(0.0, 10.0, 10), (10.0, 10.0, 5)])),
        (OPEN, "--concurrency 7", closed(7, Some(45))),
        (OPEN, "--concurrency 7 --duration 3s", closed(7, Some(3))),
        (OPEN, "--concurrency 7 --connections 3", closed(7, None)),
        (CLOSED, "--rate 50/s", open(&[(50.0, 50.0, 30)])),
        (CLOSED, "--rate 50/s --ramp 2s", open(&[(0.0, 50.0, 2), (50.0, 50.0, 30)])),
        (CLOSED, "--concurrency 7", closed(7, Some(30))),
        (CLOSED, "--duration 7s", closed(200, Some(7))),
        (CLOSED, "--connections 7", closed(200, Some(30))),
        (ENDLESS, "--duration 7s", closed(200, Some(7))),
        (ENDLESS, "--connections 7", closed(200, None)),
        (ENDLESS, "--rate 7", open(&[(7.0, 7.0, 10)])),
    ] {
        assert_eq!(load_with(file, &flags(line)).expect(line).load.arrivals, arrivals, "{file} {line}");
    }
}

#[test]
fn a_ramp_goes_in_front_of_the_first_stage_that_makes_connections() {
    let file = "[serve]\n[load]\nopen = [{ hold = \"2s\", at = 0 }, { hold = \"5s\", at = 10 }]";
    let plan = load_with(file, &flags("--ramp 3s")).unwrap();
    assert_eq!(plan.load.arrivals, open(&[(0.0, 0.0, 2), (0.0, 10.0, 3), (10.0, 10.0, 5)]));
}

#[test]
fn every_other_flag_overrides_the_file() {
    let file = "name = \"a\"\nseed = 1\nworkers = 1\n[target]\nurl = \"tcp://h\"\nports = [1, 2]\n[source]\naddresses = [\"127.0.0.2\"]\n[load]\nmax_open = 1\n[connection]\nlifetime = \"1s\"\n[thresholds]\n\"failed\" = \"< 1\"\n\"ok\" = \"< 2\"";
    let line = "--target tcp://i:3 --name b --seed 2 --workers 3 --source 127.0.0.3,127.0.0.5-127.0.0.6 --ports naive-bind --max-open 10k --connections 500 --lifetime until-end --close peer --connect-timeout 1s --handshake-timeout 2s --threshold failed~<~5 --threshold onset.refusals~never";
    let plan = load_with(file, &flags(line)).unwrap();
    assert_eq!((plan.name.as_str(), plan.seed, plan.workers), ("b", 2, NonZeroU32::new(3)));
    let target = plan.target.unwrap();
    assert_eq!((target.host.as_str(), target.ports.as_slice()), ("i", [3].as_slice()));
    assert_eq!(plan.source.addresses, "127.0.0.3,127.0.0.5-127.0.0.6".parse().unwrap());
    assert_eq!(plan.source.ports, PortPolicy::NaiveBind);
    assert_eq!((plan.load.max_open, plan.load.connections), (Some(10_000), Some(500)));
    assert_eq!((plan.connection.lifetime, plan.connection.close), (Lifetime::UntilEnd, Close::Peer));
    assert_eq!(plan.connection.connect_timeout, SECOND);
    assert_eq!(plan.connection.handshake_timeout, 2 * SECOND);
    assert_eq!(texts(&plan.thresholds), ["ok < 2", "failed < 5", "onset.refusals == never"]);
    let plan = load_with(file, &flags("--target tcp://i")).unwrap();
    assert_eq!(plan.target.unwrap().ports, [1, 2], "the file's, where the flag has none");
}

#[test]
fn a_run_is_named_after_its_target() {
    assert_eq!(alone("").unwrap().name, "tcp://h:1");
}

#[test]
fn mistakes_name_their_flag() {
    let line = "--rate 5x --source 127.0.0.1,foo --close fni --threshold <~5 --lifetime uniform(2s,1s)";
    insta::assert_snapshot!(alone(line).unwrap_err().render(Colour::Plain), @r#"
    error: --rate '5x' is not a rate
     |
     = note: expected a rate, such as 5000/s, 300/min or 2k/s

    error: --source '127.0.0.1,foo': 'foo' is not an address
     |
     = note: expected an address, a range or a CIDR block, such as 127.0.0.2, 127.0.0.2-127.0.0.9 or fd00::/120

    error: --lifetime 'uniform(2s,1s)': the range of lifetimes has to go upwards
     |
     = note: expected the shorter duration first, such as uniform(1s,5s)

    error: --close 'fni' is not a way to close
     |
     = note: expected `fin`, `rst` or `peer`
     = help: did you mean `fin`?

    error: --threshold '< 5': the threshold names no metric; write for example 'connect.p99 < 50ms'
    "#);
}

#[test]
fn flags_that_contradict_each_other() {
    for (file, line, says) in [
        (OPEN, "--rate 5 --concurrency 5", "exclude each other"),
        (OPEN, "--concurrency 5 --ramp 5s", "--ramp '5s': a closed loop has no rate to ramp"),
        (CLOSED, "--ramp 5s", "no rate to ramp"),
        (ENDLESS, "", "this load has no end"),
        (ENDLESS, "--concurrency 5", "this load has no end"),
        (OPEN, "--rate 1/h --connections 1M", "longer than 365 days"),
        (OPEN, "--rate 0", "--rate '0' makes no connection"),
        ("[serve]\n[load]\nopen = [{ ramp_to = 5, over = \"1s\" }]", "--ramp 0s", "nothing is left"),
        ("seed = = 1", "--rate x", "--rate 'x' is not a rate"),
    ] {
        let shown = load_with(file, &flags(line)).expect_err(line).to_string();
        assert!(shown.contains(says), "{line}: {shown}");
    }
    assert!(from_flags(&Overrides::default()).unwrap_err().to_string().contains("no target"));
}

#[test]
fn a_condition_that_ends_the_run_takes_the_place_of_the_files() {
    let file = format!("{CLOSED}\n[abort_when]\nfailed.ratio = \"> 50%\"\nok = \">= 9\"");
    let plan = load_with(&file, &flags("--abort-when failed.ratio>10%")).unwrap();
    assert_eq!(texts(&plan.abort_when), ["ok >= 9", "failed.ratio > 10%"]);
    let error = alone("--abort-when failed.ratoi>10%").unwrap_err().render(Colour::Plain);
    assert!(error.contains("--abort-when") && error.contains("failed.ratio"), "{error}");
}
