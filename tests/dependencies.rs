//! Who may depend on whom.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first error")]

use std::process::Command;

/// The packages that `package` depends on, itself not counted.
fn dependencies(package: &str) -> Vec<String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "tree",
            "--offline",
            "--prefix",
            "none",
            "--format",
            "{p}",
            "--edges",
            "normal",
            "--package",
            package,
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().skip(1).filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn the_core_knows_no_vendor_and_no_database() {
    let known = dependencies("rivvi-core");
    assert!(known.contains(&"tokio".to_owned()), "the tree was read");
    for banned in
        ["reqwest", "hyper", "sqlx", "sqlx-core", "fred", "aws-config", "aws-sdk-dynamodb", "rusqlite"]
    {
        assert!(!known.contains(&banned.to_owned()), "rivvi-core depends on {banned}");
    }
    assert!(
        !known.iter().any(|name| name.starts_with("rivvi-")),
        "rivvi-core depends on a provider or store"
    );
}

#[test]
fn providers_and_stores_depend_on_the_core_alone() {
    for package in [
        "rivvi-provider-asterisk",
        "rivvi-provider-espeak",
        "rivvi-provider-polly",
        "rivvi-provider-retell",
        "rivvi-provider-ses",
        "rivvi-provider-sim",
        "rivvi-provider-smtp",
        "rivvi-storage-dynamo",
        "rivvi-storage-postgres",
        "rivvi-storage-redis",
        "rivvi-storage-sqlite",
    ] {
        let own = dependencies(package).into_iter().filter(|name| name.starts_with("rivvi"));
        let others: Vec<String> = own.filter(|name| name != "rivvi-core").collect();
        assert!(others.is_empty(), "{package} depends on {others:?}");
    }
}

#[test]
fn the_embedded_default_builds_without_a_cloud_sdk() {
    let known = dependencies("rivvi");
    assert!(!known.iter().any(|name| name.starts_with("aws-") || name == "reqwest"), "{known:?}");
}
