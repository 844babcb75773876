//! Contact sheets: from the file a person uploads to contacts and a report.
//!
//! ```text
//!  bytes ─► Sheet ─► Table ───────────► rows ─► Resolver ──────────► Deduper ─► ImportedContact
//!           format   encoding,          exact   number, name, date,  first, last,
//!           digest   delimiter, header  texts   zone, transformers   merged, distinct
//!                                                     │ refused            │ duplicate
//!                                                     └───► ImportReport ◄─┘
//! ```
//!
//! Sheets are csv, tsv, txt, xlsx, xls or ods, in the state in which people send them: any encoding, titles above the
//! headers, headers in English or Hebrew, empty columns, blank lines, numbers that a spreadsheet turned into floats,
//! dates in any format. A bad row never stops a file: it is counted, and reported with its row, column and reason.
//! Text is streamed, however long; spreadsheets are held in memory within [limits](MAX_UNPACKED_BYTES).
//!
//! ```
//! use rivvi_core::domain::Region;
//! use rivvi_core::import::{Import, ImportRules, Sheet};
//!
//! let sheet = Sheet::from_bytes(
//!     "clinic.csv",
//!     "Clinic list\n\nPatient name;Mobile;Balance\nDana Levi;054-234 5678;12.50\nNoa Cohen;call her;0\n",
//! )?;
//! let mut import = Import::start(&sheet, &ImportRules::for_region(Region::new("IL")?), &[])?;
//!
//! let dana = import.next_contact().expect("one valid row")?;
//! assert_eq!((dana.row, dana.number.expose().as_str()), (4, "+972542345678"));
//! assert_eq!(dana.variables["Balance"], "12.50");
//!
//! assert!(import.next_contact().is_none());
//! let report = import.finish();
//! assert_eq!((report.rows, report.imported, report.duplicates, report.invalid), (2, 1, 0, 1));
//! assert_eq!(report.problems[0].to_string(), "row 5, Mobile \"**** ***\": not a phone number (refused)");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod alias;
mod cell;
mod contact;
mod date;
mod dedupe;
mod delimited;
mod delimiter;
mod error;
mod field;
mod header;
mod header_row;
mod importer;
mod message;
mod ods_limits;
mod prompt;
mod report;
mod resolve;
mod row;
mod rules;
mod sheet;
mod table;
mod text;
mod workbook;
mod xls_limits;

pub use self::contact::{ContactTransformer, ImportedContact};
pub use self::error::{ImportError, SheetError};
pub use self::field::Field;
pub use self::header_row::HEADER_SCAN_ROWS;
pub use self::importer::Import;
pub use self::message::MessageRule;
pub use self::prompt::PromptRule;
pub use self::report::{ColumnReport, ImportReport, MAX_PROBLEMS, ProblemReason, RowProblem, Severity};
pub use self::row::{MAX_CELL_BYTES, MAX_COLUMNS, MAX_ROW_BYTES};
pub use self::rules::{DateOrder, Dedupe, ImportRules, Prefer};
pub use self::sheet::{MAX_SPREADSHEET_BYTES, Sheet, SheetFormat};
pub use self::workbook::MAX_UNPACKED_BYTES;
