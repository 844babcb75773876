//! That the statements which decide how the store scales use their indexes and touch few rows.

use rivvi_core::domain::{ContactId, RunId};
use rivvi_core::testkit::build;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use crate::connection::connect;
use crate::options::PostgresOptions;
use crate::{PostgresStorage, apply, call, contact, dispatch, gate, journal, table};

const DUE: i64 = 120_000;

/// A schema with a run of many contacts: some due, most asleep, and many that are settled; and some live calls.
struct Scene {
    schema: String,
    connection: PgConnection,
    run: RunId,
}

impl Scene {
    async fn open(name: &str) -> Self {
        let url = std::env::var("RIVVI_TEST_POSTGRES").unwrap_or_else(|_| {
            panic!(
                "RIVVI_TEST_POSTGRES is not set: run scripts/test, or eval \"$(scripts/services env)\" first"
            )
        });
        let schema = format!("plans_{name}_{}", std::process::id());
        let options = PostgresOptions::new(&url).unwrap().schema(&schema).unwrap();
        drop(PostgresStorage::connect_with(options.clone()).await.unwrap());
        let connection = connect(&options.connection(), options.connect_timeout).await.unwrap();
        let mut scene = Self { schema, connection, run: build::run_id(1) };
        let (run, org) = (scene.run, build::org_id(1));
        let first = ContactId::of_row(run, 0).to_string();
        let prefix = &first[..first.len() - 10];
        scene
            .execute(format!(
                "INSERT INTO contacts SELECT ('{prefix}' || lpad(to_hex(n), 10, '0'))::uuid, '{org}', '{run}', \
                   972500000000 + n, now(), '{{}}' FROM generate_series(1, {DUE}) n; \
                 INSERT INTO due SELECT '{run}', 1 + n % 5, now() + (n - 2000) * interval '1 second', \
                   ('{prefix}' || lpad(to_hex(n), 10, '0'))::uuid, '{org}' FROM generate_series(1, {DUE}) n; \
                 INSERT INTO contact_statuses (contact_id, org_id, outcome, settled_at, attempts, not_placed, sequence) \
                   SELECT id, org_id, 'completed', now(), 1, 0, 4 FROM contacts; \
                 INSERT INTO live_calls SELECT gen_random_uuid(), '{org}', '{run}', \
                   ('{prefix}' || lpad(to_hex(n), 10, '0'))::uuid, 972500000000 + n, 97231234567, 1, 'p', 'ref-' || n, \
                   'placed', gen_random_uuid(), 1, now(), now() + n * interval '1 second', now(), now(), now(), now(), \
                   NULL, NULL, NULL, now(), 2, NULL, 1, 0, NULL, NULL, 3, ARRAY[n], now() + n * interval '1 second' \
                   FROM generate_series({DUE} - 4000, {DUE}) n; \
                 INSERT INTO ended_calls SELECT gen_random_uuid(), '{org}', '{run}', \
                   ('{prefix}' || lpad(to_hex(n), 10, '0'))::uuid, 972500000000 + n, 97231234567, 1, 'p', 'old-' || n, \
                   'busy', gen_random_uuid(), 1, now(), NULL, now(), now(), now(), now(), NULL, now(), NULL, now(), 2 \
                   FROM generate_series(1, {DUE}) n; \
                 INSERT INTO call_references SELECT hashtextextended(provider_ref, 0), call_id, org_id FROM live_calls \
                   UNION ALL SELECT hashtextextended(provider_ref, 0), call_id, org_id FROM ended_calls; \
                 INSERT INTO journal (feed, sequence, at, org_id, aggregate, kind, events) \
                   SELECT n, 1, now(), '{org}', id, 'contact', '[]' FROM contacts, generate_series(1, 2) n \
                   ON CONFLICT DO NOTHING; \
                 INSERT INTO org_gates VALUES ('{org}', 0); ANALYZE"
            ))
            .await;
        scene
    }

    async fn execute(&mut self, sql: String) {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.connection).await.unwrap();
    }

    /// What a statement did with these parameters, one step per line. It is undone.
    async fn run(&mut self, sql: &str, parameters: &str) -> String {
        let parameters =
            parameters.replace("RUN", &self.run.to_string()).replace("ORG", &build::org_id(1).to_string());
        self.execute(format!("BEGIN; PREPARE statement AS {sql}")).await;
        let explain =
            format!("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) EXECUTE statement({parameters})");
        let rows = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(&mut self.connection).await.unwrap();
        self.execute("ROLLBACK; DEALLOCATE statement".into()).await;
        rows.iter().map(|row| row.get::<String, _>(0) + "\n").collect()
    }

    /// Values of a column as a parameter.
    async fn array(&mut self, column: &str, from: &str) -> String {
        let sql = format!(
            "SELECT quote_literal(list::text) || '::' || pg_typeof(list) FROM (SELECT ARRAY(SELECT {column} FROM {from}) \
             AS list) all_of_them"
        );
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut self.connection).await.unwrap()
    }

    async fn close(mut self) {
        let drop_it = format!("DROP SCHEMA {} CASCADE", self.schema);
        self.execute(format!("SET client_min_messages = error; {drop_it}")).await;
        self.connection.close().await.unwrap();
    }
}

/// The most rows that one step took from a table or index.
fn most_rows(plan: &str) -> u64 {
    let scans = plan.lines().filter(|line| line.contains("Scan"));
    let rows = scans.filter_map(|line| line.split("actual rows=").nth(1)?.split(' ').next()?.parse().ok());
    rows.max().unwrap_or(0)
}

fn assert_by_index(plan: &str, rows_max: u64) {
    assert!(!plan.contains("Seq Scan") || plan.contains("Seq Scan on journal_clock"), "{plan}");
    assert!(
        !plan.contains("Hash Join") && !plan.contains("Merge Join") && !plan.contains("Bitmap"),
        "{plan}"
    );
    let removed =
        plan.lines().filter_map(|line| line.split("Rows Removed by Filter: ").nth(1)?.parse::<u64>().ok());
    assert!(removed.max().unwrap_or(0) <= rows_max, "rows are not looked at in vain\n{plan}");
    assert!(most_rows(plan) <= rows_max, "{} rows were touched\n{plan}", most_rows(plan));
}

#[tokio::test]
async fn hot_statements_look_up_what_they_need_and_nothing_else() {
    let mut scene = Scene::open("hot").await;
    for limit in [1, 50, 500] {
        let plan = scene.run(dispatch::CLAIM, &format!("'RUN', now(), {limit}")).await;
        assert_by_index(&plan, limit);
        assert!(plan.contains("Index Scan using due_order") && !plan.contains("Sort"), "{plan}");
    }
    let plan = scene.run(dispatch::CLAIM, "'RUN', now() - interval '1 day', 500").await;
    assert_by_index(&plan, 1);

    let live = scene.array("call_id", "live_calls ORDER BY call_id LIMIT 50").await;
    let ended = scene.array("call_id", "ended_calls ORDER BY call_id LIMIT 50").await;
    let mut due = Vec::new();
    for column in ["contact_id", "run_id", "priority", "due_at", "org_id"] {
        due.push(scene.array(column, "due ORDER BY run_id, priority, due_at, contact_id LIMIT 30").await);
    }
    let (first, last) = crate::run::contact_ids(scene.run);
    for (sql, parameters, rows_max) in [
        (gate::LOCK, "ARRAY['ORG']::uuid[]".to_owned(), 1),
        (apply::LIVE, live, 50),
        (apply::ENDED, ended, 50),
        (apply::BY_REFERENCE, "ARRAY['ref-119000', 'old-7']".to_owned(), 2),
        (
            call::TAKE_OVERDUE,
            "now() + interval '116050 seconds', gen_random_uuid(), now(), 50".to_owned(),
            100,
        ),
        (call::NEXT_DUE, "ARRAY['RUN']::uuid[]".to_owned(), 100),
        (contact::OF_RUN, format!("'RUN', '{first}', '{last}', NULL, 100"), 100),
        (journal::OF_AGGREGATE, format!("'{}', 'contact', 0, 100", ContactId::of_row(scene.run, 7)), 1),
        (journal::PAGES_OF_CONTACT, format!("'{}'", ContactId::of_row(scene.run, 119_000)), 2),
        (journal::FEED, "0, 0, 1000000, 1000000, 100, 0".to_owned(), 100),
        (table::DELETE_DUE.of_lists(), due.join(", "), 30),
    ] {
        let plan = scene.run(sql, &parameters).await;
        assert_by_index(&plan, rows_max);
    }
    // Reads the index of the run, and no other row of it.
    let parameters = format!("'RUN', '{first}', '{last}', NULL, 100, 972500000777");
    let plan = scene.run(contact::OF_RUN_AND_NUMBER, &parameters).await;
    assert!(plan.contains("Index Only Scan using contacts_pkey"), "{plan}");
    assert_by_index(&plan, DUE.unsigned_abs());
    let plan = scene.run(dispatch::CAPACITY, "'RUN', 'ORG'").await;
    assert!(plan.contains("live_calls_of_number"), "{plan}");
    assert_by_index(&plan, 4_001);
    scene.close().await;
}
