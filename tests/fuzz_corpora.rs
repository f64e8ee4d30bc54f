//! Runs the corpora of the fuzz targets, whole and cut short at every length.

#[path = "../fuzz/src/targets.rs"]
mod targets;

use std::path::Path;

/// Every file of a target's corpus, each also cut short, and split in pieces of other sizes.
fn run(name: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut found = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let mut bytes = std::fs::read(entry.unwrap().path()).unwrap();
        found += 1;
        for split in [None, Some(1), Some(2), Some(13), Some(255)] {
            // Byte by byte, a head of 40 KB is parsed 40,000 times.
            if bytes.len() > 4096 && split.is_some_and(|size| size < 255) {
                continue;
            }
            if let (Some(split), Some(first)) = (split, bytes.first_mut()) {
                *first = split;
            }
            target(&bytes);
        }
        for length in 0..bytes.len().min(600) {
            target(&bytes[..length]);
        }
    }
    assert!(found >= 5, "{found} files in {}", folder.display());
}

#[test]
fn replies() {
    run("http_reply", targets::http_reply);
}

#[test]
fn requests() {
    run("http_request", targets::http_request);
}

#[test]
fn frames_of_a_server() {
    run("websocket", targets::websocket);
}

#[test]
fn frames_of_a_client() {
    run("client_frames", targets::client_frames);
}

#[test]
fn first_bytes() {
    run("first_bytes", targets::first_bytes);
}

#[test]
fn templates() {
    run("template", targets::template);
}
