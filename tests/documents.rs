//! The documents: links lead somewhere, the book has every page, generated pages are up to date, and lists are whole.
//!
//! `UPDATE_DOCS=1 cargo test --test documents` writes the generated pages.

use connstorm::cli::Exit;
use connstorm::diagnose::FindingId;
use connstorm::model::OnsetKind;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Documents beside those in docs/.
const AT_THE_TOP: [&str; 5] =
    ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "RELEASING.md", "SECURITY.md"];

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Files below a folder.
fn files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(path.to_str().unwrap())),
            false => found.push(path),
        }
    }
    found.sort();
    found
}

fn documents() -> Vec<PathBuf> {
    let is_markdown = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "md");
    AT_THE_TOP.iter().map(PathBuf::from).chain(files("docs").into_iter().filter(is_markdown)).collect()
}

/// The text without its code: fenced blocks, indented blocks, and what is between backticks.
fn prose(text: &str) -> String {
    let mut fenced = false;
    let mut kept = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced && !line.starts_with("    ") {
            kept.extend(line.split('`').step_by(2).chain(["\n"]));
        }
    }
    kept
}

/// The goals of the links in a text.
fn links(text: &str) -> Vec<String> {
    let text = prose(text);
    text.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0.to_owned())).collect()
}

/// The name that a heading has in a link.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().trim().to_lowercase().replace(' ', "-")
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let mut broken = Vec::new();
    let mut seen = 0;
    for document in documents() {
        for link in links(&read(&document)) {
            if link.starts_with("https://") || link.starts_with("http://") {
                continue;
            }
            seen += 1;
            let (file, heading) = link.split_once('#').unwrap_or((&link, ""));
            let goal = match file {
                "" => document.clone(),
                file => document.parent().unwrap().join(file),
            };
            if !goal.exists() {
                broken.push(format!("{}: {link} leads to no file", document.display()));
            } else if !heading.is_empty() {
                let text = read(&goal);
                let headings = text.lines().filter(|line| line.starts_with('#'));
                if !headings.map(|line| anchor(line.trim_start_matches('#'))).any(|name| name == heading) {
                    broken.push(format!("{}: {link} leads to no heading", document.display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(seen > 30, "only {seen} links were found: the search is at fault");
}

#[test]
fn the_book_has_every_page_once() {
    let listed: Vec<PathBuf> =
        links(&read("docs/SUMMARY.md")).iter().map(|page| Path::new("docs").join(page)).collect();
    let there: BTreeSet<PathBuf> = documents()
        .into_iter()
        .filter(|path| path.starts_with("docs") && path != Path::new("docs/SUMMARY.md"))
        .collect();
    assert_eq!(listed.iter().cloned().collect::<BTreeSet<_>>(), there);
    assert_eq!(listed.len(), there.len(), "a page is listed twice");
}

#[test]
fn every_path_in_the_documents_for_contributors_is_there() {
    let roots = ["src/", "tests/", "docs/", "benches/", "scripts/", "fuzz/", "scenarios/"];
    for document in ["ARCHITECTURE.md", "CONTRIBUTING.md", "RELEASING.md", "SECURITY.md", "README.md"] {
        let text = read(document);
        let quoted = text.split('`').skip(1).step_by(2).flat_map(str::split_whitespace);
        for path in quoted.filter(|word| roots.iter().any(|root| word.starts_with(root))) {
            assert!(Path::new(path).exists(), "{document} names {path}, which is not there");
        }
    }
}

#[test]
fn every_exit_code_is_in_both_tables() {
    let codes = [
        Exit::Passed,
        Exit::CouldNotRun,
        Exit::Usage,
        Exit::ThresholdsFailed,
        Exit::Invalid,
        Exit::TooNoisy,
        Exit::Interrupted,
    ];
    for document in ["README.md", "docs/reference/exit-codes.md"] {
        let text = read(document);
        for code in codes {
            assert!(text.contains(&format!("\n| {} |", code as u8)), "{document} lacks {code:?}");
        }
    }
}

#[test]
fn every_onset_is_explained() {
    let text = read("docs/reference/onsets.md");
    let listed: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name)
        .collect();
    let names: Vec<&str> = OnsetKind::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(listed, names);
}

#[test]
fn every_experiment_that_a_page_names_is_in_the_lab() {
    let names: BTreeSet<&str> = connstorm::lab::all().iter().map(|experiment| experiment.name).collect();
    for document in documents() {
        for rest in read(&document).split("connstorm lab ").skip(1) {
            let name: String = rest
                .chars()
                .take_while(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-')
                .collect();
            let is_command = ["list", "shell", ""].contains(&name.as_str()) || name.starts_with('-');
            assert!(is_command || names.contains(name.as_str()), "{}: lab {name}", document.display());
        }
    }
}

#[test]
fn the_list_of_scripts_is_whole() {
    let listed = read("justfile");
    let programs = files("benches").into_iter().filter(|path| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        path.extension().is_some_and(|extension| extension == "py") && text.contains("__main__")
    });
    // Steps of the action and of the image's workflow; nobody types them.
    let aside = ["scripts/action", "scripts/image-files"];
    for path in files("scripts").into_iter().chain(programs) {
        let path = path.to_str().unwrap().to_owned();
        assert!(listed.contains(&path) || aside.contains(&path.as_str()), "justfile lacks {path}");
    }
}

/// A page that is made from the code: compared, or written where UPDATE_DOCS is set.
fn generated(path: &str, text: &str) {
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, text).unwrap();
    }
    let there = std::fs::read_to_string(path).unwrap_or_default();
    assert!(there == text, "{path} is out of date: UPDATE_DOCS=1 cargo test --test documents");
}

#[test]
fn the_glossary_is_that_of_the_map() {
    let map = read("src/lib.rs");
    let rows: Vec<&str> = map.lines().filter_map(|line| line.strip_prefix("//! | ")).collect();
    let rows: Vec<&&str> = rows.iter().filter(|row| !row.starts_with("word ")).collect();
    assert!(rows.len() > 30);
    let mut text = "# Glossary\n\nGenerated from `src/lib.rs`.\n\n| word | meaning |\n|---|---|\n".to_owned();
    for row in rows {
        let _ = writeln!(text, "| {row}");
    }
    generated("docs/glossary.md", &text);
}

#[test]
fn the_page_of_metrics_is_that_of_the_program() {
    let families = connstorm::plan::threshold::catalogue();
    generated("docs/reference/metrics.md", &connstorm::report::metrics::page(&families));
}

#[test]
fn the_page_of_findings_is_that_of_the_enum() {
    let mut shown: BTreeMap<FindingId, Vec<&str>> = BTreeMap::new();
    for experiment in connstorm::lab::all() {
        if let Some(id) = experiment.intended {
            shown.entry(id).or_default().push(experiment.name);
        }
    }
    let mut text = "# Findings\n\nGenerated from the program's own list. The ids are stable: programs rely on them. A finding is \
                    `proved`, `likely` or\n`possible`; its evidence and its remedies stand beside it.\n\n\
                    | finding | meaning | reproduce it |\n|---|---|---|\n"
        .to_owned();
    for id in FindingId::ALL {
        let experiments = shown.remove(id).unwrap_or_default();
        let commands: Vec<String> =
            experiments.iter().map(|name| format!("`connstorm lab {name}`")).collect();
        let _ = writeln!(text, "| `{id}` | {} | {} |", id.meaning(), commands.join(", "));
    }
    generated("docs/reference/findings.md", &text);
}

#[test]
fn the_findings_that_pages_name_are_there() {
    for document in files("docs/errors").into_iter().chain(files("docs/howto")) {
        let text = read(&document);
        // Rows whose last cell, or whose words after "finding", are ids.
        for rest in text.split("finding `").skip(1).chain(text.split("findings `").skip(1)) {
            let id = rest.split('`').next().unwrap();
            assert!(FindingId::of(id) != FindingId::Unknown, "{}: no finding {id}", document.display());
        }
        for row in text.lines().filter(|line| line.starts_with("| ") && line.matches(" | ").count() >= 2) {
            for id in row.rsplit(" | ").next().unwrap().split('`').skip(1).step_by(2) {
                let looks_like_one =
                    id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
                        && id.contains('-');
                assert!(
                    !looks_like_one || FindingId::of(id) != FindingId::Unknown,
                    "{}: no finding {id}",
                    document.display()
                );
            }
        }
    }
}
