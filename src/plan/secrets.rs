//! Secrets of a scenario's owner, and how they are kept out of reports and errors.
//!
//! Secret are: what came from the environment by `${NAME}`, values of headers other than those that every
//! client sends, values of a query, subprotocols, texts of messages. A variable that is the target's host, an
//! address, a number, a time or a rate is none. They are replaced in the plan that a report tells, and wherever else
//! they come up: in a peer's reply, in a finding, in a command that is advised.

use super::definition::Plan;
use super::diagnostics::Place;
use super::session::{Expect, Request, Session, steps};
use super::target_url::without_secrets;
use crate::model::format::shell_word;
use crate::protocol::Template;
use serde_json::Value;
use std::fmt;

mod words;

use words::is_word;
pub(super) use words::{in_order, of_message};

/// Text that stands for a secret.
pub const REDACTED: &str = "(redacted)";
/// So many characters of a secret give it away, where an error quotes its beginning alone.
const TELLING: usize = 8;

/// Texts that a plan took from the environment, and whether secrets are to be shown.
#[derive(Clone, Default)]
pub struct Secrets {
    shown: bool,
    from_environment: Vec<String>,
}

/// Plans that do the same are the same, whatever their reports hide.
impl PartialEq for Secrets {
    fn eq(&self, _: &Secrets) -> bool {
        true
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.from_environment.len())
    }
}

impl Secrets {
    pub(super) fn from_environment(values: Vec<String>) -> Secrets {
        Secrets { shown: false, from_environment: values }
    }
}

impl Plan {
    /// The same plan, whose reports show everything as it is.
    #[must_use]
    pub fn with_secrets_shown(mut self) -> Plan {
        self.secrets.shown = true;
        for population in &mut self.populations {
            population.plan.secrets.shown = true;
        }
        self
    }

    /// The same without what only its owner may know: for reports.
    #[must_use]
    pub fn redacted(&self) -> Plan {
        if self.secrets.shown {
            return self.clone();
        }
        let name = hidden(&redacted_url(&self.name), &self.secret_texts());
        let mut populations = self.populations.clone();
        for population in &mut populations {
            population.plan.session = population.plan.session.redacted();
        }
        Plan { session: self.session.redacted(), name, populations, ..self.clone() }
    }

    /// Texts that no report may hold; none where secrets are shown.
    pub fn secret_texts(&self) -> Vec<String> {
        if self.secrets.shown {
            return Vec::new();
        }
        let mut texts = self.session.secret_texts();
        texts.extend(self.populations.iter().flat_map(|population| population.plan.session.secret_texts()));
        texts.extend(self.taken_from_environment());
        in_order(texts)
    }

    /// Texts that are hidden even where messages are shown: what came from the environment, and what headers and
    /// queries hold as it is written. None where secrets are shown.
    pub fn secrets_beside_messages(&self) -> Vec<String> {
        if self.secrets.shown {
            return Vec::new();
        }
        let sessions = self.each().into_iter().map(|plan| &plan.session);
        let mut texts: Vec<String> = sessions
            .flat_map(|session| {
                let of_steps = steps::secret_texts_of_requests(&session.steps);
                session.request.secret_texts().into_iter().chain(of_steps)
            })
            .collect();
        // With a placeholder in it a text is no secret of its own.
        texts.retain(|text| !text.contains('{'));
        texts.extend(self.taken_from_environment());
        in_order(texts)
    }

    fn taken_from_environment(&self) -> impl Iterator<Item = String> {
        let host = self.target.as_ref().map_or("", |target| target.host.as_str());
        self.secrets.from_environment.iter().filter(move |text| !host.contains(text.as_str())).cloned()
    }
}

impl Session {
    /// The same without what only its owner may know: for reports.
    #[must_use]
    pub fn redacted(&self) -> Session {
        let mut session = self.clone();
        let (request, messages) = (&mut session.request, &mut session.messages);
        request.path = redacted_query(&request.path);
        for header in request.headers.iter_mut().filter(|header| is_secret_header(&header.name)) {
            REDACTED.clone_into(&mut header.value);
        }
        for name in request.subprotocols.iter_mut().filter(|name| !is_known_subprotocol(name)) {
            REDACTED.clone_into(name);
        }
        // A text without placeholders is always a template.
        let redacted = || REDACTED.to_owned().try_into().ok();
        messages.send = messages.send.take().and_then(|_| redacted());
        messages.expect = match messages.expect.take() {
            Some(Expect::Contains(_)) => redacted().map(Expect::Contains),
            Some(Expect::Json { pointer, .. }) => Some(Expect::Json { pointer, equals: REDACTED.into() }),
            other => other,
        };
        steps::redact(&mut session.steps);
        session
    }

    /// Texts of it that no report may hold.
    pub fn secret_texts(&self) -> Vec<String> {
        let mut texts = self.request.secret_texts();
        if let Some(send) = &self.messages.send {
            texts.extend(of_message(send.as_str()));
        }
        texts.extend(steps::secret_texts(&self.steps));
        in_order(texts)
    }
}

impl Request {
    /// Texts of a request that no report may hold.
    fn secret_texts(&self) -> Vec<String> {
        let request = self;
        let headers = request.headers.iter().filter(|header| is_secret_header(&header.name));
        let mut texts: Vec<String> = headers
            .flat_map(|header| {
                // `Bearer TOKEN`: the token alone is as secret.
                let token = header.value.split_whitespace().next_back().unwrap_or_default();
                [header.value.clone(), token.to_owned(), format!(": {}", header.value)]
            })
            .collect();
        // A number, or a short word such as `json`, is hidden only where it stands as it was given.
        texts.extend(query_values(&request.path).map(|value| format!("={value}")));
        texts.extend(query_values(&request.path).filter(|value| !is_word(value)).map(str::to_owned));
        texts.extend(request.subprotocols.iter().filter(|name| !is_known_subprotocol(name)).cloned());
        texts
    }
}

/// The value with secrets replaced, for writing.
///
/// Everything that is a text is looked through, except names, addresses and histograms that are read again.
/// Where a secret is a word that the model itself needs, only free text is.
pub fn hide_in<T>(value: T, secrets: &[String]) -> T
where
    T: serde::Serialize + serde::de::DeserializeOwned,
{
    const READ_AGAIN: [&str; 5] =
        ["histogram", "connect_histogram", "thresholds", "abort_when", "expression"];
    const FREE: [&str; 8] =
        ["says", "remedies", "reply", "reasons", "aborted", "evidence", "greeting", "url"];
    if secrets.is_empty() {
        return value;
    }
    let Ok(tree) = serde_json::to_value(&value) else { return value };
    let mut all = tree.clone();
    walk(&mut all, true, &|key, inside| inside && !READ_AGAIN.contains(&key), secrets);
    serde_json::from_value(all)
        .or_else(|_| {
            let mut free = tree;
            walk(&mut free, false, &|key, inside| inside || FREE.contains(&key), secrets);
            serde_json::from_value(free)
        })
        .unwrap_or(value)
}

/// Replaces secrets in texts below keys that `enters` lets in.
fn walk(value: &mut Value, inside: bool, enters: &impl Fn(&str, bool) -> bool, secrets: &[String]) {
    match value {
        Value::String(text) if inside => *text = hidden(text, secrets),
        Value::Array(items) => items.iter_mut().for_each(|item| walk(item, inside, enters, secrets)),
        Value::Object(fields) => {
            fields.iter_mut().for_each(|(key, field)| walk(field, enters(key, inside), enters, secrets));
        }
        _ => {}
    }
}

/// The text with every secret replaced, and every beginning of one that gives it away.
pub fn hidden(text: &str, secrets: &[String]) -> String {
    let mut shown = text.to_owned();
    for secret in secrets {
        let escaped = secret.escape_debug().to_string();
        for secret in [secret.as_str(), escaped.as_str()] {
            shown = without(&shown, secret);
        }
    }
    shown
}

fn without(text: &str, secret: &str) -> String {
    let telling = secret.char_indices().nth(TELLING).map_or(secret, |(end, _)| &secret[..end]);
    if telling.is_empty() {
        return text.to_owned();
    }
    let (mut shown, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(telling) {
        let same = rest[at..].chars().zip(secret.chars()).take_while(|(a, b)| a == b);
        let length: usize = same.map(|(c, _)| c.len_utf8()).sum();
        let (before, found, after) = (&rest[..at], &rest[at..at + length], &rest[at + length..]);
        shown.push_str(before);
        shown.push_str(if gives_away(found, secret, after) { REDACTED } else { found });
        rest = after;
    }
    shown + rest
}

/// True if a text, whole or the beginning of the secret, tells of it. A word with which the secret happens to begin is
/// a word of ours as well, unless it is cut off there, as a quotation is.
fn gives_away(found: &str, secret: &str, after: &str) -> bool {
    let is_cut = after.is_empty() || after.starts_with(['…', '\'', '"', '\u{201d}']);
    found == secret
        || is_cut
        || found.len() >= 2 * TELLING
        || !found.bytes().all(|byte| byte.is_ascii_lowercase())
}

/// Parts of what was given to a flag that an error must not quote.
pub(super) fn in_place(place: &Place) -> Vec<String> {
    match place {
        Place::Flag { flag, given } => in_flag(flag, given),
        Place::File(_) | Place::Whole => Vec::new(),
    }
}

/// The same of a flag, or of an argument that stands for a target, by its name.
pub fn in_flag(flag: &str, given: &str) -> Vec<String> {
    let texts = match flag {
        "--auth" => {
            let inner = given.split_once('(').map_or(given, |(_, inner)| inner.trim_end_matches(')'));
            let password = inner.split_once(':').map_or(inner, |(_, password)| password);
            vec![inner.to_owned(), password.to_owned()]
        }
        "--header" => {
            let value = given.split_once(':').map_or(given, |(_, value)| value.trim());
            let token = value.split_whitespace().next_back().unwrap_or_default();
            literals(value).chain(literals(token)).collect()
        }
        "--send" | "--body" | "--subprotocol" => literals(given).collect(),
        _ if given.contains("://") => of_url(given).iter().flat_map(|part| literals(part)).collect(),
        _ => Vec::new(),
    };
    in_order(texts)
}

/// Text around the words in braces: such a word is a placeholder, or is told to be none.
fn literals(text: &str) -> impl Iterator<Item = String> {
    Template::literals(text).into_iter().map(str::to_owned)
}

/// A command line as it may be told: what secrets are given to flags is replaced.
pub fn command_line<'a>(arguments: impl IntoIterator<Item = &'a str>, secrets: &[String]) -> String {
    const SECRET: [&str; 7] =
        ["--auth", "--header", "--send", "--body", "--subprotocol", "--expect", "--push-header"];
    let mut told = Vec::new();
    let mut is_value = false;
    for argument in arguments {
        let flag = argument.split_once('=').map_or(argument, |(flag, _)| flag);
        let secret = SECRET.contains(&flag);
        told.push(match argument.split_once('=') {
            _ if is_value => format!("'{REDACTED}'"),
            Some((flag, _)) if secret => format!("{flag}='{REDACTED}'"),
            _ => shell_word(&hidden(&redacted_url(argument), secrets)),
        });
        is_value = secret && !is_value && flag == argument;
    }
    told.join(" ")
}

/// User, password and query of a URL, be it right or wrong.
fn of_url(url: &str) -> Vec<String> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let user = authority.rfind('@').map(|at| &authority[..at]);
    let password = user.and_then(|user| user.split_once(':')).map(|(_, password)| password);
    let parts = user.into_iter().chain(password).chain(query_values(url));
    parts.map(str::to_owned).collect()
}

/// A URL, or any other name, without user, password and the values of its query.
fn redacted_url(name: &str) -> String {
    if name.contains("://") { redacted_query(&without_secrets(name)) } else { name.to_owned() }
}

/// A path with the names of its query's fields alone.
pub fn redacted_query(path: &str) -> String {
    let Some((path, query)) = path.split_once('?') else { return path.to_owned() };
    let field = |field: &str| match field.split_once('=') {
        Some((name, _)) => format!("{name}={REDACTED}"),
        None => REDACTED.to_owned(),
    };
    format!("{path}?{}", query.split('&').map(field).collect::<Vec<_>>().join("&"))
}

pub(super) fn query_values(path: &str) -> impl Iterator<Item = &str> {
    let query = path.split_once('?').map_or("", |(_, query)| query);
    let fields = query.split('&').filter(|field| !field.is_empty());
    fields.map(|field| field.split_once('=').map_or(field, |(_, value)| value))
}

/// A header whose value every client sends alike is none; any other may be.
pub fn is_secret_header(name: &str) -> bool {
    const COMMON: [&str; 18] = [
        "accept",
        "accept-charset",
        "accept-encoding",
        "accept-language",
        "cache-control",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "origin",
        "pragma",
        "range",
        "te",
        "upgrade",
        "user-agent",
        "x-requested-with",
    ];
    !COMMON.iter().any(|common| name.eq_ignore_ascii_case(common))
}

/// Subprotocols of the IANA's registry that are met in the field, and of GraphQL; others carry tokens.
fn is_known_subprotocol(name: &str) -> bool {
    const KNOWN: [&str; 12] = [
        "graphql-ws",
        "graphql-transport-ws",
        "mqtt",
        "mqttv3.1",
        "v10.stomp",
        "v11.stomp",
        "v12.stomp",
        "wamp.2.json",
        "ocpp1.6",
        "ocpp2.0.1",
        "soap",
        "xmpp",
    ];
    KNOWN.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(texts: &[&str]) -> Vec<String> {
        in_order(texts.iter().map(|text| (*text).to_owned()).collect())
    }

    #[test]
    fn a_secret_and_a_telling_beginning_of_it_are_replaced() {
        let secrets = all(&["correct-horse-battery", "tön-kö\"n"]);
        assert_eq!(hidden("a correct-horse-battery b", &secrets), "a (redacted) b");
        assert_eq!(hidden("'correct-hors…'", &secrets), "'(redacted)…'", "an error cuts what it quotes");
        assert_eq!(hidden("correct answer", &secrets), "correct answer");
        assert_eq!(hidden("x tön-kö\\\"n y", &secrets), "x (redacted) y", "escaped in a quotation");
        let secrets = all(&["expected-everywhere"]);
        assert_eq!(
            hidden("expected a duration, not 'expected…'", &secrets),
            "expected a duration, not '(redacted)…'"
        );
    }

    #[test]
    fn a_number_in_a_query_is_hidden_where_it_stands_as_one() {
        let mut session = Session::default();
        session.request.path = "/?pin=1234&room=1&as=json".into();
        session.request.headers = vec![crate::plan::Header { name: "X-Pin".into(), value: "4321".into() }];
        let secrets = session.secret_texts();
        let told = hidden("1,234 json of 1234 at h/?pin=1234 with X-Pin: 4321", &secrets);
        assert_eq!(told, "1,234 json of 1234 at h/?pin(redacted) with X-Pin(redacted)");
        assert_eq!(
            hidden(&session.redacted().request.path, &secrets),
            "/?pin=(redacted)&room=(redacted)&as=(redacted)"
        );
    }

    #[test]
    fn a_query_keeps_the_names_of_its_fields() {
        assert_eq!(redacted_query("/a?t=1&token=abc&x"), "/a?t=(redacted)&token=(redacted)&(redacted)");
        assert_eq!(redacted_query("/a"), "/a");
        assert_eq!(redacted_url("ws://u:p@h:1/?a=b"), "ws://h:1/?a=(redacted)");
    }

    #[test]
    fn advice_that_looks_like_a_placeholder_is_told() {
        let secrets = in_flag("--send", "{random:1TiB}");
        let says = "'1TiB' is not a size, such as {random:1KiB}, of at most 16 MiB";
        assert_eq!(hidden(says, &secrets), says);
        let secrets = in_flag("target", "ws://h:1/x?c={connn}&t=hunter22");
        let says = "target 'ws://h:1/x?c={connn}&t=(redacted)': {connn} is not a placeholder here";
        assert_eq!(hidden(&says.replace("(redacted)", "hunter22"), &secrets), says);
        let secrets = in_flag("--send", "hunter22{random:1TiB}");
        assert_eq!(
            hidden("'hunter22{random:1TiB}': {random:1KiB}", &secrets),
            "'(redacted){random:1TiB}': {random:1KiB}"
        );
    }

    #[test]
    fn a_command_line_is_told_without_what_flags_hide() {
        let line = [
            "connstorm",
            "run",
            "ws://u:p@h:1/?t=abcdef",
            "--auth",
            "basic(a:b)",
            "--send=x y",
            "--name",
            "it's",
        ];
        assert_eq!(
            command_line(line, &[]),
            "connstorm run 'ws://h:1/?t=(redacted)' --auth '(redacted)' --send='(redacted)' --name 'it'\\''s'"
        );
    }

    #[test]
    fn a_secret_that_is_a_word_of_the_model_leaves_the_model_readable() {
        #[derive(serde::Serialize, serde::Deserialize, Debug, PartialEq)]
        struct Told {
            side: crate::model::Side,
            says: String,
        }
        let told = Told { side: crate::model::Side::Target, says: "the target said target".into() };
        let hidden = hide_in(told, &["target".to_owned()]);
        assert_eq!(
            hidden,
            Told { side: crate::model::Side::Target, says: "the (redacted) said (redacted)".into() }
        );
    }
}
