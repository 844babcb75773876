//! What an import did: counts, columns and problems. Nothing personal is in it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::field::Field;
use super::rules::DateOrder;
use super::sheet::SheetFormat;

/// Most problems a report keeps of each [`Severity`]; [`ImportReport::problems_total`] counts them all.
pub const MAX_PROBLEMS: usize = 1_000;

/// The report on an import. `rows = imported + duplicates + invalid` at every moment.
///
/// `Display` is a summary of several lines for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ImportReport {
    /// Name of the file.
    pub sheet: String,
    /// SHA-256 of the file in hexadecimal.
    pub digest: String,
    /// Format of the file.
    pub format: SheetFormat,
    /// The worksheet that was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worksheet: Option<String>,
    /// Encoding of a text file, for instance `windows-1255`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    /// Delimiter of a text file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
    /// The row with the headers, counted from 1.
    pub header_row: u64,
    /// How ambiguous dates were read, if there is a column of dates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date_order: Option<DateOrder>,
    /// The columns in their order.
    pub columns: Vec<ColumnReport>,
    /// Rows below the header that are not blank.
    pub rows: u64,
    /// Contacts that came out.
    pub imported: u64,
    /// Rows whose number another row already has.
    pub duplicates: u64,
    /// Rows that were refused.
    pub invalid: u64,
    /// Rows without any text; not part of `rows`.
    pub blank_rows: u64,
    /// Contacts whose number cannot receive text messages by its numbering plan, and which a call or nothing reaches
    /// instead; `None` if the campaign sends none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub landlines: Option<u64>,
    /// The first [`MAX_PROBLEMS`] problems of each severity, in the order of the file.
    pub problems: Vec<RowProblem>,
    /// All problems, also those that are not kept.
    pub problems_total: u64,
    /// Whether the sheet was read to its end.
    pub complete: bool,
}

/// A column of the sheet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ColumnReport {
    /// The header as written; empty if there is none.
    pub header: String,
    /// The name of its variable.
    pub variable: String,
    /// What it was taken for; `None` if it is only a variable.
    pub field: Option<Field>,
    /// How many rows fill it.
    pub filled: u64,
}

/// Something about one row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RowProblem {
    /// The row in the file, counted from 1 as a spreadsheet shows it; for a text file, the line on which it starts.
    pub row: u64,
    /// The header of the column; empty if the row as a whole is meant.
    pub column: String,
    /// The value, with letters and digits as `*` where it may be personal.
    pub value: String,
    /// What became of the row.
    pub severity: Severity,
    /// What is wrong.
    pub reason: ProblemReason,
}

/// What became of a row with a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Severity {
    /// The row was refused.
    Refused,
    /// The row is a duplicate.
    Duplicate,
    /// The row became a contact, without what could not be read.
    Warning,
}

/// What is wrong with a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProblemReason {
    /// No phone column has a value.
    NoNumber,
    /// The value is not a valid phone number.
    InvalidNumber {
        /// Why not.
        detail: String,
    },
    /// A required field is empty.
    RequiredEmpty {
        /// The field or variable.
        field: String,
    },
    /// Not a date.
    InvalidDate,
    /// Not a known time zone.
    UnknownTimeZone,
    /// Not a priority of 1 to 5.
    InvalidPriority,
    /// An error of the spreadsheet, such as `#N/A`.
    CellError,
    /// The number is already in an earlier row.
    DuplicateOf {
        /// The row that was kept.
        kept_row: u64,
    },
    /// The number comes again in a later row, which is kept.
    ReplacedByLaterRow,
    /// The number comes again in a later row, and both become one contact.
    MergedIntoLaterRow,
    /// A cell over [`MAX_CELL_BYTES`](super::MAX_CELL_BYTES).
    CellTooLong,
    /// A row over [`MAX_ROW_BYTES`](super::MAX_ROW_BYTES).
    RowTooLong,
    /// More than [`MAX_COLUMNS`](super::MAX_COLUMNS) columns.
    TooManyColumns,
    /// A quotation mark is never closed; it was taken as a character.
    OpenQuote,
    /// The row has nothing for a variable of the prompt.
    PromptVariableEmpty {
        /// The variable.
        variable: String,
    },
    /// The prompt with the variables of the row is longer than [`Prompt::BYTES_MAX`](crate::domain::Prompt::BYTES_MAX).
    PromptTooLong {
        /// How long it is.
        bytes: usize,
    },
    /// The row has nothing for a variable of the text of a message.
    MessageVariableEmpty {
        /// The key of the text in the campaign.
        text: String,
        /// The variable.
        variable: String,
    },
    /// The text of a message cannot be filled in from the row.
    MessageNotFilled {
        /// The key of the text in the campaign.
        text: String,
        /// Why not.
        detail: String,
    },
    /// The host's transformer refused the contact.
    Transformer {
        /// What it said.
        detail: String,
    },
}

impl fmt::Display for ImportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Problems that the summary shows.
        const SHOWN: usize = 20;
        write!(f, "{} ({}", self.sheet, self.format)?;
        for detail in [self.worksheet.as_deref(), self.encoding.as_deref()].into_iter().flatten() {
            write!(f, ", {detail}")?;
        }
        if let Some(delimiter) = self.delimiter {
            write!(f, ", separated by {delimiter:?}")?;
        }
        writeln!(f, ", headers in row {})", self.header_row)?;
        let stopped = if self.complete { "" } else { " so far" };
        writeln!(
            f,
            "{} rows{stopped}: {} imported, {} duplicates, {} invalid",
            self.rows, self.imported, self.duplicates, self.invalid
        )?;
        if let Some(landlines) = self.landlines.filter(|landlines| *landlines > 0) {
            writeln!(f, "{landlines} imported numbers are landlines and cannot be written to")?;
        }
        for column in &self.columns {
            let meaning = column.field.map_or("variable", Field::name);
            writeln!(f, "  {} -> {meaning} ({} filled)", column.variable, column.filled)?;
        }
        for problem in self.problems.iter().take(SHOWN) {
            writeln!(f, "  {problem}")?;
        }
        match self.problems_total.saturating_sub(SHOWN as u64) {
            0 => Ok(()),
            more => writeln!(f, "  and {more} more"),
        }
    }
}

impl fmt::Display for RowProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "row {}", self.row)?;
        if !self.column.is_empty() {
            write!(f, ", {}", self.column)?;
        }
        if !self.value.is_empty() {
            write!(f, " \"{}\"", self.value)?;
        }
        write!(f, ": {}", self.reason)?;
        f.write_str(match self.severity {
            Severity::Refused => " (refused)",
            Severity::Duplicate => "",
            Severity::Warning => " (imported all the same)",
        })
    }
}

impl fmt::Display for ProblemReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProblemReason::NoNumber => f.write_str("no phone number"),
            ProblemReason::InvalidNumber { detail } | ProblemReason::Transformer { detail } => {
                f.write_str(detail)
            }
            ProblemReason::RequiredEmpty { field } => write!(f, "the required field {field} is empty"),
            ProblemReason::PromptVariableEmpty { variable } => {
                write!(f, "nothing fills the placeholder {{{{{variable}}}}} of the prompt")
            }
            ProblemReason::PromptTooLong { bytes } => {
                let most = crate::domain::Prompt::BYTES_MAX;
                write!(f, "the prompt for this row has {bytes} bytes and may have at most {most}")
            }
            ProblemReason::MessageVariableEmpty { text, variable } => {
                write!(f, "nothing fills the placeholder {{{{ {variable} }}}} of {text}")
            }
            ProblemReason::MessageNotFilled { text, detail } => write!(f, "{text}: {detail}"),
            ProblemReason::InvalidDate => f.write_str("not a date"),
            ProblemReason::UnknownTimeZone => {
                f.write_str("not a time zone; write for instance Asia/Jerusalem")
            }
            ProblemReason::InvalidPriority => f.write_str("not a priority of 1 to 5"),
            ProblemReason::CellError => f.write_str("the spreadsheet shows an error in this cell"),
            ProblemReason::DuplicateOf { kept_row } => write!(f, "the number is already in row {kept_row}"),
            ProblemReason::ReplacedByLaterRow => {
                f.write_str("the number comes again in a later row, which is kept")
            }
            ProblemReason::MergedIntoLaterRow => f.write_str("merged with a later row of the same number"),
            ProblemReason::CellTooLong => write!(f, "longer than {} KiB", super::MAX_CELL_BYTES / 1024),
            ProblemReason::RowTooLong => {
                write!(f, "a row longer than {} MiB", super::MAX_ROW_BYTES / (1024 * 1024))
            }
            ProblemReason::TooManyColumns => write!(f, "more than {} columns", super::MAX_COLUMNS),
            ProblemReason::OpenQuote => f.write_str("a quotation mark is never closed"),
        }
    }
}
