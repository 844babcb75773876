//! Rows that are written with one statement: a list per column, each one parameter.
//!
//! PostgreSQL takes a list apart value by value, and most columns of a batch have one value. So a [`Bulk`] statement comes in
//! several shapes: where all rows have the same value, it is one parameter and no list.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::connection::{Connection, Statement};
use crate::error::Failure;

/// Rows that are written with one statement.
pub(crate) trait Rows: Sized {
    /// The columns in the order of their declaration.
    const COLUMNS: &'static [Column];

    /// How many.
    fn len(&self) -> usize;

    /// Binds the columns in the order of their declaration.
    fn bind(self, statement: Statement<'_>) -> Statement<'_>;

    /// A bit for each column, the lowest for the first, that is set if all rows have the same value there.
    fn same(&self) -> u64;

    /// Binds one value for each column whose bit is set, and a list for the others.
    fn bind_as(self, statement: Statement<'_>, shape: u64) -> Statement<'_>;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Rows side by side: as many of each, in the same order.
macro_rules! side_by_side {
    ($($name:ident: $rows:ident),+) => {
        impl<$($rows: Rows),+> Rows for ($($rows,)+) {
            const COLUMNS: &'static [Column] = &[];

            fn len(&self) -> usize {
                self.0.len()
            }

            fn bind(self, statement: Statement<'_>) -> Statement<'_> {
                let ($($name,)+) = self;
                $(let statement = $name.bind(statement);)+
                statement
            }

            fn same(&self) -> u64 {
                let ($($name,)+) = self;
                let (mut same, mut place) = (0, 0);
                $(same |= $name.same() << place; place += $rows::COLUMNS.len();)+
                let _ = place;
                same
            }

            fn bind_as(self, statement: Statement<'_>, shape: u64) -> Statement<'_> {
                let ($($name,)+) = self;
                let mut place = 0;
                $(let statement = $name.bind_as(statement, shape >> place); place += $rows::COLUMNS.len();)+
                let _ = place;
                statement
            }
        }
    };
}
side_by_side!(a: A, b: B);
side_by_side!(a: A, b: B, c: C);

/// Writes rows, if there are any. Returns how many were changed.
pub(crate) async fn put(
    connection: &mut Connection,
    statement: &'static str,
    rows: impl Rows,
) -> Result<u64, Failure> {
    if rows.is_empty() {
        return Ok(0);
    }
    connection.run(rows.bind(sqlx::query(statement))).await
}

/// A column of rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) sql: &'static str,
}

/// The names of columns, with commas between them.
pub(crate) fn names(columns: &[Column]) -> String {
    columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", ")
}

/// The most shapes of one statement, beside those for a single row and for lists alone: a connection keeps only so many
/// statements prepared.
const SHAPES_MAX: usize = 12;

/// The shape of lists alone.
const LISTS: u64 = 0;

/// A statement that writes rows, in the shapes in which they came.
pub(crate) struct Bulk {
    columns: Vec<Column>,
    /// The statement that takes its rows, under the name `row`, from this SQL.
    around: fn(&str) -> String,
    shapes: Mutex<Vec<(u64, &'static str)>>,
}

impl Bulk {
    /// The statement around rows with these columns, side by side.
    pub(crate) fn new(columns: &[&[Column]], around: fn(&str) -> String) -> Self {
        let columns: Vec<Column> = columns.iter().copied().flatten().copied().collect();
        assert!(columns.len() <= 64, "a shape has a bit for each column");
        Self { columns, around, shapes: Mutex::default() }
    }

    /// Writes rows, if there are any. Returns how many were changed.
    pub(crate) async fn put(&self, connection: &mut Connection, rows: impl Rows) -> Result<u64, Failure> {
        if rows.is_empty() {
            return Ok(0);
        }
        // Unless there is only one row, something says how many there are.
        let alone = rows.len() == 1;
        let (shape, sql) = self.shape(if alone { u64::MAX } else { rows.same() & !1 });
        connection.run(rows.bind_as(sqlx::query(sql), shape)).await
    }

    /// The SQL that takes lists alone.
    #[cfg(test)]
    pub(crate) fn of_lists(&self) -> &'static str {
        self.shape(LISTS).1
    }

    /// A shape whose single values are among those of the one that is wanted.
    fn shape(&self, wanted: u64) -> (u64, &'static str) {
        let mut shapes = self.shapes.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |(shape, _): &&(u64, &str)| *shape == wanted;
        if let Some(known) = shapes.iter().find(same) {
            return *known;
        }
        let wanted = if wanted == u64::MAX || shapes.len() < SHAPES_MAX {
            wanted
        } else {
            let fitting = shapes.iter().filter(|(shape, _)| shape & !wanted == 0);
            match fitting.max_by_key(|(shape, _)| shape.count_ones()) {
                Some(known) => return *known,
                None => LISTS,
            }
        };
        // Few, and needed until the end.
        let made = (wanted, &*Box::leak((self.around)(&self.rows(wanted)).into_boxed_str()));
        shapes.push(made);
        made
    }

    /// SQL for the rows in this shape, under the name `row`.
    fn rows(&self, shape: u64) -> String {
        let (mut select, mut lists, mut names) = (String::new(), String::new(), String::new());
        for (place, Column { name, sql }) in self.columns.iter().enumerate() {
            let (comma, number) = (if place == 0 { "" } else { ", " }, place + 1);
            // Writing to a string does not fail.
            if shape >> place & 1 == 1 {
                let _ = write!(select, "{comma}${number}::{sql} AS {name}");
            } else {
                let between = if names.is_empty() { "" } else { ", " };
                let _ = write!(select, "{comma}{name}");
                let _ = write!(lists, "{between}${number}::{sql}[]");
                let _ = write!(names, "{between}{name}");
            }
        }
        if names.is_empty() {
            return format!("(SELECT {select}) AS row");
        }
        format!("(SELECT {select} FROM unnest({lists}) AS list({names})) AS row")
    }
}

/// Whether all values are the same.
pub(crate) fn all_same<T: PartialEq>(list: &[T]) -> bool {
    list.windows(2).all(|pair| pair[0] == pair[1])
}

/// A value of a column.
pub(crate) trait Value {
    const SQL: &'static str;
}

impl<T: Value> Value for Option<T> {
    const SQL: &'static str = T::SQL;
}

macro_rules! values {
    ($($type:ty: $sql:literal),+ $(,)?) => {$(
        impl Value for $type {
            const SQL: &'static str = $sql;
        }
    )+};
}

values! {
    Uuid: "uuid", bool: "boolean", i16: "smallint", i64: "bigint", f64: "double precision",
    DateTime<Utc>: "timestamptz", chrono::NaiveDate: "date", String: "text", &str: "text", Cow<'_, str>: "text",
}

/// Declares rows that are written with one statement: a list per column, each one parameter.
macro_rules! rows {
    ($(#[$doc:meta])* $name:ident<$life:lifetime> {
        $first:ident: $first_type:ty, $($column:ident: $type:ty),+ $(,)?
    }) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub(crate) struct $name<$life> {
            $first: Vec<$first_type>,
            $($column: Vec<$type>,)+
            life: std::marker::PhantomData<&$life ()>,
        }

        impl<$life> $crate::rows::Rows for $name<$life> {
            const COLUMNS: &'static [$crate::rows::Column] = &[
                $crate::rows::column!($first: $first_type),
                $($crate::rows::column!($column: $type),)+
            ];

            fn len(&self) -> usize {
                self.$first.len()
            }

            fn bind(self, statement: $crate::connection::Statement<'_>)
                -> $crate::connection::Statement<'_>
            {
                statement.bind(self.$first)$(.bind(self.$column))+
            }

            fn same(&self) -> u64 {
                let (mut same, mut bit) = (u64::from($crate::rows::all_same(&self.$first)), 1);
                $(bit <<= 1; same |= if $crate::rows::all_same(&self.$column) { bit } else { 0 };)+
                let _ = bit;
                same
            }

            fn bind_as(self, statement: $crate::connection::Statement<'_>, shape: u64)
                -> $crate::connection::Statement<'_>
            {
                let statement = $crate::rows::bind_column!(statement, self.$first, shape);
                $(
                    let shape = shape >> 1;
                    let statement = $crate::rows::bind_column!(statement, self.$column, shape);
                )+
                let _ = shape;
                statement
            }
        }
    };
}
pub(crate) use rows;

macro_rules! column {
    ($name:ident: $type:ty) => {
        $crate::rows::Column { name: stringify!($name), sql: <$type as $crate::rows::Value>::SQL }
    };
}
pub(crate) use column;

macro_rules! bind_column {
    ($statement:expr, $list:expr, $shape:expr) => {
        if $shape & 1 == 1 { $statement.bind($list.into_iter().next()) } else { $statement.bind($list) }
    };
}
pub(crate) use bind_column;

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(columns: usize) -> Bulk {
        let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let columns: Vec<_> =
            names.into_iter().take(columns).map(|name| Column { name, sql: "bigint" }).collect();
        Bulk::new(&[&columns], |rows| format!("SELECT * FROM {rows}"))
    }

    #[test]
    fn what_all_rows_have_is_no_list() {
        let bulk = bulk(3);
        assert_eq!(
            bulk.shape(0b010),
            (
                0b010,
                "SELECT * FROM (SELECT a, $2::bigint AS b, c FROM unnest($1::bigint[], $3::bigint[]) AS list(a, c)) AS row"
            )
        );
        assert_eq!(
            bulk.shape(u64::MAX).1,
            "SELECT * FROM (SELECT $1::bigint AS a, $2::bigint AS b, $3::bigint AS c) AS row"
        );
        assert_eq!(
            bulk.of_lists(),
            "SELECT * FROM (SELECT a, b, c FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS list(a, b, c)) AS row"
        );
    }

    #[test]
    fn shapes_are_few_and_what_comes_fits_into_one() {
        let bulk = bulk(8);
        for wanted in (0..128).rev().map(|lists: u64| lists << 1) {
            let (shape, _) = bulk.shape(wanted);
            assert_eq!(shape & !wanted, 0, "what differs is never taken for one value");
        }
        assert_eq!(bulk.shape(u64::MAX).0, u64::MAX);
        assert!(bulk.shapes.lock().unwrap().len() <= SHAPES_MAX + 2);
    }

    #[test]
    fn same_is_told_of_each_column() {
        rows! {
            Pairs<'a> {
                a: i64,
                b: Option<&'static str>,
                c: Option<i64>,
            }
        }
        let pairs = |c: [Option<i64>; 2]| Pairs {
            a: vec![1, 2],
            b: vec![None, None],
            c: c.to_vec(),
            ..Pairs::default()
        };
        assert_eq!(pairs([None, Some(1)]).same(), 0b010);
        assert_eq!((pairs([Some(1); 2]), pairs([Some(1), None])).same(), 0b010_110);
    }
}
