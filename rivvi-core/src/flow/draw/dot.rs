//! Graphviz's DOT language.

use std::fmt::Write as _;

use super::{NodeBox, Picture, Shape};

const USED: &str = "color=\"#2b7a3d\", penwidth=3";

pub(super) fn write(picture: &Picture) -> String {
    let mut text = String::from("digraph flow {\n    node [fontname=\"sans-serif\"];\n");
    text.push_str("    edge [fontname=\"sans-serif\", fontsize=10];\n");
    for (place, cluster) in picture.clusters.iter().enumerate() {
        let indent = if cluster.title.is_some() { "        " } else { "    " };
        if let Some(title) = &cluster.title {
            let _ = writeln!(text, "    subgraph cluster{place} {{");
            let _ = writeln!(text, "{indent}label=\"{}\";", escaped(title));
        }
        for node in &cluster.boxes {
            let _ = writeln!(text, "{indent}{} [{}];", node.key, attributes(node));
        }
        if cluster.title.is_some() {
            text.push_str("    }\n");
        }
    }
    for line in &picture.lines {
        let label = line.texts().iter().map(|text| escaped(text)).collect::<Vec<_>>().join("\\n");
        let mut attributes = Vec::new();
        if !label.is_empty() {
            attributes.push(format!("label=\"{label}\""));
        }
        if line.was_gone() {
            attributes.push(USED.to_owned());
        }
        let attributes =
            if attributes.is_empty() { String::new() } else { format!(" [{}]", attributes.join(", ")) };
        let _ = writeln!(text, "    {} -> {}{attributes};", line.from, line.to);
    }
    text.push_str("}\n");
    text
}

fn attributes(node: &NodeBox) -> String {
    let mut label = node.texts.iter().map(|text| escaped(text)).collect::<Vec<_>>().join("\\n");
    let used = node.count > 0;
    if used {
        let _ = write!(label, "\\n×{}", node.count);
    }
    let shape = match node.shape {
        Shape::Round => "box, style=rounded",
        Shape::Hexagon => "hexagon",
        Shape::Diamond => "diamond",
        Shape::Square => "box",
    };
    let used = if used { format!(", {USED}") } else { String::new() };
    format!("label=\"{label}\", shape={shape}{used}")
}

/// A text as DOT reads it between quotation marks.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '"' => escaped.push_str("\\\""),
            '\\' => escaped.push_str("\\\\"),
            sign if sign.is_control() => escaped.push(' '),
            sign => escaped.push(sign),
        }
    }
    escaped
}
