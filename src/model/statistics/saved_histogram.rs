//! A saved histogram, looked at before it is unpacked: its text may be anybody's.
//!
//! The format's header says how long its payload is and how many buckets there are, and a reader allocates
//! what it says. Here every size is held against what came, and against what any run of ours needs; the sum of
//! the counts has to be one that a run can have counted.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::read::ZlibDecoder;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::{Counter, Histogram};
use std::io::Read;

/// Cookie of an HdrHistogram V2 whose body is compressed with zlib.
const COMPRESSED: u32 = 0x1c84_9314;
/// Cookie of an HdrHistogram V2.
const PLAIN: u32 = 0x1c84_9313;
/// Bytes of the V2 header: cookie, length, offset, digits, lowest, highest, ratio.
const HEADER: usize = 40;
/// Longest text and longest unpacked body. A histogram of ours has fewer than 3,000 buckets of at most nine bytes.
const LONGEST: usize = 256 * 1024;
/// Most significant digits, and largest value in microseconds (12 days).
const MOST_DIGITS: u32 = 3;
const HIGHEST_US: u64 = 1 << 40;
/// Most values that a histogram holds: the largest whole number that JSON carries exactly.
const MOST_VALUES: u64 = 1 << 53;

/// The histogram in a base64 text; `None` where it is none, or larger than any run of ours could have made it.
pub(super) fn read<T: Counter>(text: &str) -> Option<Histogram<T>> {
    if text.len() > LONGEST {
        return None;
    }
    let bytes = BASE64.decode(text).ok()?;
    let body = unpacked(&bytes)?;
    is_sound(&body).then_some(())?;
    Deserializer::new().deserialize(&mut body.as_slice()).ok()
}

/// The V2 body, unpacked as far as is reasonable.
fn unpacked(bytes: &[u8]) -> Option<Vec<u8>> {
    match number(bytes, 0)? {
        PLAIN => Some(bytes.to_vec()),
        COMPRESSED => {
            let packed = bytes.get(8..)?;
            let mut body = Vec::new();
            ZlibDecoder::new(packed).take(LONGEST as u64 + 1).read_to_end(&mut body).ok()?;
            (body.len() <= LONGEST).then_some(body)
        }
        _ => None,
    }
}

/// True if the header fits the body, and the counts add up to a number that can be.
fn is_sound(body: &[u8]) -> bool {
    let (Some(PLAIN), Some(length), Some(digits)) = (number(body, 0), number(body, 4), number(body, 12))
    else {
        return false;
    };
    let (Some(low), Some(high)) = (long_number(body, 16), long_number(body, 24)) else { return false };
    let Some(payload) = body.get(HEADER..).filter(|payload| payload.len() == length as usize) else {
        return false;
    };
    digits <= MOST_DIGITS && low >= 1 && high <= HIGHEST_US && adds_up(payload)
}

/// True if every number of the payload is whole, and the sums stay in reason. A negative number stands for so
/// many empty buckets.
fn adds_up(payload: &[u8]) -> bool {
    let (mut rest, mut values, mut buckets) = (payload, 0u64, 0u64);
    while !rest.is_empty() {
        let Some((encoded, length)) = varint(rest) else { return false };
        rest = &rest[length..];
        let number = (encoded >> 1) as i64 ^ -((encoded & 1) as i64);
        let sum = if number < 0 { &mut buckets } else { &mut values };
        *sum = sum.saturating_add(number.unsigned_abs());
        if values > MOST_VALUES || buckets > LONGEST as u64 {
            return false;
        }
    }
    true
}

/// A number in LEB128 of at most nine bytes, the ninth whole, and its length.
fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0;
    for (n, &byte) in bytes.iter().take(9).enumerate() {
        let low = if n == 8 { byte } else { byte & 0x7f };
        value |= u64::from(low) << (7 * n);
        if n == 8 || byte & 0x80 == 0 {
            return Some((value, n + 1));
        }
    }
    None
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    bytes.try_into().ok().map(u32::from_be_bytes)
}

fn long_number(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at + 8)?;
    bytes.try_into().ok().map(u64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::serialization::{Serializer, V2Serializer};
    use proptest::prelude::*;

    fn body(length: u32, digits: u32, high: u64, payload: &[u8]) -> String {
        let mut bytes = Vec::new();
        for number in [PLAIN, length, 0, digits] {
            bytes.extend(number.to_be_bytes());
        }
        bytes.extend([1u64.to_be_bytes(), high.to_be_bytes(), 1f64.to_be_bytes()].concat());
        bytes.extend(payload);
        BASE64.encode(bytes)
    }

    #[test]
    fn a_header_that_promises_more_than_came_is_refused_before_anything_is_allocated() {
        assert!(read::<u64>(&body(1, 2, 120_000_000, &[2])).is_some());
        for (length, digits, high) in [
            (0xf000_0000, 2, 120_000_000),
            (2, 2, 120_000_000),
            (1, 5, 120_000_000),
            (1, 2, u64::MAX),
            (1, 2, HIGHEST_US + 1),
        ] {
            assert!(read::<u64>(&body(length, digits, high, &[2])).is_none(), "{length} {digits} {high}");
        }
    }

    #[test]
    fn a_small_text_that_unpacks_to_much_is_refused() {
        let mut packed = Vec::new();
        let zeros = vec![0u8; 8 << 20];
        flate2::read::ZlibEncoder::new(zeros.as_slice(), flate2::Compression::best())
            .read_to_end(&mut packed)
            .unwrap();
        let bytes = [&COMPRESSED.to_be_bytes()[..], &(packed.len() as u32).to_be_bytes(), &packed].concat();
        assert!(bytes.len() < LONGEST / 2, "small enough to be unpacked");
        assert!(read::<u64>(&BASE64.encode(bytes)).is_none());
    }

    #[test]
    fn counts_that_no_run_has_are_refused() {
        let most = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe];
        let least = [0xff; 9];
        for payload in [&most[..], &least[..], &[0x80], &most[..4]] {
            assert!(
                read::<u64>(&body(payload.len() as u32, 2, 120_000_000, payload)).is_none(),
                "{payload:?}"
            );
        }
    }

    #[test]
    fn a_histogram_that_is_not_compressed_is_read_too() {
        let mut histogram = Histogram::<u64>::new_with_bounds(1, 120_000_000, 2).unwrap();
        histogram.record_n(1234, 1 << 40).unwrap();
        let mut bytes = Vec::new();
        V2Serializer::new().serialize(&histogram, &mut bytes).unwrap();
        assert_eq!(read::<u64>(&BASE64.encode(bytes)).unwrap().len(), 1 << 40);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(
            digits in 0u32..7,
            high in any::<u64>(),
            payload in proptest::collection::vec(any::<u8>(), 0..60),
        ) {
            let _ = read::<u64>(&body(payload.len() as u32, digits, high, &payload));
        }
    }
}
