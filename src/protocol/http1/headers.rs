//! Header fields, and what both a request and a reply say by them.

use httparse::Header;

/// The header fields of a head, in order.
#[derive(Debug)]
pub struct Headers<'b>(pub(super) Vec<Header<'b>>);

impl<'b> Headers<'b> {
    /// Names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'b str, &'b [u8])> {
        self.0.iter().map(|header| (header.name, header.value))
    }

    /// The values of a header, in order.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &'b [u8]> {
        self.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The elements of a header that is a list, without empty ones.
    pub fn list(&self, name: &str) -> impl Iterator<Item = &'b [u8]> {
        let elements = self.values(name).flat_map(|value| value.split(|&byte| byte == b','));
        elements.map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
    }

    /// True if a header that is a list holds an element, in whatever case.
    pub fn lists(&self, name: &str, element: &str) -> bool {
        self.list(name).any(|found| found.eq_ignore_ascii_case(element.as_bytes()))
    }

    /// True if the connection may be used for another request, in a message of this minor version.
    pub(super) fn keep_alive(&self, version: u8) -> bool {
        match version {
            0 => self.lists("connection", "keep-alive"),
            _ => !self.lists("connection", "close"),
        }
    }

    /// `Content-Length`: `None` where there is none, `Some(None)` where it is no number or two numbers. Equal
    /// repetitions, as two fields or as a list, are one (RFC 9110, section 8.6).
    pub(super) fn content_length(&self) -> Option<Option<u64>> {
        let mut lengths = self.values("content-length").flat_map(|value| value.split(|&byte| byte == b','));
        let first = length(lengths.next()?.trim_ascii());
        Some(first.filter(|_| lengths.all(|other| length(other.trim_ascii()) == first)))
    }
}

/// Digits alone: `parse` would take a sign.
fn length(value: &[u8]) -> Option<u64> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(value).ok().filter(|_| digits)?.parse().ok()
}
