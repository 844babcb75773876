//! Contact sheets as people send them.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use rivvi_core::domain::Region;
use rivvi_core::import::{
    ContactTransformer, DateOrder, Field, Import, ImportError, ImportReport, ImportRules, ImportedContact,
    MAX_CELL_BYTES, MAX_COLUMNS, MAX_PROBLEMS, ProblemReason, Severity, Sheet, SheetFormat,
};

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn israel() -> ImportRules {
    ImportRules::for_region(Region::new("IL").unwrap())
}

fn israel_with(change: impl FnOnce(&mut ImportRules)) -> ImportRules {
    let mut rules = israel();
    change(&mut rules);
    rules
}

fn rules(json: &str) -> ImportRules {
    serde_json::from_str(json).unwrap()
}

fn run_sheet(sheet: &Sheet, rules: &ImportRules) -> (Vec<ImportedContact>, ImportReport) {
    let mut import = Import::start(sheet, rules, &[]).unwrap();
    let contacts: Vec<ImportedContact> = import.by_ref().map(Result::unwrap).collect();
    let report = import.finish();
    assert!(report.complete);
    assert_eq!(report.rows, report.imported + report.duplicates + report.invalid);
    assert_eq!(report.imported, contacts.len() as u64);
    (contacts, report)
}

fn run(name: &str, bytes: impl AsRef<[u8]>, rules: &ImportRules) -> (Vec<ImportedContact>, ImportReport) {
    run_sheet(&Sheet::from_bytes(name, bytes.as_ref().to_vec()).unwrap(), rules)
}

fn fail(bytes: &str, rules: &ImportRules) -> String {
    let sheet = Sheet::from_bytes("list.csv", bytes.to_owned()).unwrap();
    Import::start(&sheet, rules, &[]).unwrap_err().to_string()
}

fn numbers(contacts: &[ImportedContact]) -> Vec<String> {
    contacts.iter().map(|contact| contact.number.expose()).collect()
}

fn names(contact: &ImportedContact) -> (&str, &str) {
    let person = &contact.person;
    let [first, last] = [&person.first_name, &person.last_name]
        .map(|name| name.as_ref().map_or("", |name| name.expose().as_str()));
    (first, last)
}

fn born(contact: &ImportedContact) -> String {
    contact.person.date_of_birth.as_ref().map(|date| date.expose().to_string()).unwrap_or_default()
}

#[test]
fn real_sheets_give_the_counts_and_numbers_of_libphonenumber() {
    let mut expected: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in std::fs::read_to_string(data("sheets/numbers.tsv")).unwrap().lines() {
        let (sheet, number) = line.split_once('\t').unwrap();
        expected.entry(sheet.to_owned()).or_default().insert(number.to_owned());
    }
    let table = std::fs::read_to_string(data("sheets/expected.tsv")).unwrap();
    let mut sheets = 0;
    for line in table.lines().skip(1) {
        let cells: Vec<&str> = line.split('\t').collect();
        let sheet = Sheet::open(data("sheets").join(cells[0])).unwrap();
        let (contacts, report) = run_sheet(&sheet, &ImportRules::for_region(Region::new(cells[1]).unwrap()));
        let counts = [report.rows, report.imported, report.duplicates, report.invalid].map(|n| n.to_string());
        assert_eq!(counts, cells[2..6], "{}", cells[0]);
        let found: BTreeSet<String> = numbers(&contacts).into_iter().collect();
        assert_eq!(found, expected[cells[0]], "{}", cells[0]);
        assert!(
            contacts.iter().all(|contact| contact.person.first_name.is_some() && !born(contact).is_empty())
        );
        sheets += 1;
    }
    assert_eq!(sheets, 5);
}

#[test]
fn one_list_is_the_same_in_three_spreadsheet_formats() {
    for (file, format) in [
        ("people.xlsx", SheetFormat::Xlsx),
        ("people.xls", SheetFormat::Xls),
        ("people.ods", SheetFormat::Ods),
    ] {
        let sheet = Sheet::open(data(file)).unwrap();
        assert_eq!(sheet.format(), format);
        let (contacts, report) = run_sheet(&sheet, &israel());
        assert_eq!((report.worksheet.as_deref(), report.header_row), (Some("People"), 3), "{file}");
        assert_eq!((report.rows, report.imported, report.duplicates, report.invalid), (5, 3, 1, 1), "{file}");
        assert_eq!(numbers(&contacts), ["+972542345678", "+972542345679", "+97236123456"], "{file}");
        assert_eq!(contacts.iter().map(|contact| contact.row).collect::<Vec<_>>(), [4, 5, 8], "{file}");
        assert_eq!(contacts.iter().map(born).collect::<Vec<_>>(), ["1980-03-05", "1999-12-31", "1960-04-03"]);
        assert_eq!(names(&contacts[2]), ("José", "O'Brien"));
        let dana = &contacts[0].variables;
        let cells = ["נייד", "תאריך לידה", "יתרה", "פעיל", "Note"].map(|key| dana[key].as_str());
        assert_eq!(cells, ["054-234-5678", "1980-03-05", "12.5", "TRUE", " as is "], "{file}");
        assert!(!dana.contains_key("column_3"), "{file}");
        assert_eq!(contacts[1].variables["Note"], "#N/A", "{file}");
        assert_eq!(contacts[1].variables["נייד"], "542345679", "{file}");
        let refused: Vec<_> = report.problems.iter().filter(|p| p.severity == Severity::Refused).collect();
        assert_eq!(
            (refused.len(), refused[0].row, &refused[0].reason),
            (1, 9, &ProblemReason::NoNumber),
            "{file}"
        );
    }
}

#[test]
fn a_worksheet_can_be_named() {
    let sheet = Sheet::open(data("people.xlsx")).unwrap();
    let named = |name: &str| israel_with(|rules| rules.worksheet = Some(name.into()));
    assert_eq!(run_sheet(&sheet, &named("People")).1.imported, 3);
    let error = Import::start(&sheet, &named("Folk"), &[]).unwrap_err().to_string();
    assert!(error.contains("\"Folk\"") && error.contains("\"About\", \"People\""), "{error}");
    assert!(matches!(Import::start(&sheet, &named("About"), &[]), Err(ImportError::NoHeaderRow { .. })));
}

#[test]
fn encodings_delimiters_titles_and_line_breaks() {
    let text = "רשימת לקוחות\r\n\r\nשם פרטי;שם משפחה;מס' טלפון;הערה\r\nדנה;לוי;054-2345678;\"שורה 1\r\nשורה 2\"\r\n\r\n;;;\r\n\
                נועה;כהן;542345679.0;a,b\r\n";
    let (hebrew, _, lossy) = encoding_rs::WINDOWS_1255.encode(text);
    assert!(!lossy);
    let utf16: Vec<u8> =
        std::iter::once(0xFEFF).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let bom = [b"\xEF\xBB\xBF", text.as_bytes()].concat();
    for (bytes, encoding) in [
        (text.as_bytes().to_vec(), "UTF-8"),
        (bom, "UTF-8"),
        (hebrew.into_owned(), "windows-1255"),
        (utf16, "UTF-16LE"),
    ] {
        let (contacts, report) = run("list.csv", bytes, &israel());
        assert_eq!((report.encoding.as_deref(), report.delimiter), (Some(encoding), Some(';')));
        assert_eq!((report.header_row, report.rows, report.blank_rows), (3, 2, 1));
        assert_eq!(numbers(&contacts), ["+972542345678", "+972542345679"]);
        assert_eq!(contacts.iter().map(|contact| contact.row).collect::<Vec<_>>(), [4, 8]);
        assert_eq!(names(&contacts[0]), ("דנה", "לוי"));
        assert_eq!(contacts[0].variables["הערה"], "שורה 1\r\nשורה 2");
        assert_eq!(contacts[1].variables["הערה"], "a,b");
        assert_eq!(contacts[1].variables["מס' טלפון"], "542345679.0");
    }
    for (name, text) in [
        ("a.tsv", "Phone\tName\n0542345678\tA, B\n"),
        ("a.txt", "Phone|Name\n0542345678|A, B\n"),
        ("a.csv", "sep=;\nPhone;Name\n0542345678;A, B\n"),
        ("a.csv", "Phone\n0542345678\n"),
        ("a.csv", "Phone,Name\r0542345678,B\r"),
        // Read with tabs, the last line would be a header row too, "ph" for phone.
        ("a.csv", "Phone,A,B\n0542345678,\t,\"\rph\",\"\t\r\t\",\n"),
    ] {
        assert_eq!(numbers(&run(name, text, &israel()).0), ["+972542345678"], "{text:?}");
    }
}

#[test]
fn the_best_number_of_a_row_is_taken() {
    let text = "Home phone,Mobile,Name\n03-6123456,054-2345678,a\n03-6123457,,b\n03-6123458,n/a,c\nx,y,d\n,#N/A,e\n,,f\n";
    let (contacts, report) = run("list.csv", text, &israel());
    assert_eq!(numbers(&contacts), ["+972542345678", "+97236123457", "+97236123458"]);
    let shown: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "row 4, Mobile \"*/*\": not a phone number (imported all the same)",
            "row 5, Mobile \"*\": not a phone number (refused)",
            "row 6, Mobile \"#*/*\": the spreadsheet shows an error in this cell (refused)",
            "row 7, Mobile: no phone number (refused)",
        ]
    );
}

#[test]
fn all_fields_are_read() {
    let text = "MRN,First,Last,DOB,E-mail,Lang,TZ,Priority,Cell\n\
                A1,Dana,Levi,5.3.80,d@x.org,he,Asia/Jerusalem,5,0542345678\n\
                A2,Noa,Cohen,never,,,Mars/Base,9,0542345679\n";
    let (contacts, report) = run("list.csv", text, &israel());
    let dana = &contacts[0];
    assert_eq!((dana.external_id.as_deref(), dana.priority), (Some("A1"), Some(5)));
    assert_eq!((dana.zone.unwrap().name(), born(dana).as_str()), ("Asia/Jerusalem", "1980-03-05"));
    assert_eq!(dana.person.email.as_ref().unwrap().expose(), "d@x.org");
    assert_eq!(dana.person.language.as_ref().unwrap().expose(), "he");
    assert_eq!((contacts[1].zone, contacts[1].priority, born(&contacts[1]).as_str()), (None, None, ""));
    assert_eq!(report.problems.len(), 3);
    assert!(report.problems.iter().all(|p| p.severity == Severity::Warning && p.row == 3));
    assert_eq!(report.problems[0].value, "*****");
    assert_eq!(report.columns[3].field, Some(Field::DateOfBirth));
    assert_eq!(report.columns[4].filled, 1);
}

#[test]
fn the_order_of_dates_is_that_of_the_column() {
    let sheet = |last: &str| format!("DOB,Phone\n03/04/1980,0542345678\n{last},0542345679\n");
    for (last, rules, order, first) in [
        ("25/12/1980", rules(r#"{"region": "US"}"#), DateOrder::DayFirst, "1980-04-03"),
        ("12/25/1980", israel(), DateOrder::MonthFirst, "1980-03-04"),
        ("01/01/1980", israel(), DateOrder::DayFirst, "1980-04-03"),
        (
            "25/12/1980",
            israel_with(|rules| rules.date_order = DateOrder::MonthFirst),
            DateOrder::MonthFirst,
            "1980-03-04",
        ),
    ] {
        let text = sheet(last).replace("054", "+97254");
        let (contacts, report) = run("list.csv", text, &rules);
        assert_eq!((report.date_order, born(&contacts[0]).as_str()), (Some(order), first), "{last}");
    }
}

#[test]
fn every_original_column_survives() {
    let text = "Phone,Note,,Note,\"Two\nlines\"\n0542345678, x ,unnamed,y,z,beyond\n0542345679,short\n";
    let (contacts, _) = run("list.csv", text, &israel());
    let expected = [
        ("Phone", "0542345678"),
        ("Note", " x "),
        ("column_3", "unnamed"),
        ("Note_2", "y"),
        ("Two lines", "z"),
        ("column_6", "beyond"),
    ];
    let expected: BTreeMap<String, String> = expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    assert_eq!(contacts[0].variables, expected);
    assert_eq!(contacts[1].variables["Note_2"], "");
}

#[test]
fn the_campaign_maps_and_requires_columns() {
    let text = "Line,Who,Owed,Phone\n0542345678,Dana,5,junk\n0542345679,,6,0501234567\n";
    let rules = rules(
        r#"{"region": "IL", "columns": {"phone": "line", "first_name": "Who", "balance": "Owed"},
            "required_fields": ["first_name"]}"#,
    );
    let (contacts, report) = run("list.csv", text, &rules);
    assert_eq!((numbers(&contacts), report.invalid), (vec!["+972542345678".to_owned()], 1));
    assert_eq!((&*contacts[0].variables["balance"], &*contacts[0].variables["Owed"]), ("5", "5"));
    let problem = &report.problems[0];
    assert_eq!((problem.row, problem.column.as_str(), problem.severity), (3, "Who", Severity::Refused));
    assert_eq!(problem.reason, ProblemReason::RequiredEmpty { field: "first_name".into() });

    let error = fail("Phone,Who\n1,2\n", &rules);
    assert!(error.contains("columns.") && error.contains("\"Who\""), "{error}");
    let error =
        fail("Phone\n0542345678\n", &israel_with(|rules| rules.required_fields = vec!["email".into()]));
    assert!(error.contains("\"email\"") && error.contains("columns.email"), "{error}");
    let error = fail("Clinic,Doctor\nNorth,Cohen\n", &israel());
    assert!(error.contains("list.csv") && error.contains("columns.phone"), "{error}");
}

#[test]
fn a_required_field_that_cannot_be_read_refuses_the_row() {
    let rules = israel_with(|rules| rules.required_fields = vec!["date_of_birth".into()]);
    let (contacts, report) = run("list.csv", "Phone,DOB\n0542345678,soon\n0542345679,1.2.1980\n", &rules);
    assert_eq!((contacts.len(), report.invalid, report.problems.len()), (1, 1, 1));
    assert_eq!(report.problems[0].reason, ProblemReason::InvalidDate);
    assert_eq!(report.problems[0].severity, Severity::Refused);
}

const TWICE: &str = "Phone,Name,Email,Note,Date of birth\n0542345678,Dana Levi,,first,1.1.1980\n0542345679,Noa,,,\n\
                     +972542345678,dana  LEVI,d@x.org,,1.1.1980\n054-234-5678,Dan Levi,,the third,2.2.2002\n";

#[test]
fn the_first_or_the_last_row_of_a_number_is_kept() {
    let rows = |rule: &str| {
        let rules = rules(&format!(r#"{{"region": "IL", "dedupe": {rule}}}"#));
        let (contacts, report) = run("list.csv", TWICE, &rules);
        (contacts.iter().map(|contact| contact.row).collect::<Vec<_>>(), report)
    };
    let (first, report) = rows(r#"{"rule": "keep_first"}"#);
    assert_eq!((first, report.duplicates), (vec![2, 3], 2));
    assert_eq!(report.problems[0].reason, ProblemReason::DuplicateOf { kept_row: 2 });
    let (last, report) = rows(r#"{"rule": "keep_last"}"#);
    assert_eq!((last, report.duplicates), (vec![3, 5], 2));
    assert_eq!(report.problems[1].reason, ProblemReason::ReplacedByLaterRow);
    let (people, report) = rows(r#"{"rule": "keep_distinct_people"}"#);
    assert_eq!((people, report.duplicates), (vec![2, 3, 5], 1));
}

#[test]
fn rows_are_merged_by_the_priority_of_each_field() {
    let rules = rules(
        r#"{"region": "IL", "dedupe": {"rule": "merge", "prefer": {"first_name": "last", "Note": "longest"}}}"#,
    );
    let (contacts, report) = run("list.csv", TWICE, &rules);
    assert_eq!((contacts.len(), report.duplicates), (2, 2));
    let dana = contacts.iter().find(|contact| contact.row == 2).unwrap();
    assert_eq!(names(dana), ("Dan", "Levi"));
    assert_eq!(dana.person.email.as_ref().unwrap().expose(), "d@x.org");
    assert_eq!((born(dana).as_str(), dana.variables["Note"].as_str()), ("1980-01-01", "the third"));
    assert_eq!(dana.variables["Email"], "d@x.org");

    let unknown = israel_with(|rules| {
        rules.dedupe = serde_json::from_str(r#"{"rule": "merge", "prefer": {"Shoe size": "last"}}"#).unwrap()
    });
    let error = fail(TWICE, &unknown);
    assert!(error.contains("dedupe.prefer") && error.contains("\"Shoe size\""), "{error}");
}

#[derive(Debug)]
struct NoTestRows;

impl ContactTransformer for NoTestRows {
    fn transform(&self, contact: &mut ImportedContact) -> Result<(), String> {
        if contact.variables.get("Note").is_some_and(|note| note == "test") {
            return Err("a test row".into());
        }
        contact.priority = Some(4);
        Ok(())
    }
}

#[test]
fn the_host_changes_and_refuses_contacts() {
    let sheet = Sheet::from_bytes("a.csv", "Phone,Note\n0542345678,\n0542345679,test\n").unwrap();
    let mut import = Import::start(&sheet, &israel(), &[Arc::new(NoTestRows)]).unwrap();
    assert_eq!(import.next_contact().unwrap().unwrap().priority, Some(4));
    assert!(import.next_contact().is_none());
    let report = import.finish();
    assert_eq!((report.imported, report.invalid), (1, 1));
    assert_eq!(report.problems[0].to_string(), "row 3: a test row (refused)");
}

#[test]
fn limits_refuse_a_row_and_not_the_file() {
    let long = "x".repeat(MAX_CELL_BYTES + 1);
    let wide = ",".repeat(MAX_COLUMNS);
    let text = format!("Phone,Note\n0542345678,{long}\n0542345679{wide}\n\"054\n0542345670,ok\n");
    let (contacts, report) = run("list.csv", text, &israel());
    assert_eq!((numbers(&contacts), report.invalid), (vec!["+972542345670".to_owned()], 3));
    assert_eq!(report.problems[0].reason, ProblemReason::CellTooLong);
    assert_eq!(report.problems[1].reason, ProblemReason::TooManyColumns);
    assert_eq!(report.problems[2].reason, ProblemReason::OpenQuote);
    let error = fail(&format!("Phone{wide}\n1\n"), &israel());
    assert!(error.contains("1000 columns"), "{error}");
}

#[test]
fn the_list_of_problems_is_bounded_and_their_count_is_not() {
    let mut text = "Phone\n0542345678\n".to_owned();
    for _ in 0..MAX_PROBLEMS + 10 {
        text.push_str("n/a\n0542345678\n");
    }
    let (_, report) = run("list.csv", text, &israel());
    let of = |severity| report.problems.iter().filter(|problem| problem.severity == severity).count();
    assert_eq!((of(Severity::Refused), of(Severity::Duplicate)), (MAX_PROBLEMS, MAX_PROBLEMS));
    assert_eq!(report.problems_total, 2 * (MAX_PROBLEMS as u64 + 10));
    assert_eq!(report.invalid, MAX_PROBLEMS as u64 + 10);
}

#[test]
fn without_a_region_only_international_numbers_are_valid() {
    let (contacts, report) = run("a.csv", "Phone\n0542345678\n+972 54-234-5678\n", &ImportRules::default());
    assert_eq!((numbers(&contacts), report.invalid), (vec!["+972542345678".to_owned()], 1));
}

#[test]
fn nothing_personal_is_in_reports_and_debug() {
    let text = "Phone,Name,DOB,TZ,Priority\n0501234567890,Dana,5 Smarch,Dana Levi,0542345678\n\
                0542345678,Dana,Levi 1980,Dana/Levi 7,Levi\n0542345678,Dana,,,\n";
    let sheet = Sheet::from_bytes("a.csv", text).unwrap();
    let mut import = Import::start(&sheet, &israel(), &[]).unwrap();
    let contact = import.next_contact().unwrap().unwrap();
    let debug = format!("{contact:?} {import:?} {sheet:?}");
    assert!(import.next_contact().is_none());
    let report = import.finish();
    let all = format!("{debug} {report} {report:?} {}", serde_json::to_string(&report).unwrap());
    for secret in ["Dana", "Levi", "4567", "5678", "1980", "Smarch"] {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
}

#[test]
fn a_report_survives_json() {
    let (_, report) = run("list.csv", TWICE, &israel());
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<ImportReport>(&json).unwrap(), report);
    let shown = report.to_string();
    assert!(
        shown.starts_with("list.csv (csv, UTF-8, separated by ',', headers in row 1)\n4 rows: 2 imported"),
        "{shown}"
    );
}
