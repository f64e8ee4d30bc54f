//! Texts that are secrets, and words that are none: those to replace everywhere would garble what a report says.

use super::{REDACTED, TELLING};
use crate::model::{Cause, Side, Stage};
use crate::plan::units::{Rate, parse_duration};
use crate::protocol::Template;
use std::net::{IpAddr, SocketAddr};

/// Shorter texts are no secrets.
const SHORTEST: usize = 4;

/// Texts of a message that are secret wherever they come up: what it says around its placeholders, and what a JSON document
/// has under a name that says so.
pub(in crate::plan) fn of_message(text: &str) -> Vec<String> {
    const NAMES: [&str; 10] =
        ["pass", "pwd", "secret", "token", "apikey", "api_key", "credential", "jwt", "auth", "session"];
    let mut texts = Vec::new();
    if text.chars().count() >= TELLING && Template::literals(text).concat().chars().count() >= SHORTEST {
        texts.push(text.to_owned());
    }
    let long = Template::literals(text).into_iter().filter(|part| part.chars().count() >= TELLING);
    texts.extend(long.map(str::to_owned));
    let quoted: Vec<&str> = text.split('"').skip(1).step_by(2).collect();
    let between: Vec<&str> = text.split('"').step_by(2).skip(1).collect();
    for (pair, between) in quoted.windows(2).zip(between) {
        let name = pair[0].to_ascii_lowercase();
        if between.trim() == ":" && NAMES.iter().any(|secret| name.contains(secret)) {
            texts.push(pair[1].to_owned());
        }
    }
    texts
}

/// Those that are secrets, the longest first: a short one may be part of another.
pub(in crate::plan) fn in_order(mut texts: Vec<String>) -> Vec<String> {
    texts.retain(|text| is_secret(text));
    texts.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
    texts.dedup();
    texts
}

/// A word of a few small letters: to replace it everywhere would garble sentences.
pub(super) fn is_word(text: &str) -> bool {
    text.len() < TELLING && text.bytes().all(|byte| byte.is_ascii_lowercase())
}

fn is_secret(text: &str) -> bool {
    let plain = text.parse::<f64>().is_ok()
        || text.parse::<IpAddr>().is_ok()
        || text.parse::<SocketAddr>().is_ok()
        || text.parse::<Rate>().is_ok()
        || parse_duration(text).is_ok()
        || is_own_word(text);
    text.chars().count() >= SHORTEST && !plain && text != REDACTED
}

/// A word that findings and errors are made of: nobody can tell by it that it was a secret, too.
fn is_own_word(text: &str) -> bool {
    const OTHERS: [&str; 22] = [
        "address",
        "answer",
        "answered",
        "attempt",
        "attempts",
        "client",
        "connection",
        "connections",
        "duration",
        "expected",
        "failed",
        "from",
        "header",
        "message",
        "messages",
        "port",
        "ports",
        "reply",
        "server",
        "such",
        "that",
        "with",
    ];
    let names = Stage::ALL.iter().map(|stage| stage.name()).chain(Side::ALL.iter().map(|side| side.name()));
    let causes = Cause::ALL.iter().flat_map(|cause| cause.name().split('_'));
    names.chain(causes).chain(OTHERS).any(|word| word == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(texts: &[&str]) -> Vec<String> {
        in_order(texts.iter().map(|text| (*text).to_owned()).collect())
    }

    #[test]
    fn numbers_times_and_addresses_are_no_secrets() {
        assert_eq!(
            all(&["5000", "5000/s", "30s", "127.0.0.1", "10.0.0.1:9000", "abc", "hunter2"]),
            ["hunter2"]
        );
    }

    #[test]
    fn a_message_is_secret_as_a_whole_and_in_its_secret_fields() {
        let texts = of_message("{\"user\":\"admin\", \"password\" : \"hunter22\", \"n\": {seq}}");
        assert!(texts.contains(&"hunter22".to_owned()) && !texts.contains(&"admin".to_owned()), "{texts:?}");
        assert!(of_message("ping").is_empty());
    }

    #[test]
    fn words_of_our_own_sentences_are_no_secrets() {
        assert_eq!(all(&["connection", "handshake", "target", "refused", "connections!"]), ["connections!"]);
    }

    #[test]
    fn a_placeholder_alone_is_no_secret_and_what_stands_around_it_is() {
        assert!(of_message("{random:1KiB}").is_empty() && of_message("m{seq}").is_empty());
        let texts = of_message("login hunter22 {seq} again");
        assert!(texts.contains(&"login hunter22 ".to_owned()), "{texts:?}");
    }
}
