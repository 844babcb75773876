//! Rows that are written with one statement: a list per column, each one parameter.
//!
//! PostgreSQL takes a list apart value by value, and most columns of a batch have one value. So [`Rows::bind_short`] leaves
//! out what [`short`] fills in again: a list of nothing but nulls is empty, and one of equal values has one.

use std::borrow::Cow;
use std::fmt::Write as _;

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

    /// The same for a statement that takes them from [`short`]. The first column of the first rows stays as long as there
    /// are rows.
    fn bind_short(self, statement: Statement<'_>, first: bool) -> Statement<'_>;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

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

/// The same for a statement that takes the rows from [`short`].
pub(crate) async fn put_short(
    connection: &mut Connection,
    statement: &'static str,
    rows: impl Rows,
) -> Result<u64, Failure> {
    if rows.is_empty() {
        return Ok(0);
    }
    connection.run(rows.bind_short(sqlx::query(statement), true)).await
}

/// A column of rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) sql: &'static str,
    pub(crate) nullable: bool,
}

/// SQL for the rows that these columns give, bound one after the other, under the name `row`.
pub(crate) fn short(rows: &[&[Column]]) -> String {
    let columns: Vec<&Column> = rows.iter().copied().flatten().collect();
    let (mut select, mut lists, mut names) = (String::new(), String::new(), String::new());
    for (place, Column { name, sql, nullable }) in columns.into_iter().enumerate() {
        let (comma, number) = (if place == 0 { "" } else { ", " }, place + 1);
        let filled = if place == 0 || *nullable {
            (*name).to_owned()
        } else {
            format!("coalesce({name}, (${number}::{sql}[])[1]) AS {name}")
        };
        // Writing to a string does not fail.
        let _ = write!(select, "{comma}{filled}");
        let _ = write!(lists, "{comma}${number}::{sql}[]");
        let _ = write!(names, "{comma}{name}");
    }
    format!("(SELECT {select} FROM unnest({lists}) AS list({names})) AS row")
}

/// The names of columns, with commas between them.
pub(crate) fn names(columns: &[Column]) -> String {
    columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", ")
}

/// Leaves out what [`short`] fills in.
pub(crate) fn shorten<T: Value + PartialEq>(list: &mut Vec<T>) {
    if T::NULLABLE {
        if list.iter().all(Value::is_null) {
            list.clear();
        }
    } else if list.windows(2).all(|pair| pair[0] == pair[1]) {
        list.truncate(1);
    }
}

/// A value of a column.
pub(crate) trait Value {
    const SQL: &'static str;
    const NULLABLE: bool = false;

    fn is_null(&self) -> bool {
        false
    }
}

impl<T: Value> Value for Option<T> {
    const SQL: &'static str = T::SQL;
    const NULLABLE: bool = true;

    fn is_null(&self) -> bool {
        self.is_none()
    }
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

            fn bind_short(mut self, statement: $crate::connection::Statement<'_>, first: bool)
                -> $crate::connection::Statement<'_>
            {
                if !first {
                    $crate::rows::shorten(&mut self.$first);
                }
                $($crate::rows::shorten(&mut self.$column);)+
                self.bind(statement)
            }
        }
    };
}
pub(crate) use rows;

macro_rules! column {
    ($name:ident: $type:ty) => {
        $crate::rows::Column {
            name: stringify!($name),
            sql: <$type as $crate::rows::Value>::SQL,
            nullable: <$type as $crate::rows::Value>::NULLABLE,
        }
    };
}
pub(crate) use column;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_as_short_as_they_can_be_filled_in_again() {
        let shortened = |list: &[i64]| {
            let mut list = list.to_vec();
            shorten(&mut list);
            list
        };
        assert_eq!(
            (shortened(&[7, 7, 7]), shortened(&[7, 7, 8]), shortened(&[7])),
            (vec![7], vec![7, 7, 8], vec![7])
        );
        let shortened = |list: &[Option<i64>]| {
            let mut list = list.to_vec();
            shorten(&mut list);
            list
        };
        assert_eq!(shortened(&[None, None]), []);
        assert_eq!(
            shortened(&[Some(1), Some(1)]),
            [Some(1), Some(1)],
            "or nulls could not be told from what is filled in"
        );
        assert_eq!(shortened(&[None, Some(1)]), [None, Some(1)]);
    }

    #[test]
    fn statement_names_each_list_once_and_fills_in_what_is_never_null() {
        let column = |name, nullable| Column { name, sql: "bigint", nullable };
        let sql = short(&[&[column("a", false), column("b", false)], &[column("c", true)]]);
        assert_eq!(
            sql,
            "(SELECT a, coalesce(b, ($2::bigint[])[1]) AS b, c \
              FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS list(a, b, c)) AS row"
        );
    }
}
