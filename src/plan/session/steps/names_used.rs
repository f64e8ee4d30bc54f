//! Names that a session's placeholders use: values that steps take, columns of data.

use super::{Act, Condition, Match, Payload, StepHeader, flat};
use crate::plan::session::Session;
use crate::protocol::Template;
use std::collections::BTreeSet;

/// See the module.
pub fn names_used(session: &Session) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let request = &session.request;
    let headers = request.headers.iter().map(|header| &header.value);
    for text in [&request.path].into_iter().chain(headers).chain(&request.subprotocols) {
        of_text(Template::naming(text, &|_| true).ok().as_ref(), &mut names);
    }
    for step in flat(&session.steps) {
        match &step.act {
            Act::Http(http) => {
                of_text(Some(&http.path), &mut names);
                of_headers(&http.headers, &mut names);
                of_payload(http.body.as_ref(), &mut names);
            }
            Act::Open(open) => {
                of_text(open.path.as_ref(), &mut names);
                of_headers(&open.headers, &mut names);
                open.subprotocols.iter().for_each(|name| of_text(Some(name), &mut names));
            }
            Act::Send(send) => {
                of_payload(Some(&send.payload), &mut names);
                of_match(send.expect.as_ref(), &mut names);
            }
            Act::Wait(kind) => of_match(Some(kind), &mut names),
            Act::On { when, send } => {
                of_match(Some(when), &mut names);
                of_payload(send.as_ref(), &mut names);
            }
            Act::Think(_) | Act::Repeat { .. } | Act::Close { .. } => {}
        }
    }
    names
}

fn of_text(text: Option<&Template>, names: &mut BTreeSet<String>) {
    names.extend(text.into_iter().flat_map(Template::names).map(str::to_owned));
}

fn of_headers(headers: &[StepHeader], names: &mut BTreeSet<String>) {
    headers.iter().for_each(|header| of_text(Some(&header.value), names));
}

fn of_payload(payload: Option<&Payload>, names: &mut BTreeSet<String>) {
    match payload {
        Some(Payload::Text(text) | Payload::Binary(text)) => of_text(Some(text), names),
        Some(Payload::Hex(digits)) => of_text(Template::hex(digits, &|_| true).ok().as_ref(), names),
        Some(Payload::Base64(_) | Payload::File(_)) | None => {}
    }
}

fn of_match(kind: Option<&Match>, names: &mut BTreeSet<String>) {
    let Some(kind) = kind else { return };
    of_text(kind.after.as_ref(), names);
    for condition in &kind.all {
        match condition {
            Condition::Equals(text) | Condition::StartsWith(text) | Condition::Contains(text) => {
                of_text(Some(text), names);
            }
            Condition::Json { equals, .. } => of_text(equals.as_ref(), names),
            Condition::Echo | Condition::Regex(_) | Condition::Hex(_) => {}
        }
    }
}
