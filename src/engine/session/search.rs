//! Answers found in bytes. Pure; each search costs what its bytes cost.

/// The first place from `from` on at which `part` stands in `text`.
pub fn find_from(text: &[u8], part: &[u8], from: usize) -> Option<usize> {
    let from = from.min(text.len());
    memchr::memmem::find(&text[from..], part).map(|at| from + at)
}

/// The first JSON document of a stream and the bytes that it takes, with the blanks around it; `None` where it is not
/// complete. `seen` bytes are known to be an incomplete beginning.
///
/// # Errors
/// Where no JSON document begins there.
pub fn first_document(bytes: &[u8], seen: &mut usize) -> Result<Option<(usize, serde_json::Value)>, ()> {
    // A document can only have ended by a bracket, a quote or, for numbers and words, what follows them. Without any
    // of them in what is new, or without twice as much as last time, it is not parsed again.
    let fresh = &bytes[(*seen).min(bytes.len())..];
    let may_end = fresh.iter().any(|byte| matches!(byte, b'}' | b']' | b'"' | b'\n' | b' ' | b'\t' | b'\r'));
    if *seen > 0 && !may_end {
        return Ok(None);
    }
    let mut documents = serde_json::Deserializer::from_slice(bytes).into_iter::<serde_json::Value>();
    match documents.next() {
        Some(Ok(document)) => {
            let end = documents.byte_offset();
            let blanks = bytes[end..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            Ok(Some((end + blanks, document)))
        }
        Some(Err(error)) if !error.is_eof() => Err(()),
        Some(Err(_)) | None => {
            *seen = bytes.len();
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_taken_one_by_one() {
        let text = b"{\"a\":1}\n{\"a\":2} [3";
        let (end, first) = first_document(text, &mut 0).unwrap().unwrap();
        assert_eq!((end, first["a"].as_u64()), (8, Some(1)));
        let (more, second) = first_document(&text[end..], &mut 0).unwrap().unwrap();
        assert_eq!((more, second["a"].as_u64()), (8, Some(2)));
        let mut seen = 0;
        assert_eq!(first_document(&text[end + more..], &mut seen), Ok(None));
        assert_eq!(seen, 2);
        assert_eq!(first_document(b"hello", &mut 0), Err(()));
    }

    #[test]
    fn text_is_found_from_a_place_on() {
        assert_eq!((find_from(b"abcabc", b"bc", 0), find_from(b"abcabc", b"bc", 2)), (Some(1), Some(4)));
        assert_eq!((find_from(b"abc", b"", 9), find_from(b"abc", b"x", 9)), (Some(3), None));
    }
}
