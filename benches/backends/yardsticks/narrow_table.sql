-- A narrow table of what is due, whose rows go when they are taken; attempts are appended.
DROP TABLE IF EXISTS due, attempt_narrow;
CREATE TABLE due AS SELECT id, campaign, priority, due_at FROM template;
CREATE INDEX due_order ON due (campaign, priority DESC, due_at, id);
CREATE TABLE attempt_narrow (
    id bigserial PRIMARY KEY, contact bigint NOT NULL, campaign int NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(), provider_reference text, outcome text, status text NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX IF NOT EXISTS template_id ON template (id);
VACUUM ANALYZE due;
ANALYZE template;
CHECKPOINT;
