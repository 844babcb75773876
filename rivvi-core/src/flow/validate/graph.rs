//! What is wrong with the way nodes lead to one another.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::Check;
use crate::flow::definition::{Flow, NodeKind, NodePath, Section};
use crate::flow::edge::{Target, edges};
use crate::flow::error::FlowProblem;
use crate::flow::interpret::STACK_MAX;

impl Check<'_> {
    pub(super) fn graph(&mut self) {
        self.unreachable();
        for (subflow, section) in self.flow.sections() {
            self.no_way_out(subflow, section);
            self.circles(subflow, section);
        }
        self.recursion();
    }

    fn unreachable(&mut self) {
        let flow = self.flow;
        let mut reached = HashSet::new();
        let mut waiting = vec![flow.start()];
        while let Some(path) = waiting.pop() {
            let Some(node) = flow.node(&path) else { continue };
            if !reached.insert(path.clone()) {
                continue;
            }
            for edge in edges(node) {
                match edge.target {
                    Target::Node(id) => {
                        waiting.push(NodePath { subflow: path.subflow.clone(), node: id.clone() });
                    }
                    Target::Subflow(id) => {
                        let start = flow.subflows.get(id).map(|section| section.start.clone());
                        waiting.extend(start.map(|node| NodePath { subflow: Some(id.clone()), node }));
                    }
                    Target::End | Target::HangUp => {}
                }
            }
        }
        for path in flow.nodes().filter(|path| !reached.contains(path)) {
            self.at(
                &path,
                "id",
                "nothing leads to this node: expected it to be the target of another, or left out",
            );
        }
    }

    /// Nodes that wait for the callee and from which the flow never ends.
    fn no_way_out(&mut self, subflow: Option<&Arc<str>>, section: &Section) {
        let mut ending: HashSet<&str> = HashSet::new();
        loop {
            let more = section.nodes.iter().filter(|node| !ending.contains(&*node.id)).filter(|node| {
                edges(node).iter().any(|edge| match edge.target {
                    Target::End | Target::HangUp => true,
                    Target::Node(id) => ending.contains(&**id) || section.node(id).is_none(),
                    Target::Subflow(id) => hangs_up(self.flow, id),
                })
            });
            let more: Vec<&str> = more.map(|node| &*node.id).collect();
            if more.is_empty() {
                break;
            }
            ending.extend(more);
        }
        let stuck = section.nodes.iter().filter(|node| !ending.contains(&*node.id) && node.kind.has_result());
        for node in stuck {
            let path = NodePath { subflow: subflow.cloned(), node: node.id.clone() };
            let problem = "no way out: whatever the callee does leads back here; expected one that ends";
            self.at(&path, edges(node).first().map_or("next", |edge| edge.field.as_str()), problem);
        }
    }

    /// Circles of nodes none of which waits for the callee.
    fn circles(&mut self, subflow: Option<&Arc<str>>, section: &Section) {
        let waits = |id: &str| {
            section.node(id).is_none_or(|node| match &node.kind {
                NodeKind::Subflow { flow } => waits_somewhere(self.flow, flow, &mut HashSet::new()),
                kind => kind.has_result(),
            })
        };
        let mut leads: HashMap<&str, Vec<&str>> = HashMap::new();
        for node in section.nodes.iter().filter(|node| !waits(&node.id)) {
            let targets = edges(node).into_iter().filter_map(|edge| match edge.target {
                Target::Node(id) if !waits(id) => Some(&**id),
                _ => None,
            });
            leads.insert(&node.id, targets.collect());
        }
        let mut problems = Vec::new();
        while let Some(circle) = next_circle(section, &mut leads) {
            let first = NodePath { subflow: subflow.cloned(), node: circle[0].into() };
            let round: Vec<&str> = circle.iter().copied().chain([circle[0]]).collect();
            let problem = format!(
                "goes round in a circle `{}` in which nothing waits for the callee: expected a node that does, such as a \
                 menu",
                round.join("` → `")
            );
            problems.push(FlowProblem::at(first, "next", problem));
            for id in circle {
                leads.remove(id);
            }
        }
        self.problems.extend(problems);
    }

    /// Sub-flows within themselves, or too deep within one another.
    fn recursion(&mut self) {
        for (id, section) in &self.flow.subflows {
            if depth(self.flow, id, &mut Vec::new()).is_none() {
                let node = section.nodes.iter().find(
                    |node| matches!(&node.kind, NodeKind::Subflow { flow } if leads_to(self.flow, flow, id)),
                );
                if let Some(node) = node {
                    let path = NodePath { subflow: Some(id.clone()), node: node.id.clone() };
                    let problem = "enters a sub-flow that this one is within: expected a `goto` or `return`";
                    self.at(&path, "flow", problem);
                }
            }
        }
        for node in &self.flow.main.nodes {
            let NodeKind::Subflow { flow } = &node.kind else { continue };
            if depth(self.flow, flow, &mut Vec::new()).is_some_and(|depth| depth > STACK_MAX) {
                let path = NodePath { subflow: None, node: node.id.clone() };
                let problem =
                    format!("sub-flows lie too deep within one another: expected at most {STACK_MAX}");
                self.at(&path, "flow", problem);
            }
        }
    }
}

/// One circle among the nodes left, in the order of walking, the first of the section first. Forgets nodes that are in
/// none.
fn next_circle<'s>(section: &'s Section, leads: &mut HashMap<&'s str, Vec<&'s str>>) -> Option<Vec<&'s str>> {
    loop {
        let over: Vec<&str> = leads
            .iter()
            .filter(|(_, targets)| !targets.iter().any(|target| leads.contains_key(target)))
            .map(|(id, _)| *id)
            .collect();
        if over.is_empty() {
            break;
        }
        for id in over {
            leads.remove(id);
        }
    }
    let first = section.nodes.iter().map(|node| &*node.id).find(|id| leads.contains_key(id))?;
    let mut walked = vec![first];
    loop {
        let here = *walked.last()?;
        let next = leads.get(here)?.iter().copied().find(|target| leads.contains_key(target))?;
        if let Some(start) = walked.iter().position(|id| *id == next) {
            return Some(walked.split_off(start));
        }
        walked.push(next);
    }
}

/// How deep sub-flows lie within one another from `id` on; `None` if without end.
fn depth(flow: &Flow, id: &Arc<str>, within: &mut Vec<Arc<str>>) -> Option<usize> {
    if within.contains(id) {
        return None;
    }
    let Some(section) = flow.subflows.get(id) else { return Some(1) };
    within.push(id.clone());
    let mut deepest = 0;
    for inner in entered(section) {
        deepest = deepest.max(depth(flow, inner, within)?);
    }
    within.pop();
    Some(deepest + 1)
}

fn leads_to(flow: &Flow, from: &Arc<str>, to: &Arc<str>) -> bool {
    let mut seen = HashSet::new();
    let mut waiting = vec![from];
    while let Some(id) = waiting.pop() {
        if id == to {
            return true;
        }
        if seen.insert(id) {
            waiting.extend(flow.subflows.get(id).into_iter().flat_map(entered));
        }
    }
    false
}

fn entered(section: &Section) -> impl Iterator<Item = &Arc<str>> {
    section.nodes.iter().filter_map(|node| match &node.kind {
        NodeKind::Subflow { flow } => Some(flow),
        _ => None,
    })
}

/// Whether a sub-flow can end the call.
fn hangs_up(flow: &Flow, id: &Arc<str>) -> bool {
    let Some(section) = flow.subflows.get(id) else { return true };
    section.nodes.iter().any(|node| edges(node).iter().any(|edge| edge.target == Target::HangUp))
}

/// Whether a sub-flow, or one within it, waits for the callee.
fn waits_somewhere<'f>(flow: &'f Flow, id: &'f Arc<str>, seen: &mut HashSet<&'f Arc<str>>) -> bool {
    let Some(section) = flow.subflows.get(id) else { return true };
    seen.insert(id)
        && (section.nodes.iter().any(|node| node.kind.has_result())
            || entered(section).any(|inner| waits_somewhere(flow, inner, seen)))
}
