//! What a dead process left on a server beside the channel of a call: pure.

use super::HEARS;
use super::order::Order;
use crate::ari::Bridge;

/// The agents with whom the callee speaks, and what is to be taken down.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Orphan {
    agents: Vec<String>,
    bridges: Vec<String>,
    /// Channels that nobody needs any more: agents who were yet to be connected, and those by which speech was heard.
    pub(crate) idle: Vec<String>,
}

impl Orphan {
    /// What belongs to this call, of all our channels and all bridges of the server.
    pub(crate) fn of<'a>(call: &str, ours: impl Iterator<Item = &'a str>, bridges: &[Bridge]) -> Self {
        let beside = |id: &str| id.strip_prefix(call).is_some_and(|rest| rest.starts_with('-'));
        let hears = |id: &str| id[call.len()..].starts_with(HEARS);
        let own: Vec<&Bridge> = bridges.iter().filter(|bridge| beside(&bridge.id)).collect();
        let talks = |channel: &str| {
            let with_both = |bridge: &&&Bridge| {
                let has = |wanted: &str| bridge.channels.iter().any(|channel| channel == wanted);
                has(channel) && has(call)
            };
            own.iter().any(|bridge| with_both(&bridge))
        };
        let mut orphan = Self::default();
        for channel in ours.filter(|channel| beside(channel)) {
            if talks(channel) {
                orphan.agents.push(channel.to_owned());
            } else if channel[call.len()..].starts_with("-a") || hears(channel) {
                orphan.idle.push(channel.to_owned());
            }
        }
        orphan.bridges.extend(own.iter().map(|bridge| bridge.id.clone()));
        orphan
    }

    /// Whether an agent was connected and has left: nobody speaks with the callee any more.
    pub(crate) fn is_left_alone(&self) -> bool {
        let of_agents = |bridge: &&String| !bridge.contains(HEARS);
        self.agents.is_empty() && self.bridges.iter().any(|bridge| of_agents(&bridge))
    }

    /// This channel is gone. Returns whether the callee is left alone by that.
    pub(crate) fn gone(&mut self, channel: &str) -> bool {
        let before = self.agents.len();
        self.agents.retain(|agent| agent != channel);
        self.agents.len() < before && self.agents.is_empty()
    }

    /// The callee is gone.
    pub(crate) fn let_go(&mut self, orders: &mut Vec<Order>) {
        orders.extend(self.agents.drain(..).map(|channel| Order::HangUp { channel }));
        orders.extend(self.bridges.drain(..).map(|bridge| Order::EndBridge { bridge }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_talks_is_told_from_who_is_left_over() {
        let call = "0199a000-0000-7000-8000-00000000c0de";
        let name = |rest: &str| format!("{call}{rest}");
        let bridge = |id: String, channels: &[String]| Bridge { id, channels: channels.to_vec() };
        let ours: Vec<String> =
            ["", "-a3", "-a5", "-ear", "-hs7", "-hm7"].iter().map(|rest| name(rest)).collect();
        let bridges = [
            bridge(name("-b3"), &[call.to_owned(), name("-a3")]),
            bridge(name("-hb7"), &[name("-hs7"), name("-hm7")]),
            bridge("another".into(), &[]),
        ];
        let ours = || ours.iter().map(String::as_str);
        let mut orphan = Orphan::of(call, ours(), &bridges);
        assert_eq!(orphan.agents, [name("-a3")]);
        assert_eq!(orphan.idle, [name("-a5"), name("-hs7"), name("-hm7")]);
        assert!(!orphan.is_left_alone());
        assert!(!orphan.gone(&name("-a5")) && orphan.gone(&name("-a3")) && !orphan.gone(&name("-a3")));
        let mut orders = Vec::new();
        orphan.let_go(&mut orders);
        assert_eq!(orders, [name("-b3"), name("-hb7")].map(|bridge| Order::EndBridge { bridge }));

        let left = [bridge(name("-b3"), &[call.to_owned()])];
        assert!(Orphan::of(call, ours(), &left).is_left_alone());
        assert!(!Orphan::of(call, ours(), &bridges[1..]).is_left_alone(), "it never had an agent");
    }
}
