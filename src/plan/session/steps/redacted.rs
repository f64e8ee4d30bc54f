//! Parts of steps that only their owner may know.

use super::{Act, Condition, Match, Payload, Step, StepHeader, flat};
use crate::plan::secrets::{REDACTED, is_secret_header, of_message, query_values, redacted_query};
use crate::protocol::Template;

/// Replaces it in steps that a report tells.
pub(in crate::plan) fn redact(steps: &mut [Step]) {
    for step in steps {
        match &mut step.act {
            Act::Http(http) => {
                http.path = Template::literal(&redacted_query(http.path.as_str()));
                http.headers.iter_mut().for_each(header);
                http.body.iter_mut().for_each(payload);
            }
            Act::Open(open) => {
                open.path = open.path.as_ref().map(|path| Template::literal(&redacted_query(path.as_str())));
                open.headers.iter_mut().for_each(header);
            }
            Act::Send(send) => {
                payload(&mut send.payload);
                send.expect.iter_mut().for_each(matching);
            }
            Act::Wait(kind) => matching(kind),
            Act::On { when, send } => {
                matching(when);
                send.iter_mut().for_each(payload);
            }
            Act::Repeat { steps, .. } => redact(steps),
            Act::Think(_) | Act::Close { .. } => {}
        }
    }
}

fn payload(payload: &mut Payload) {
    match payload {
        Payload::Text(text) | Payload::Binary(text) => *text = Template::literal(REDACTED),
        Payload::Hex(text) | Payload::Base64(text) => REDACTED.clone_into(text),
        Payload::File(_) => {}
    }
}

fn header(header: &mut StepHeader) {
    if is_secret_header(&header.name) {
        header.value = Template::literal(REDACTED);
    }
}

fn matching(kind: &mut Match) {
    for condition in &mut kind.all {
        match condition {
            Condition::Equals(text) | Condition::StartsWith(text) | Condition::Contains(text) => {
                *text = Template::literal(REDACTED);
            }
            Condition::Json { equals, .. } => *equals = equals.take().map(|_| Template::literal(REDACTED)),
            Condition::Regex(text) => REDACTED.clone_into(text),
            Condition::Echo | Condition::Hex(_) => {}
        }
    }
}

/// Texts of steps that no report may hold.
pub(in crate::plan) fn secret_texts(steps: &[Step]) -> Vec<String> {
    let mut texts = secret_texts_of_requests(steps);
    for step in flat(steps) {
        match &step.act {
            Act::Http(http) => http.body.iter().for_each(|body| of_payload(body, &mut texts)),
            Act::Send(send) => of_payload(&send.payload, &mut texts),
            Act::On { send: Some(send), .. } => of_payload(send, &mut texts),
            _ => {}
        }
    }
    texts
}

/// Those of headers and queries alone.
pub(in crate::plan) fn secret_texts_of_requests(steps: &[Step]) -> Vec<String> {
    let mut texts = Vec::new();
    for step in flat(steps) {
        match &step.act {
            Act::Http(http) => {
                of_headers(&http.headers, &mut texts);
                texts.extend(query_values(http.path.as_str()).map(|value| format!("={value}")));
            }
            Act::Open(open) => {
                of_headers(&open.headers, &mut texts);
                let path = open.path.as_ref().map_or("", Template::as_str);
                texts.extend(query_values(path).map(|value| format!("={value}")));
            }
            _ => {}
        }
    }
    texts
}

fn of_headers(headers: &[StepHeader], texts: &mut Vec<String>) {
    for header in headers.iter().filter(|header| is_secret_header(&header.name)) {
        texts.push(header.value.as_str().to_owned());
    }
}

fn of_payload(payload: &Payload, texts: &mut Vec<String>) {
    match payload {
        Payload::Text(text) | Payload::Binary(text) => texts.extend(of_message(text.as_str())),
        Payload::Hex(text) | Payload::Base64(text) => texts.push(text.clone()),
        Payload::File(_) => {}
    }
}
