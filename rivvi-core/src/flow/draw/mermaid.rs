//! Mermaid flowcharts.

use std::fmt::Write as _;

use super::{NodeBox, Picture, Shape};

pub(super) fn write(picture: &Picture) -> String {
    let mut text = String::from("flowchart TD\n");
    for (place, cluster) in picture.clusters.iter().enumerate() {
        let indent = if cluster.title.is_some() { "        " } else { "    " };
        if let Some(title) = &cluster.title {
            let _ = writeln!(text, "    subgraph sub{place}[\"{}\"]", escaped(title));
        }
        for node in &cluster.boxes {
            let _ = writeln!(text, "{indent}{}", drawn(node));
        }
        if cluster.title.is_some() {
            text.push_str("    end\n");
        }
    }
    for line in &picture.lines {
        let label = line.texts().iter().map(|text| escaped(text)).collect::<Vec<_>>().join("<br/>");
        let label = if label.is_empty() { String::new() } else { format!("|\"{label}\"|") };
        let _ = writeln!(text, "    {} -->{label} {}", line.from, line.to);
    }
    mark_used(picture, &mut text);
    text
}

fn drawn(node: &NodeBox) -> String {
    let mut label = node.texts.iter().map(|text| escaped(text)).collect::<Vec<_>>().join("<br/>");
    if node.count > 0 {
        let _ = write!(label, "<br/>×{}", node.count);
    }
    let (open, close) = match node.shape {
        Shape::Round => ("([", "])"),
        Shape::Hexagon => ("{{", "}}"),
        Shape::Diamond => ("{", "}"),
        Shape::Square => ("[", "]"),
    };
    format!("{}{open}\"{label}\"{close}", node.key)
}

fn mark_used(picture: &Picture, text: &mut String) {
    let boxes = picture.clusters.iter().flat_map(|cluster| &cluster.boxes);
    let used: Vec<&str> = boxes.filter(|node| node.count > 0).map(|node| node.key.as_str()).collect();
    if !used.is_empty() {
        text.push_str("    classDef used fill:#dff0d8,stroke:#2b7a3d,stroke-width:3px\n");
        let _ = writeln!(text, "    class {} used", used.join(","));
    }
    let lines = picture.lines.iter().enumerate().filter(|(_, line)| line.was_gone());
    let lines: Vec<String> = lines.map(|(place, _)| place.to_string()).collect();
    if !lines.is_empty() {
        let _ = writeln!(text, "    linkStyle {} stroke:#2b7a3d,stroke-width:3px", lines.join(","));
    }
}

/// A text as Mermaid reads it between quotation marks.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '"' => escaped.push_str("#quot;"),
            '#' => escaped.push_str("#35;"),
            '<' => escaped.push_str("#lt;"),
            '>' => escaped.push_str("#gt;"),
            '&' => escaped.push_str("#amp;"),
            '`' => escaped.push('\''),
            sign if sign.is_control() => escaped.push(' '),
            sign => escaped.push(sign),
        }
    }
    escaped
}
