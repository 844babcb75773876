//! Which server gets a call: pure.

use rivvi_core::domain::CallId;
use sha2::{Digest, Sha256};

/// A server, as far as the choice goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate<'a> {
    pub(crate) name: &'a str,
    pub(crate) weight: u32,
    /// Events arrive from it and it is not being emptied.
    pub(crate) usable: bool,
    /// It carries as many calls as it may.
    pub(crate) full: bool,
}

/// Why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoServer {
    /// None can be used.
    Unavailable,
    /// All that can be used are full.
    Full,
}

/// The place of the server for a call: the same whenever it is asked while the servers are the same, and calls spread by
/// weight. A server that comes or goes moves no calls but its own (weighted rendezvous hashing).
pub(crate) fn choose(call: CallId, servers: &[Candidate<'_>]) -> Result<usize, NoServer> {
    let usable = servers.iter().enumerate().filter(|(_, server)| server.usable && server.weight > 0);
    let (full, free): (Vec<_>, Vec<_>) = usable.partition(|(_, server)| server.full);
    let best = free.iter().map(|(place, server)| (score(call, server), *place));
    match best.max_by(|one, other| one.0.total_cmp(&other.0)) {
        Some((_, place)) => Ok(place),
        None if full.is_empty() => Err(NoServer::Unavailable),
        None => Err(NoServer::Full),
    }
}

fn score(call: CallId, server: &Candidate<'_>) -> f64 {
    let mut hash = Sha256::new();
    hash.update(call.as_uuid().as_bytes());
    hash.update(server.name.as_bytes());
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash.finalize()[..8]);
    // Between 0 and 1, neither included: 53 bits, and a half.
    #[allow(clippy::cast_precision_loss, reason = "53 bits fit")]
    let share = ((u64::from_be_bytes(bytes) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    f64::from(server.weight) / -share.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str, weight: u32) -> Candidate<'_> {
        Candidate { name, weight, usable: true, full: false }
    }

    fn calls() -> impl Iterator<Item = CallId> {
        (0..4_000_u64).map(|n| format!("00000000-0000-7000-8000-{n:012}").parse().unwrap())
    }

    #[test]
    fn calls_spread_by_weight_and_stay_where_they_were() {
        let before = [server("a", 1), server("b", 3)];
        let after = [server("a", 1), server("b", 3), server("c", 4)];
        let (mut of_b, mut moved) = (0, 0);
        for call in calls() {
            let chosen = choose(call, &before).unwrap();
            of_b += usize::from(chosen == 1);
            match choose(call, &after).unwrap() {
                2 => moved += 1,
                same => assert_eq!(same, chosen, "only the new server takes calls"),
            }
        }
        assert!((2_880..3_120).contains(&of_b), "three of four: {of_b}");
        assert!((1_900..2_100).contains(&moved), "a half: {moved}");
    }

    #[test]
    fn servers_that_cannot_be_used_get_none() {
        let call = calls().next().unwrap();
        let gone = Candidate { usable: false, ..server("a", 9) };
        let full = Candidate { full: true, ..server("b", 9) };
        assert_eq!(choose(call, &[gone, full, server("c", 1)]), Ok(2));
        assert_eq!(choose(call, &[gone, full]), Err(NoServer::Full));
        assert_eq!(choose(call, &[gone, server("c", 0)]), Err(NoServer::Unavailable));
    }
}
