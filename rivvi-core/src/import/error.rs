//! What can be wrong with a file as a whole. A bad row is never one of these; it goes into the report.

use std::io;

/// Why a sheet cannot be opened or read. Names the file, never its contents.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SheetError {
    /// No such file.
    #[error("{path}: no such file; check the path")]
    NotFound {
        /// The path as given.
        path: String,
    },
    /// Reading failed.
    #[error("{name}: cannot be read: {source}")]
    Read {
        /// Name of the file.
        name: String,
        /// The cause.
        source: io::Error,
    },
    /// Nothing in it.
    #[error("{name}: the file is empty; upload a sheet with a header row and one row per contact")]
    Empty {
        /// Name of the file.
        name: String,
    },
    /// Not a sheet.
    #[error(
        "{name}: expected csv, tsv, txt, xlsx, xls or ods, found {found}; save it as xlsx or csv and upload it again"
    )]
    UnknownFormat {
        /// Name of the file.
        name: String,
        /// What it seems to be.
        found: &'static str,
    },
    /// Over a size limit.
    #[error(
        "{name}: larger than {} MiB after unpacking, the limit for spreadsheets; save it as csv, which has no limit",
        limit_bytes / (1024 * 1024)
    )]
    TooLarge {
        /// Name of the file.
        name: String,
        /// The limit.
        limit_bytes: u64,
    },
    /// More columns than a contact may have.
    #[error("{name}: row {row} has more than {limit} columns; remove the columns you do not need")]
    TooManyColumns {
        /// Name of the file.
        name: String,
        /// The header row.
        row: u64,
        /// The limit.
        limit: usize,
    },
    /// A spreadsheet that cannot be decoded.
    #[error(
        "{name}: the workbook is damaged or protected ({detail}); open it, save it as xlsx or csv and upload it again"
    )]
    Broken {
        /// Name of the file.
        name: String,
        /// What the reader says.
        detail: String,
    },
    /// The file is not the one that was opened.
    #[error("{name}: changed while it was being imported; start the import again")]
    Changed {
        /// Name of the file.
        name: String,
    },
}

/// Why an import cannot start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The file cannot be read.
    #[error(transparent)]
    Sheet(#[from] SheetError),
    /// No worksheet of the asked name.
    #[error("{name}: no worksheet \"{worksheet}\"; it has {}", list(.found))]
    WorksheetNotFound {
        /// Name of the file.
        name: String,
        /// The name that was asked for.
        worksheet: String,
        /// The names it has.
        found: Vec<String>,
    },
    /// No row with a phone column.
    #[error(
        "{name}: no header row with a phone column in the first {scanned} rows; expected a column such as \"Phone\", \
         \"Mobile\" or \"טלפון\"{}; name the column in `columns.phone` of the campaign",
        seen(.first_row)
    )]
    NoHeaderRow {
        /// Name of the file.
        name: String,
        /// How many rows were looked at.
        scanned: usize,
        /// The first row, if it can be a header row rather than a person.
        first_row: Vec<String>,
    },
    /// A header named in the rules is not in the sheet.
    #[error("{name}: `{setting}` names the column \"{header}\", which row {row} does not have; it has {}", list(.found))]
    ColumnNotFound {
        /// Name of the file.
        name: String,
        /// The setting, for instance `columns.phone`.
        setting: String,
        /// The header or field it names.
        header: String,
        /// The header row.
        row: u64,
        /// The headers it has.
        found: Vec<String>,
    },
    /// No column for a required field.
    #[error(
        "{name}: the required field \"{field}\" has no column in row {row}; it has {}; add the column, or name it in \
         `columns.{field}` of the campaign",
        list(.found)
    )]
    RequiredColumnMissing {
        /// Name of the file.
        name: String,
        /// The field or variable.
        field: String,
        /// The header row.
        row: u64,
        /// The headers it has.
        found: Vec<String>,
    },
    /// Nothing fills a variable of the prompt.
    #[error(
        "{name}: nothing fills the placeholder {{{{{variable}}}}} of the prompt: row {row} has no such column, only {}; add \
         the column, name it in `columns.{variable}`, give the variable in `variables` of the campaign, or write \
         {{{{{variable}|text instead}}}}",
        list(.found)
    )]
    PromptVariableMissing {
        /// Name of the file.
        name: String,
        /// The variable.
        variable: String,
        /// The header row.
        row: u64,
        /// The headers it has.
        found: Vec<String>,
    },
    /// Nothing fills a variable of the text of a message.
    #[error(
        "{name}: nothing fills the placeholder {{{{ {variable} }}}} of {text}: row {row} has no such column, only {}; add the \
         column, name it in `columns.{variable}`, give the variable in `variables` of the campaign, or write \
         {{{{ {variable} | default(\"text instead\") }}}}",
        list(.found)
    )]
    MessageVariableMissing {
        /// Name of the file.
        name: String,
        /// The key of the text in the campaign.
        text: String,
        /// The variable.
        variable: String,
        /// The header row.
        row: u64,
        /// The headers it has.
        found: Vec<String>,
    },
}

/// Longest list of names in a message.
const LIST_MAX: usize = 40;

fn list(names: &[String]) -> String {
    let mut text =
        names.iter().take(LIST_MAX).map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    if names.len() > LIST_MAX {
        text.push_str(&format!(" and {} more", names.len() - LIST_MAX));
    }
    if text.is_empty() { "none".to_owned() } else { text }
}

fn seen(first_row: &[String]) -> String {
    if first_row.is_empty() { String::new() } else { format!(", found {}", list(first_row)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_cut() {
        let names: Vec<String> = (0..60).map(|n| format!("c{n}")).collect();
        assert!(list(&names).ends_with("and 20 more"));
        assert_eq!(list(&[]), "none");
    }
}
