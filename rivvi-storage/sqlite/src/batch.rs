//! Writing many rows with few statements.
//!
//! Each statement is a trip to the thread of its connection and back, so rows go in chunks: a statement with one
//! group of placeholders per row, for a power of two of rows. There are few such sizes, so the connection keeps
//! them all prepared.

use chrono::{DateTime, Utc};
use rivvi_core::domain::E164;
use sqlx::error::BoxDynError;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments, AssertSqlSafe, SqliteConnection};

use crate::error::Failure;
use crate::value::{Id, digits, nanos};

/// A statement over rows of `WIDTH` values: `head`, then `(?,?,...),(?,?,...),...`, then `tail`.
#[derive(Debug)]
pub(crate) struct Batch<const WIDTH: usize> {
    /// Up to and with `VALUES`.
    pub(crate) head: &'static str,
    /// What follows the rows.
    pub(crate) tail: &'static str,
}

/// The largest chunk. 128 rows of 7 values stay far below SQLite's 32,766 parameters.
const CHUNK_MAX: usize = 128;

impl<const WIDTH: usize> Batch<WIDTH> {
    /// Runs the statement over all rows, in their order.
    pub(crate) async fn run(
        &self,
        connection: &mut SqliteConnection,
        rows: Vec<[Value; WIDTH]>,
    ) -> Result<(), Failure> {
        let mut rows = rows.into_iter();
        while rows.len() > 0 {
            let size = chunk_size(rows.len());
            let mut arguments = SqliteArguments::default();
            arguments.reserve(size * WIDTH, 0);
            for value in rows.by_ref().take(size).flatten() {
                value.add_to(&mut arguments).map_err(sqlx::Error::Encode)?;
            }
            sqlx::query_with(AssertSqlSafe(self.sql(size)), arguments).execute(&mut *connection).await?;
        }
        Ok(())
    }

    /// The statement for so many rows.
    pub(crate) fn sql(&self, rows: usize) -> String {
        let mut sql = String::with_capacity(self.head.len() + rows * (2 * WIDTH + 2) + self.tail.len());
        sql.push_str(self.head);
        for row in 0..rows {
            sql.push_str(if row == 0 { "(?" } else { ",(?" });
            (1..WIDTH).for_each(|_| sql.push_str(",?"));
            sql.push(')');
        }
        sql.push_str(self.tail);
        sql
    }
}

/// The largest power of two of rows that fits.
fn chunk_size(rows: usize) -> usize {
    1 << rows.min(CHUNK_MAX).ilog2()
}

/// One value of a row.
#[derive(Debug)]
pub(crate) enum Value {
    Blob(Vec<u8>),
    Int(i64),
    Text(String),
}

impl Value {
    fn add_to(self, arguments: &mut SqliteArguments) -> Result<(), BoxDynError> {
        match self {
            Self::Blob(bytes) => arguments.add(bytes),
            Self::Int(int) => arguments.add(int),
            Self::Text(text) => arguments.add(text),
        }
    }
}

impl<I: Id> From<I> for Value {
    fn from(id: I) -> Self {
        Self::Blob(id.blob())
    }
}

impl From<i64> for Value {
    fn from(int: i64) -> Self {
        Self::Int(int)
    }
}

impl From<E164> for Value {
    fn from(number: E164) -> Self {
        Self::Int(digits(number))
    }
}

impl From<DateTime<Utc>> for Value {
    fn from(at: DateTime<Utc>) -> Self {
        Self::Int(nanos(at))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_powers_of_two() {
        assert_eq!([1, 2, 3, 64, 127, 128, 500].map(chunk_size), [1, 2, 2, 64, 64, 128, 128]);
    }

    #[test]
    fn rows_become_groups_of_placeholders() {
        let batch = Batch::<2> { head: "INSERT INTO t VALUES ", tail: " ON CONFLICT DO NOTHING" };
        assert_eq!(batch.sql(2), "INSERT INTO t VALUES (?,?),(?,?) ON CONFLICT DO NOTHING");
    }
}
