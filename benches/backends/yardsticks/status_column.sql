-- A status column on a wide row, attempts beside it.
DROP TABLE IF EXISTS contact, attempt;
CREATE TABLE contact AS SELECT * FROM template;
ALTER TABLE contact ADD PRIMARY KEY (id);
CREATE INDEX contact_due ON contact (campaign, priority DESC, due_at, id) WHERE state = 0;
CREATE TABLE attempt (
    id bigserial PRIMARY KEY, contact bigint NOT NULL, campaign int NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(), provider_reference text, status text NOT NULL);
CREATE INDEX attempt_of_contact ON attempt (contact);
VACUUM ANALYZE contact;
CHECKPOINT;
