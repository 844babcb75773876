-- The tables of Rivvi's PostgreSQL store in the schema `yardstick_own`, with 20 active runs and a million contacts that
-- are due. `DELETE` would leave dead rows behind, so what a run before left is truncated.
SET search_path = yardstick_own, yardstick;
TRUNCATE contacts, contact_statuses, due, live_calls, ended_calls, call_references, journal, run_tallies, org_gates, runs;
CREATE TABLE IF NOT EXISTS fixed_ids AS
SELECT n AS campaign,
       ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid AS org_id,
       ('01900000-0000-7000-9000-' || lpad(to_hex(n), 12, '0'))::uuid AS run_id
FROM generate_series(0, 19) n;
INSERT INTO org_gates SELECT org_id, 0 FROM fixed_ids;
INSERT INTO runs (id, org_id, campaign_id, campaign_version, key, status, created_at, total_records, processed_records, document)
SELECT run_id, org_id, run_id, 1, 'yardstick', 'active', now(), 50000, 0, '{}' FROM fixed_ids;
INSERT INTO contacts (id, org_id, run_id, number, due_at, document)
SELECT (lpad(to_hex(campaign + 1048576), 8, '0') || '-0000-7000-8000-' || lpad(to_hex(id), 12, '0'))::uuid,
       org_id, run_id, substr(phone, 2)::bigint, due_at,
       json_build_object('row', id, 'zones', json_build_object('zones', json_build_array(zone)), 'priority', 3,
                         'variables', variables)::text
FROM template JOIN fixed_ids USING (campaign) ORDER BY campaign, id;
INSERT INTO due (run_id, priority, due_at, contact_id, org_id) SELECT run_id, 3, due_at, id, org_id FROM contacts;
VACUUM ANALYZE contacts;
VACUUM ANALYZE due;
CHECKPOINT;
