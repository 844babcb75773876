//! What an import promises for any sheet.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use rivvi_core::domain::{E164, Region};
use rivvi_core::import::{Dedupe, Import, ImportReport, ImportRules, ImportedContact, Sheet};

fn israel(dedupe: Dedupe) -> ImportRules {
    let mut rules = ImportRules::for_region(Region::new("IL").unwrap());
    rules.dedupe = dedupe;
    rules
}

fn run(text: Vec<u8>, rules: &ImportRules) -> (Vec<ImportedContact>, ImportReport) {
    let sheet = Sheet::from_bytes("table.csv", text).unwrap();
    let mut import = Import::start(&sheet, rules, &[]).unwrap();
    let contacts = import.by_ref().map(Result::unwrap).collect();
    (contacts, import.finish())
}

/// Phone cells: few valid numbers in several forms, so that duplicates are frequent, and junk.
fn phone() -> impl Strategy<Value = String> {
    prop_oneof![
        (0..6u32).prop_map(|n| format!("054-234567{n}")),
        (0..6u32).prop_map(|n| format!("+97254234567{n}")),
        (0..6u32).prop_map(|n| format!("54234567{n}.0")),
        Just(String::new()),
        "[a-z0-9 +/-]{0,12}",
    ]
}

#[derive(Debug, Clone)]
struct Table {
    headers: Vec<String>,
    rows: Vec<Vec<String>>,
    phone_column: usize,
}

impl Table {
    fn csv(&self) -> Vec<u8> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(&self.headers).unwrap();
        for row in &self.rows {
            writer.write_record(row).unwrap();
        }
        writer.into_inner().unwrap()
    }

    /// Rows that are rows: a row whose cells are all blank is not one.
    fn counted(&self) -> impl Iterator<Item = &Vec<String>> {
        self.rows.iter().filter(|row| row.iter().any(|cell| !cell.trim().is_empty()))
    }

    fn number(&self, row: &[String]) -> Option<E164> {
        E164::parse(&row[self.phone_column], Region::new("IL").unwrap()).ok()
    }
}

/// A table of a phone column among columns with any text, also delimiters, quotes, line breaks and Hebrew.
fn table() -> impl Strategy<Value = Table> {
    (1usize..6, 0usize..6).prop_flat_map(|(width, at)| {
        let phone_column = at % width;
        let others = prop::collection::vec("[a-zא-ת ,;\"'|\t\r\n=+.-]{0,12}", width);
        let rows = prop::collection::vec((phone(), others), 0..25);
        rows.prop_map(move |rows| {
            let header = |column: usize| {
                if column == phone_column { "Phone".into() } else { format!("Field {}x", column) }
            };
            let fill = |(phone, mut cells): (String, Vec<String>)| {
                cells[phone_column] = phone;
                cells
            };
            Table {
                headers: (0..width).map(header).collect(),
                rows: rows.into_iter().map(fill).collect(),
                phone_column,
            }
        })
    })
}

fn any_rule() -> impl Strategy<Value = Dedupe> {
    prop_oneof![
        Just(Dedupe::KeepFirst),
        Just(Dedupe::KeepLast),
        Just(serde_json::from_str(r#"{"rule": "merge", "otherwise": "last"}"#).unwrap()),
        Just(Dedupe::KeepDistinctPeople),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Every valid row is extracted with its number and every original cell, exactly as written.
    #[test]
    fn property_01_contact_extraction_completeness(table in table()) {
        let (contacts, report) = run(table.csv(), &israel(Dedupe::KeepFirst));
        let mut seen = BTreeSet::new();
        let expected = table.counted().filter_map(|row| Some((table.number(row)?, row)));
        let expected: Vec<_> = expected.filter(|(number, _)| seen.insert(*number)).collect();
        prop_assert_eq!(contacts.len(), expected.len());
        for (contact, (number, row)) in contacts.iter().zip(expected) {
            prop_assert_eq!(contact.number, number);
            let cells: BTreeMap<String, String> = table.headers.iter().cloned().zip(row.iter().cloned()).collect();
            prop_assert_eq!(&contact.variables, &cells);
        }
        prop_assert_eq!(report.columns.len(), table.headers.len());
    }

    /// No number comes out twice, every valid number comes out, from the row that the rule names; what came out has no
    /// duplicates when it is imported again.
    #[test]
    fn property_04_deduplication_rule_compliance(table in table(), rule in any_rule()) {
        let (contacts, _) = run(table.csv(), &israel(rule.clone()));
        let mut groups: BTreeMap<E164, Vec<&Vec<String>>> = BTreeMap::new();
        for row in table.counted() {
            if let Some(number) = table.number(row) {
                groups.entry(number).or_default().push(row);
            }
        }
        let found: BTreeSet<E164> = contacts.iter().map(|contact| contact.number).collect();
        prop_assert_eq!(found.len(), contacts.len());
        prop_assert_eq!(&found, &groups.keys().copied().collect());
        for contact in &contacts {
            let rows = &groups[&contact.number];
            for (index, header) in table.headers.iter().enumerate() {
                let mut cells = rows.iter().map(|row| row[index].as_str());
                let filled = |cell: &&str| !cell.trim().is_empty();
                let expected = match &rule {
                    Dedupe::KeepLast => cells.next_back().unwrap_or_default(),
                    Dedupe::Merge { .. } if rows.len() > 1 => cells.rfind(filled).unwrap_or_default(),
                    _ => cells.next().unwrap_or_default(),
                };
                prop_assert_eq!(&contact.variables[header], expected);
            }
        }
        let again = Table { rows: contacts.iter().map(|c| vec![c.number.expose()]).collect(), ..table };
        let again = Table { headers: vec!["Phone".into()], phone_column: 0, ..again };
        let (twice, report) = run(again.csv(), &israel(rule));
        prop_assert_eq!((twice.len(), report.duplicates, report.invalid), (contacts.len(), 0, 0));
    }

    /// The counts add up, and each refused or duplicate row is reported once.
    #[test]
    fn property_05_import_summary_accuracy(table in table(), rule in any_rule()) {
        let (contacts, report) = run(table.csv(), &israel(rule));
        let valid = table.counted().filter(|row| table.number(row).is_some()).count() as u64;
        prop_assert_eq!(report.rows, table.counted().count() as u64);
        prop_assert_eq!(report.rows, report.imported + report.duplicates + report.invalid);
        prop_assert_eq!(report.imported, contacts.len() as u64);
        prop_assert_eq!(report.invalid, report.rows - valid);
        prop_assert_eq!(report.problems_total, report.invalid + report.duplicates);
        prop_assert_eq!(report.problems.len() as u64, report.problems_total);
        let rows: BTreeSet<u64> = report.problems.iter().map(|problem| problem.row).collect();
        prop_assert_eq!(rows.len(), report.problems.len());
    }

    /// No bytes make the import panic, and the counts add up all the same.
    #[test]
    fn any_text_is_imported_or_refused(
        mut bytes in prop::collection::vec(any::<u8>(), 1..600),
        headed: bool,
        rule in any_rule(),
    ) {
        if headed {
            bytes.splice(0..0, *b"Name,Phone\n");
        }
        let Ok(sheet) = Sheet::from_bytes("bytes.csv", bytes) else { return Ok(()) };
        let Ok(mut import) = Import::start(&sheet, &israel(rule), &[]) else { return Ok(()) };
        while import.next_contact().is_some() {}
        let report = import.finish();
        prop_assert_eq!(report.rows, report.imported + report.duplicates + report.invalid);
    }

    /// No damage to a workbook makes the import panic.
    #[test]
    fn any_workbook_is_imported_or_refused(
        file in prop::sample::select(vec!["people.xlsx", "people.xls", "people.ods"]),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(file);
        let mut bytes = std::fs::read(path).unwrap();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()) + 1);
        }
        let Ok(sheet) = Sheet::from_bytes(file, bytes) else { return Ok(()) };
        let Ok(mut import) = Import::start(&sheet, &israel(Dedupe::KeepFirst), &[]) else { return Ok(()) };
        while import.next_contact().is_some() {}
        let report = import.finish();
        prop_assert_eq!(report.rows, report.imported + report.duplicates + report.invalid);
    }
}
