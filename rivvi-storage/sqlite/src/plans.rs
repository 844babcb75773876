//! That the statements which decide how the store scales use their indexes.

use sqlx::AssertSqlSafe;

use crate::SqliteStorage;
use crate::dispatch::CLAIM;
use crate::value::Columns;
use crate::write::{DELETE_CHECKS, DELETE_DUE, DELETE_LIVE};

/// The steps of the plan, one per line.
async fn plan(sql: &str) -> String {
    let store = SqliteStorage::open_in_memory().await.unwrap();
    let query = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")));
    let rows = query.fetch_all(&mut *store.reader().await.unwrap()).await.unwrap();
    rows.iter().map(|row| row.text(3).unwrap().to_owned() + "\n").collect()
}

#[tokio::test]
async fn claim_reads_each_priority_from_its_place_in_the_key_without_sorting() {
    let plan = plan(CLAIM).await;
    let ranges = plan.matches("SEARCH due USING PRIMARY KEY (run_id=? AND priority=? AND due_at<?)").count();
    assert_eq!(ranges, 5, "{plan}");
    assert!(!plan.contains("SCAN due"), "{plan}");
    assert!(!plan.contains("SCAN c\n") && !plan.contains("SCAN s\n"), "{plan}");
    assert!(!plan.contains("TEMP B-TREE"), "{plan}");
}

#[tokio::test]
async fn deleting_a_batch_looks_up_each_key() {
    for (table, sql) in [
        ("due", DELETE_DUE.sql(2)),
        ("live_calls", DELETE_LIVE.sql(2)),
        ("call_checks", DELETE_CHECKS.sql(2)),
    ] {
        let plan = plan(&sql).await;
        assert!(plan.contains(&format!("SEARCH {table} USING PRIMARY KEY")), "{plan}");
        assert!(!plan.contains(&format!("SCAN {table}")), "{plan}");
    }
}

#[tokio::test]
async fn every_statement_that_looks_things_up_has_an_index_for_it() {
    for sql in [
        "SELECT count(*) FROM live_calls WHERE org_id = ?1",
        "SELECT count(*) FROM live_calls WHERE run_id = ?1",
        "SELECT call_id FROM live_calls WHERE run_id = ? AND call_id > ? ORDER BY call_id LIMIT ?",
        "SELECT check_at, call_id FROM call_checks WHERE check_at <= ? ORDER BY check_at, call_id LIMIT ?",
        "SELECT contact_id FROM due WHERE run_id = ?1 ORDER BY priority, due_at, contact_id LIMIT ?2",
        "SELECT id FROM contacts c WHERE c.number = ?6 AND c.id > ?1 AND c.id <= ?3 ORDER BY c.id LIMIT ?5",
        "SELECT id FROM contacts c WHERE c.id > ?1 AND c.id <= ?3 ORDER BY c.id LIMIT ?5",
        "SELECT id FROM runs WHERE id > ? AND org_id = ? ORDER BY id LIMIT ?",
        "SELECT id FROM runs WHERE id > ? AND campaign_id = ? ORDER BY id LIMIT ?",
        "SELECT position FROM journal WHERE aggregate = ? AND kind = ? AND sequence > ? ORDER BY sequence LIMIT ?",
        "SELECT id FROM inbox WHERE due_at <= ? ORDER BY due_at, id LIMIT ?",
        "SELECT id FROM people WHERE org_id = ? AND id > ? ORDER BY id LIMIT ?",
    ] {
        let plan = plan(sql).await;
        assert!(plan.starts_with("SEARCH") && !plan.contains("SCAN"), "{sql}\n{plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{sql}\n{plan}");
    }
}
