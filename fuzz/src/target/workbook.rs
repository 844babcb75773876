//! Contact sheets as spreadsheets.

use std::io::{Cursor, Write};

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::import::import;

pub(super) const WORDS: &[&str] = &[
    "<c r=\"A1\"",
    "<c r=\"XFD1048576\"",
    "t=\"s\"",
    "t=\"inlineStr\"",
    "<v>",
    "</v>",
    "<f>",
    "<row r=\"1048576\">",
    "</row>",
    "<sheetData>",
    "<mergeCell ref=\"A1:XFD1048576\"/>",
    "<dimension ref=\"A1:XFD1048576\"/>",
    "<si><t>",
    "count=\"4294967295\"",
    "table:number-columns-repeated=\"1048576\"",
    "table:number-rows-repeated=\"1048576\"",
    "<table:table-row>",
    "<table:table-cell office:value-type=\"float\" office:value=\"1e308\"/>",
    "<text:p>",
    "&amp;",
    "&#x10FFFF;",
    "&x;",
    "<!DOCTYPE a [<!ENTITY x \"y\">]>",
    "<![CDATA[",
    "numFmtId=\"14\"",
    "date1904=\"1\"",
    "visibility=\"hidden\"",
    "=== ",
];

/// A file as it is: xlsx, xls or ods.
pub(super) fn file(input: &[u8]) {
    import("list", input, "{}");
}

/// The parts of a workbook, each after a line `=== name`, packed. So changes reach the readers of the parts, which damage
/// to packed bytes does not.
pub(super) fn parts(input: &[u8]) {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for part in input.split_inclusive(|byte| *byte == b'\n').fold(Vec::<(String, Vec<u8>)>::new(), add_line) {
        let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        if archive.start_file(part.0, options).and_then(|()| Ok(archive.write_all(&part.1)?)).is_err() {
            return;
        }
    }
    let Ok(packed) = archive.finish() else { return };
    import("list", packed.get_ref(), "{}");
}

fn add_line(mut parts: Vec<(String, Vec<u8>)>, line: &[u8]) -> Vec<(String, Vec<u8>)> {
    match (line.strip_prefix(b"=== "), parts.last_mut()) {
        (Some(name), _) => parts.push((String::from_utf8_lossy(name).trim().to_owned(), Vec::new())),
        (None, Some(part)) => part.1.extend_from_slice(line),
        (None, None) => {}
    }
    parts
}
