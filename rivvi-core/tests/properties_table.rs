//! The page on properties names tests that exist, and all of them.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The folders of crates by their names.
fn folder_of(name: &str) -> PathBuf {
    root().join(match name.strip_prefix("rivvi-provider-") {
        Some(provider) => format!("rivvi-providers/{provider}"),
        None => name.to_owned(),
    })
}

/// The functions in the Rust sources under a folder.
fn functions(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            functions(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let names = text.lines().filter_map(|line| {
                let rest = line.trim_start().trim_start_matches("async ").strip_prefix("fn ")?;
                Some(rest[..rest.find(['(', '<'])?].to_owned())
            });
            found.extend(names);
        }
    }
}

/// The numbers in the name of a test such as `property_19_and_22_what_a_key_asks_for`.
fn numbers(test: &str) -> Vec<u32> {
    let rest = test.strip_prefix("property_").unwrap();
    let words = rest.split('_').take_while(|word| *word == "and" || word.parse::<u32>().is_ok());
    words.filter_map(|word| word.parse().ok()).collect()
}

#[test]
fn properties_table_is_current() {
    let page = std::fs::read_to_string(root().join("docs/properties.md")).unwrap();
    let mut named: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
    let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| |")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [number, _, tests] = cells[..] else { panic!("three cells: {row}") };
        let tests: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty() || row.contains("later issue"), "{row}");
        let number: u32 = number.parse().unwrap();
        let own = named.entry(number).or_default();
        for pair in tests.chunks(2) {
            let [name, test] = pair else { panic!("a crate and a test: {row}") };
            let functions = known.entry((*name).to_owned()).or_insert_with(|| {
                let mut found = BTreeSet::new();
                functions(&folder_of(name), &mut found);
                found
            });
            assert!(functions.contains(*test), "{name} has no {test}");
            assert!(numbers(test).contains(&number), "{test} is not of property {number}");
            own.insert((*test).to_owned());
        }
    }
    assert_eq!(named.keys().copied().collect::<Vec<_>>(), (1..=50).collect::<Vec<_>>());
    let mut all = BTreeSet::new();
    ["rivvi-core", "rivvi-providers", "rivvi-storage", "tests"]
        .iter()
        .for_each(|folder| functions(&root().join(folder), &mut all));
    for test in all.iter().filter(|name| name.starts_with("property_")) {
        for number in numbers(test) {
            assert!(named[&number].contains(test), "docs/properties.md does not name {test}");
        }
    }
}
