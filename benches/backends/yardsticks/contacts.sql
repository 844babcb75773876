-- A million contacts of 20 campaigns, kept as a template; `due` and `attempt` tables are made from it for each run.
CREATE TABLE IF NOT EXISTS template AS
SELECT n AS id,
       (n % 20)::int AS campaign,
       '+97252' || lpad((n % 10000000)::text, 7, '0') AS phone,
       (ARRAY['Asia/Jerusalem', 'America/New_York', 'Europe/London'])[1 + n % 3] AS zone,
       0::smallint AS state,
       (n % 3)::smallint AS priority,
       0::smallint AS attempts,
       now() - random() * interval '1 day' AS due_at,
       NULL::text AS holder,
       NULL::timestamptz AS held_at,
       NULL::text AS outcome,
       NULL::timestamptz AS settled_at,
       jsonb_build_object('first_name', 'Name' || n % 5000, 'balance', n % 10000, 'reference', md5(n::text)) AS variables
FROM generate_series(1, 1000000) n;
