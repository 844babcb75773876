//! What the caller wants measured.

/// What the caller wants measured.
#[derive(Debug)]
pub(crate) struct Options {
    /// The stores, one after the other.
    pub(crate) stores: Vec<String>,
    /// Contacts over all nodes.
    pub(crate) contacts: u64,
    /// Contacts looked at in one transaction, and calls at once for each node.
    pub(crate) batch: u32,
    /// Engines on one store, each with an organization of its own to begin with.
    pub(crate) nodes: u64,
    /// How often everything is measured.
    pub(crate) rounds: usize,
    /// Whether only the whole step is measured, beside `cycle_attempt` on PostgreSQL.
    pub(crate) quick: bool,
}

impl Options {
    /// Reads the command line; what is not given has a default.
    pub(crate) fn from_arguments() -> Self {
        let arguments: Vec<String> = std::env::args().collect();
        let value = |name: &str| {
            let place = arguments.iter().position(|argument| argument == name)?;
            arguments.get(place + 1).cloned()
        };
        let number = |name: &str, default: u64| match value(name) {
            Some(text) => text.parse().unwrap_or_else(|_| panic!("{name}: expected a number, found {text}")),
            None => default,
        };
        let all = ["memory", "sqlite", "postgres", "dynamo"].map(str::to_owned).to_vec();
        Self {
            stores: value("--store").map_or(all, |store| vec![store]),
            contacts: number("--contacts", 50_000),
            batch: u32::try_from(number("--batch", 500)).expect("a batch is small"),
            nodes: number("--nodes", 1).max(1),
            rounds: usize::try_from(number("--rounds", 3)).expect("few rounds"),
            quick: arguments.iter().any(|argument| argument == "--quick"),
        }
    }
}
