-- pgbench: claim by status column, begin an attempt, end it, write the outcome; three transactions.
\set campaign random(0, 19)
WITH claimed AS (UPDATE contact SET state = 1, holder = :client_id::text, held_at = now(), attempts = attempts + 1 WHERE id = ANY (ARRAY(SELECT id FROM contact WHERE campaign = :campaign AND state = 0 AND due_at <= now() ORDER BY priority DESC, due_at, id FOR UPDATE SKIP LOCKED LIMIT :n)) RETURNING id, phone, zone, attempts, variables), begun AS (INSERT INTO attempt (contact, campaign, status) SELECT id, :campaign, 'dialing' FROM claimed) SELECT coalesce(array_agg(id), '{}')::text AS ids FROM claimed \gset
UPDATE attempt SET status = 'ended', provider_reference = 'CA' || contact WHERE contact = ANY (':ids'::bigint[]) AND status = 'dialing';
UPDATE contact SET state = 2, outcome = 'completed', settled_at = now(), holder = NULL WHERE id = ANY (':ids'::bigint[]);
