-- pgbench: the claim alone, by status column.
\set campaign random(0, 19)
UPDATE contact SET state = 1, holder = :client_id::text, held_at = now(), attempts = attempts + 1 WHERE id = ANY (ARRAY(SELECT id FROM contact WHERE campaign = :campaign AND state = 0 AND due_at <= now() ORDER BY priority DESC, due_at, id FOR UPDATE SKIP LOCKED LIMIT :n)) RETURNING id, phone, zone, attempts, variables;
