-- A million finished contacts of another organization in the tables of the schema in `search_path`.
INSERT INTO contacts (id, org_id, run_id, number, due_at, document, page)
SELECT ('00f00000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, '00f00000-0000-7000-8000-000000000000',
       '00f00000-0000-7000-9000-000000000000', 972540000000 + n, now(),
       '{"row":1,"zones":{"zones":["Asia/Jerusalem"]},"priority":3,"variables":{"balance":"100","code":"a1"}}', 1 + n / 500
FROM generate_series(1, 1000000) n;
INSERT INTO ended_calls (call_id, org_id, run_id, contact_id, number, caller_id, attempt, provider, disposition,
  lease_node, lease_token, lease_until, dial_before, intended_at, asked_at, placed_at, ended_at, attempt_at, began, pages,
  outcome, settled_at, attempts, not_placed, last_disposition, sequence)
SELECT ('00f10000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, org_id, run_id, id, number, 972520000001, 1,
       'instant', 'answered_human', org_id, 1, now(), now(), now(), now(), now(), now(), now(), 3,
       ARRAY[page, page, page], 'completed', now(), 1, 0, 'answered_human', 6
FROM (SELECT row_number() OVER (ORDER BY id) AS n, * FROM contacts WHERE org_id = '00f00000-0000-7000-8000-000000000000') c;
INSERT INTO journal (feed, at, org_id, size, events)
SELECT 1, now(), '00f00000-0000-7000-8000-000000000000', 500,
       (SELECT '[' || string_agg(format('{"c":"%s","s":%s,"t":1772400000000000,"e":[{"event":"call_changed"}]}',
          md5((page * 500 + n)::text)::uuid, n), ',') || ']' FROM generate_series(1, 500) n)
FROM generate_series(1, 6000) page;
VACUUM ANALYZE contacts;
VACUUM ANALYZE ended_calls;
CHECKPOINT;
