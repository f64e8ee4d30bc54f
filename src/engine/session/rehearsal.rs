//! Words that the first clients of each population would say, made by what says it in a run, without a connection.

use super::request::{Filling, write_upgrade};
use super::steps::{self, Client, Common, Rehearsing};
use super::{Script, ScriptError};
use crate::engine::data::Tables;
use crate::engine::lifetimes::WorkerRng;
use crate::linux::clock::Clock;
use crate::model::format::seconds;
use crate::model::{Slice, Stamp};
use crate::plan::{Expect, Plan, steps::names};
use crate::protocol::websocket::Upgrade;
use crate::protocol::{Alphabet, Application, Fields, NoNames};
use crate::result::rehearsal::{RehearsedClient, RehearsedStep};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The longest text that is shown, in bytes; of what is longer, the beginning.
const SHOWN: usize = 4096;

/// The first so many clients of each population, step by step; fewer, where its data does not last.
///
/// # Errors
/// When a file that the plan names can't be used.
pub fn rehearse(plan: &Plan, clients: u64) -> Result<Vec<Vec<RehearsedClient>>, ScriptError> {
    let common = Common { data: Tables::load(plan, Slice::WHOLE)?, first_step: 0 };
    let (each, of) = (plan.each(), plan.each().len() as u64);
    let population = |(number, plan): (u64, &&Plan)| {
        let ordinals = (0..clients).map(|client| client * of + number);
        of_population(plan, &common, ordinals)
    };
    (0..).zip(&each).map(population).collect()
}

fn of_population(
    plan: &Plan,
    common: &Common,
    ordinals: impl Iterator<Item = u64>,
) -> Result<Vec<RehearsedClient>, ScriptError> {
    let script = Script::of(plan, common)?;
    let program = script.as_ref().and_then(|script| script.program.as_ref());
    let now_us = Clock::start().unix_micros(Stamp::ZERO);
    let mut rng = WorkerRng::new(plan.seed, 0);
    let mut rehearsed = Vec::new();
    for ordinal in ordinals {
        let Some(rows) = program.map_or(Some(Default::default()), |program| program.draw(rng.random()))
        else {
            break;
        };
        let mut with = Rehearsing {
            client: Client::with_rows(ordinal, rows),
            application: plan.kind().application(),
            destination: destination(plan),
            now_us,
            random: rng.random(),
        };
        let steps = match &script {
            None => Vec::new(),
            Some(Script { program: Some(program), .. }) => {
                steps::rehearse(program, &names(&plan.session.steps), &mut with)
            }
            Some(script) => messages(script, ordinal + 1, &mut with),
        };
        let steps = if steps.is_empty() { vec![bare()] } else { steps };
        rehearsed.push(RehearsedClient { number: ordinal + 1, steps });
    }
    Ok(rehearsed)
}

/// Where the plan connects to, as far as that is known before a name is resolved.
fn destination(plan: &Plan) -> SocketAddr {
    let Some(target) = &plan.target else {
        let listen = plan.serve.as_ref().and_then(|serve| serve.listen.first());
        return listen.copied().unwrap_or_else(|| (Ipv4Addr::LOCALHOST, 0).into());
    };
    let literal = target.host.split('%').next().unwrap_or_default().parse();
    let port = target.ports.first().copied().unwrap_or_default();
    (literal.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), port).into()
}

/// A connection over which nothing is said.
fn bare() -> RehearsedStep {
    RehearsedStep {
        name: "connect".into(),
        connection: Some(1),
        does: Some("says nothing".into()),
        ..RehearsedStep::default()
    }
}

/// The handshake, and the first message or request, of a scenario without steps.
fn messages(script: &Script, number: u64, with: &mut Rehearsing<'_>) -> Vec<RehearsedStep> {
    let mut done = Vec::new();
    let fields = |seq| Fields { seq, conn: number, now_us: with.now_us };
    if script.application == Application::WebSocket {
        let filling = Filling { fields: fields(0), named: &NoNames };
        let offered = script.request.offered(&filling, with.random);
        let mut out = Vec::new();
        script.request.write(&filling, with.destination, with.random, &mut out);
        write_upgrade(&mut out, &Upgrade::begin().1, &offered);
        done.push(RehearsedStep {
            waits_for: Some("the WebSocket to be opened".into()),
            within_s: Some(script.handshake_timeout.as_secs_f64()),
            ..said("open", &out, false)
        });
    }
    let messages = &script.messages;
    let mut text = Vec::new();
    if let Some(template) = &messages.send {
        let alphabet = if messages.binary { Alphabet::Bytes } else { Alphabet::Letters };
        template.render(fields(1), alphabet, with.random, &mut text);
    }
    match script.application {
        Application::Http => {
            let mut out = Vec::new();
            let filling = Filling { fields: fields(1), named: &NoNames };
            script.request.write(&filling, with.destination, with.random, &mut out);
            script.end_request(1, &text, &mut out);
            done.push(RehearsedStep {
                does: rounds(script, u64::from(script.requests), "requests"),
                waits_for: Some("a reply".into()),
                within_s: Some(messages.timeout.as_secs_f64()),
                ..said("request", &out, false)
            });
        }
        _ if messages.send.is_some() => {
            let answer = messages.expect.as_ref().map(|expect| match expect {
                Expect::Echo => "the same message".to_owned(),
                Expect::Any => "any message".to_owned(),
                other => other.to_string(),
            });
            done.push(RehearsedStep {
                does: rounds(script, messages.count.unwrap_or(u64::MAX), "messages"),
                within_s: answer.as_ref().map(|_| messages.timeout.as_secs_f64()),
                waits_for: answer,
                ..said("message", &text, messages.binary)
            });
        }
        _ => {}
    }
    if let Some(first) = done.first_mut() {
        first.connection = Some(1);
    }
    done
}

/// Number of times that something is said, and its pace; `None`: once.
fn rounds(script: &Script, times: u64, what: &str) -> Option<String> {
    let messages = &script.messages;
    let pace = match messages.every {
        Some(every) => format!(", one each {}", seconds(every.as_secs_f64())),
        None if !messages.think.is_zero() => {
            format!(", {} between them", seconds(messages.think.as_secs_f64()))
        }
        None => String::new(),
    };
    match times {
        1 => None,
        u64::MAX => Some(format!("{what} as long as the connection lives{pace}")),
        times => Some(format!("{times} {what}{pace}")),
    }
}

fn said(name: &str, text: &[u8], is_binary: bool) -> RehearsedStep {
    RehearsedStep {
        name: name.into(),
        sends: Some(shown(text, is_binary)),
        bytes: Some(text.len() as u64),
        binary: is_binary,
        ..RehearsedStep::default()
    }
}

/// Bytes as they are shown: a text as it is, what is binary as hexadecimal digits; the beginning of what is long.
pub(super) fn shown(text: &[u8], is_binary: bool) -> String {
    let (beginning, rest) = text.split_at(text.len().min(SHOWN));
    let mut shown = match std::str::from_utf8(beginning) {
        Ok(text) if !is_binary => text.to_owned(),
        _ if !is_binary => String::from_utf8_lossy(beginning).into_owned(),
        _ => beginning.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" "),
    };
    if !rest.is_empty() {
        shown.push('…');
    }
    shown
}
