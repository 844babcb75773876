//! Nodes as processes, looked after as a service manager would.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::support;

/// The nodes of a test.
pub(crate) struct Cluster {
    folder: PathBuf,
    arguments: Vec<String>,
    nodes: Vec<Node>,
    /// How often a node gave up by itself, for instance because its ledger was away, and was started again.
    pub(crate) gave_up: u32,
}

struct Node {
    state: State,
    starts: u32,
}

enum State {
    Running(Child),
    /// Stopped by a signal, to go on later.
    Still(Child),
    Dead,
    /// The run was over for it.
    Done,
}

impl Cluster {
    pub(crate) fn start(folder: &Path, nodes: usize, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let nodes = (0..nodes).map(|_| Node { state: State::Dead, starts: 0 }).collect();
        let mut cluster = Self { folder: folder.to_owned(), arguments, nodes, gave_up: 0 };
        // All at the same moment: only one of them may make the run.
        (0..cluster.nodes.len()).for_each(|node| cluster.restart(node));
        cluster
    }

    pub(crate) fn size(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn is_running(&self, node: usize) -> bool {
        matches!(self.nodes[node].state, State::Running(_))
    }

    pub(crate) fn is_done(&self) -> bool {
        self.nodes.iter().all(|node| matches!(node.state, State::Done))
    }

    pub(crate) fn restart(&mut self, node: usize) {
        if !matches!(self.nodes[node].state, State::Dead) {
            return;
        }
        self.nodes[node].starts += 1;
        let child = support::example("worker")
            .current_dir(&self.folder)
            .args(&self.arguments)
            .args(["--node", &format!("node-{node}")])
            .stdin(Stdio::null())
            .stdout(File::create(self.file(node, "out")).unwrap())
            .stderr(File::options().create(true).append(true).open(self.file(node, "err")).unwrap())
            .spawn();
        self.nodes[node].state = State::Running(child.unwrap());
    }

    /// Ends a node by SIGKILL. Returns whether it was there.
    pub(crate) fn kill(&mut self, node: usize) -> bool {
        match std::mem::replace(&mut self.nodes[node].state, State::Dead) {
            State::Running(mut child) => {
                child.kill().unwrap();
                // It may have ended by itself just now.
                if child.wait().unwrap().success() {
                    self.nodes[node].state = State::Done;
                    return false;
                }
                true
            }
            other => {
                self.nodes[node].state = other;
                false
            }
        }
    }

    /// Has a node stand still. Returns whether it was there.
    pub(crate) fn stop(&mut self, node: usize) -> bool {
        match std::mem::replace(&mut self.nodes[node].state, State::Dead) {
            State::Running(child) => {
                signal(&child, "-STOP");
                self.nodes[node].state = State::Still(child);
                true
            }
            other => {
                self.nodes[node].state = other;
                false
            }
        }
    }

    pub(crate) fn go_on(&mut self, node: usize) {
        match std::mem::replace(&mut self.nodes[node].state, State::Dead) {
            State::Still(child) => {
                signal(&child, "-CONT");
                self.nodes[node].state = State::Running(child);
            }
            other => self.nodes[node].state = other,
        }
    }

    /// Notices which nodes have ended by themselves. Returns those that must be started again.
    pub(crate) fn look(&mut self) -> Vec<usize> {
        let mut ended = Vec::new();
        for index in 0..self.nodes.len() {
            let State::Running(child) = &mut self.nodes[index].state else { continue };
            let Some(status) = child.try_wait().unwrap() else { continue };
            match status.code() {
                Some(0) => self.nodes[index].state = State::Done,
                Some(1 | 2) => {
                    self.nodes[index].state = State::Dead;
                    self.gave_up += 1;
                    ended.push(index);
                }
                _ => panic!("node {index} ended with {status}: {}", self.said(index)),
            }
        }
        ended
    }

    /// What the nodes that saw the end of the run say of it.
    pub(crate) fn results(&self) -> Vec<Value> {
        let read = |node| {
            let text = std::fs::read_to_string(self.file(node, "out")).unwrap();
            let result = serde_json::from_str(&text);
            result.unwrap_or_else(|error| {
                panic!("expected one JSON object, {error}: {text:?}; {}", self.said(node))
            })
        };
        (0..self.nodes.len()).map(read).collect()
    }

    /// The end of what a node wrote to standard error, over all its lives.
    pub(crate) fn said(&self, node: usize) -> String {
        let text = std::fs::read_to_string(self.file(node, "err")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = lines.len().saturating_sub(12);
        format!("node {node}, started {} times: …\n{}", self.nodes[node].starts, lines[last..].join("\n"))
    }

    fn file(&self, node: usize, kind: &str) -> PathBuf {
        self.folder.join(format!("node-{node}.{kind}"))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            if let State::Running(child) | State::Still(child) = &mut node.state {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

pub(crate) fn signal(child: &Child, signal: &str) {
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).stderr(Stdio::null()).status();
    assert!(sent.is_ok(), "`kill` is missing");
}
