//! Pictures of flows, alone or with what calls did in them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::definition::{Flow, Node, NodeKind, NodePath};
use super::edge::{Target, edges};
use super::effect::FlowEnding;
use super::reaction::Prompt;
use super::session::{Session, Trigger};
use super::written::type_of;

mod dot;
mod mermaid;

/// How often calls came to each node of a flow, and from where: of one call, or of all calls of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traffic {
    nodes: BTreeMap<NodePath, u64>,
    ways: BTreeMap<(NodePath, Trigger, NodePath), u64>,
    endings: BTreeMap<FlowEnding, u64>,
}

impl Traffic {
    /// That of one call.
    pub fn of_call(session: &Session) -> Self {
        let mut traffic = Self::default();
        traffic.add(session);
        traffic
    }

    /// Adds that of a call.
    pub fn add(&mut self, session: &Session) {
        let mut within: Vec<NodePath> = Vec::new();
        let mut before: Option<&NodePath> = None;
        for visit in session.path() {
            *self.nodes.entry(visit.node.clone()).or_default() += 1;
            let from = match visit.by {
                Trigger::Return => {
                    while within.last().is_some_and(|node| node.subflow != visit.node.subflow) {
                        within.pop();
                    }
                    within.pop()
                }
                _ => before.cloned(),
            };
            if visit.by == Trigger::Enter {
                within.extend(from.clone());
            }
            if let Some(from) = from {
                *self.ways.entry((from, visit.by.clone(), visit.node.clone())).or_default() += 1;
            }
            before = Some(&visit.node);
        }
        if let Some(ending) = session.ending() {
            *self.endings.entry(ending).or_default() += 1;
        }
    }

    /// How often calls came to a node.
    pub fn visits(&self, node: &NodePath) -> u64 {
        self.nodes.get(node).copied().unwrap_or_default()
    }

    /// How many calls ended in each way.
    pub fn endings(&self) -> &BTreeMap<FlowEnding, u64> {
        &self.endings
    }
}

impl Flow {
    /// The flow as a [Mermaid](https://mermaid.js.org) flowchart. With traffic, the nodes and ways that were used are
    /// marked and counted.
    pub fn to_mermaid(&self, traffic: Option<&Traffic>) -> String {
        mermaid::write(&Picture::of(self, traffic))
    }

    /// The flow as a graph in Graphviz's DOT language. With traffic, the nodes and ways that were used are marked and
    /// counted.
    pub fn to_dot(&self, traffic: Option<&Traffic>) -> String {
        dot::write(&Picture::of(self, traffic))
    }
}

/// What both notations draw.
struct Picture {
    clusters: Vec<Cluster>,
    lines: Vec<Line>,
}

/// The flow itself or a sub-flow.
struct Cluster {
    /// The name of the sub-flow.
    title: Option<String>,
    boxes: Vec<NodeBox>,
}

struct NodeBox {
    key: String,
    shape: Shape,
    /// The id of the node, its type, and what it says.
    texts: Vec<String>,
    count: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Shape {
    /// A beginning or an end.
    Round,
    /// It waits for something.
    Hexagon,
    /// It decides.
    Diamond,
    /// It does something.
    Square,
}

/// All ways from one node to another.
struct Line {
    from: String,
    to: String,
    /// What each of them is labelled with, and how often it was gone.
    ways: Vec<(String, u64)>,
}

impl Picture {
    fn of(flow: &Flow, traffic: Option<&Traffic>) -> Self {
        let keys: BTreeMap<NodePath, String> =
            flow.nodes().enumerate().map(|(place, path)| (path, format!("n{place}"))).collect();
        let mut picture = Self { clusters: Vec::new(), lines: Vec::new() };
        for (place, (subflow, section)) in flow.sections().enumerate() {
            let end = format!("stop{place}");
            let mut boxes = Vec::new();
            let (mut ends, mut count) = (false, 0);
            for node in &section.nodes {
                let path = NodePath { subflow: subflow.cloned(), node: node.id.clone() };
                let visits = traffic.map_or(0, |traffic| traffic.visits(&path));
                let Some(key) = keys.get(&path) else { continue };
                boxes.push(NodeBox {
                    key: key.clone(),
                    shape: shape(node),
                    texts: texts(node),
                    count: visits,
                });
                ends |= picture.draw_ways(flow, &path, node, &keys, &end, traffic);
            }
            let mut title = "the sub-flow returns";
            if subflow.is_none() {
                title = "the call ends";
                count = traffic.map_or(0, |traffic| traffic.endings.values().sum());
                let start = NodePath { subflow: None, node: section.start.clone() };
                let calls = traffic.map_or(0, |traffic| {
                    // Every call comes to the start first; what comes later comes from a node.
                    let back: u64 =
                        traffic.ways.iter().filter(|((.., to), _)| *to == start).map(|(_, n)| n).sum();
                    traffic.visits(&start) - back
                });
                boxes.insert(0, NodeBox::round("start", "a call is answered", calls));
                picture.line("start", keys.get(&start), vec![(String::new(), calls)]);
                ends = true;
            }
            if ends {
                boxes.push(NodeBox::round(&end, title, count));
            }
            picture.clusters.push(Cluster { title: subflow.map(|id| id.to_string()), boxes });
        }
        picture
    }

    /// Draws the ways out of a node, those to the same place as one line. Returns whether one leads to the end.
    fn draw_ways(
        &mut self,
        flow: &Flow,
        path: &NodePath,
        node: &Node,
        keys: &BTreeMap<NodePath, String>,
        end: &str,
        traffic: Option<&Traffic>,
    ) -> bool {
        let mut lines: Vec<(String, Vec<(String, u64)>)> = Vec::new();
        let mut ends = false;
        for edge in edges(node) {
            let beside = |id: &Arc<str>| NodePath { subflow: path.subflow.clone(), node: id.clone() };
            let target = match edge.target {
                Target::Node(id) => Some(beside(id)),
                Target::Subflow(id) => flow
                    .subflows
                    .get(id)
                    .map(|section| NodePath { subflow: Some(id.clone()), node: section.start.clone() }),
                Target::End | Target::HangUp => None,
            };
            let (to, count) = match target {
                Some(target) => {
                    let Some(key) = keys.get(&target) else { continue };
                    let way = (path.clone(), edge.trigger.clone(), target);
                    let count =
                        traffic.and_then(|traffic| traffic.ways.get(&way)).copied().unwrap_or_default();
                    (key.clone(), count)
                }
                None => (if edge.target == Target::End { end.to_owned() } else { "stop0".to_owned() }, 0),
            };
            ends |= edge.target == Target::End;
            let way = (label(node, &edge.trigger), count);
            match lines.iter_mut().find(|(known, _)| *known == to) {
                Some((_, ways)) => ways.push(way),
                None => lines.push((to, vec![way])),
            }
        }
        let key = keys.get(path).cloned().unwrap_or_default();
        for (to, ways) in lines {
            self.line(&key, Some(&to), ways);
        }
        ends
    }

    fn line(&mut self, from: &str, to: Option<&String>, ways: Vec<(String, u64)>) {
        if let Some(to) = to {
            self.lines.push(Line { from: from.into(), to: to.clone(), ways });
        }
    }
}

impl NodeBox {
    fn round(key: &str, text: &str, count: u64) -> Self {
        Self { key: key.into(), shape: Shape::Round, texts: vec![text.into()], count }
    }
}

impl Line {
    /// Its labels, with the counts of those that were gone.
    fn texts(&self) -> Vec<String> {
        let texts = self.ways.iter().map(|(label, count)| match (label.is_empty(), *count) {
            (_, 0) => label.clone(),
            (true, count) => format!("×{count}"),
            (false, count) => format!("{label} ×{count}"),
        });
        texts.filter(|text| !text.is_empty()).collect()
    }

    fn was_gone(&self) -> bool {
        self.ways.iter().any(|(_, count)| *count > 0)
    }
}

fn shape(node: &Node) -> Shape {
    match &node.kind {
        NodeKind::HangUp | NodeKind::Return => Shape::Round,
        NodeKind::Branch { .. } => Shape::Diamond,
        kind if kind.has_result() => Shape::Hexagon,
        _ => Shape::Square,
    }
}

fn texts(node: &Node) -> Vec<String> {
    let mut texts = vec![node.id.to_string(), type_of(&node.kind).name().replace('_', " ")];
    let prompt = match &node.kind {
        NodeKind::Prompt { prompt, .. } | NodeKind::Menu { prompt, .. } => Some(prompt),
        NodeKind::CaptureInput { prompt, .. }
        | NodeKind::Listen { prompt, .. }
        | NodeKind::Record { prompt, .. } => prompt.as_ref(),
        _ => None,
    };
    let said = match prompt {
        Some(Prompt::Audio(text) | Prompt::Text { text, .. }) => Some(text.source().to_owned()),
        None => match &node.kind {
            NodeKind::Action { actions, .. } => {
                let names: Vec<&str> = actions.iter().map(|action| action.kind.name()).collect();
                Some(names.join(", "))
            }
            NodeKind::SendDtmf { digits } => Some(digits.source().to_owned()),
            NodeKind::Wait { duration } => Some(duration.to_string()),
            NodeKind::Subflow { flow } => Some(flow.to_string()),
            _ => None,
        },
    };
    texts.extend(said.map(|said| shortened(&said)));
    texts
}

/// What is written at a way out: what leads there, and what is done on it.
fn label(node: &Node, trigger: &Trigger) -> String {
    let what = match (trigger, &node.kind) {
        (Trigger::Next, _) => String::new(),
        (Trigger::Phrase(place), NodeKind::Listen { phrases, .. }) => {
            let said = phrases.get(usize::from(*place)).and_then(|phrase| phrase.any.first());
            said.map(|said| format!("“{said}”")).unwrap_or_default()
        }
        (Trigger::Case(place), NodeKind::Branch { cases }) => {
            cases.get(usize::from(*place)).map(|case| case.variable.clone()).unwrap_or_default()
        }
        _ => trigger.to_string(),
    };
    let reaction = super::edge::reactions(node).into_iter().find(|(known, ..)| known == trigger);
    let actions = reaction.map(|(.., reaction)| reaction.actions.as_slice()).unwrap_or_default();
    let names: Vec<&str> = actions.iter().map(|action| action.kind.name()).collect();
    if names.is_empty() { what } else { format!("{what}: {}", names.join(" + ")) }
}

fn shortened(text: &str) -> String {
    const LENGTH_MAX: usize = 48;
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() <= LENGTH_MAX {
        return text;
    }
    text.chars().take(LENGTH_MAX - 1).chain(['…']).collect()
}
