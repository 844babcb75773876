//! Raw PostgreSQL by `pgbench`, with the scripts in `yardsticks/`.

use std::path::PathBuf;
use std::process::Command;

/// Seconds that each script runs.
const SECONDS: u32 = 4;

/// Makes the schema `yardstick` with its template of a million contacts, unless it is there, and our own tables in
/// `yardstick_own`.
pub(crate) async fn prepare() {
    drop_schema("yardstick_own");
    drop(crate::stores::postgres("yardstick_own").await);
    psql(&["-c", "CREATE SCHEMA IF NOT EXISTS yardstick"]);
    psql(&["-f", &script("contacts")]);
}

/// Rows a second of a script in batches of `batch` with so many clients, over tables made anew.
pub(crate) fn rate(name: &str, batch: u32, clients: u32) -> f64 {
    psql(&["-f", &script(tables_of(name))]);
    let mut pgbench = Command::new("pgbench");
    pgbench.args(["-n", "-M", "simple", "-j", "1", "-f", &script(name)]);
    pgbench.args(["-D", &format!("n={batch}"), "-c", &clients.to_string(), "-T", &SECONDS.to_string()]);
    let output = run(pgbench);
    let tps = output.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    let tps: f64 = tps.unwrap_or_else(|| panic!("pgbench told no rate:\n{output}"));
    tps * f64::from(batch)
}

/// Fills a schema with a million finished contacts.
pub(crate) fn finish_a_million(schema: &str) {
    psql(&["-c", &format!("SET search_path = {schema}"), "-f", &script("finished")]);
}

/// Removes a schema with everything in it.
pub(crate) fn drop_schema(name: &str) {
    psql(&["-c", &format!("DROP SCHEMA IF EXISTS {name} CASCADE")]);
}

fn tables_of(name: &str) -> &'static str {
    match name {
        "claim" | "cycle_attempt" => "status_column",
        "cycle_narrow" => "narrow_table",
        _ => "own_tables",
    }
}

fn script(name: &str) -> String {
    let path: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "backends/yardsticks", &format!("{name}.sql")].iter().collect();
    path.display().to_string()
}

fn psql(arguments: &[&str]) {
    let mut psql = Command::new("psql");
    psql.args(["-q", "-v", "ON_ERROR_STOP=1"]).args(arguments);
    run(psql);
}

fn run(mut command: Command) -> String {
    let name = command.get_program().to_string_lossy().into_owned();
    let options = "-c search_path=yardstick -c client_min_messages=warning";
    // The program takes the address from its last argument, and password and all from it.
    let output = command.env("PGOPTIONS", options).arg(crate::stores::postgres_url()).output();
    let output = output.unwrap_or_else(|error| panic!("{name}: {error}; install the PostgreSQL client"));
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
