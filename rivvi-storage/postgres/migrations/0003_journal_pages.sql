-- Journal entries of contacts stand in pages: a row of `journal` for all contacts that one transaction changed, instead of
-- one for each. `aggregate`, `kind` and `sequence` are null then, and `events` tells them for each contact. Entries of
-- everything else, and those of contacts from before this version, are as they were.
ALTER TABLE journal ALTER aggregate DROP NOT NULL, ALTER kind DROP NOT NULL, ALTER sequence DROP NOT NULL,
    ADD size bigint NOT NULL DEFAULT 1;
CREATE UNIQUE INDEX journal_position ON journal (position);
-- Quick to write; a server that was built without it keeps its own way.
DO $$ BEGIN
    ALTER TABLE journal ALTER events SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN NULL;
END $$;

-- In which pages entries of a contact stand, by their positions: on the row that was written with the page.
ALTER TABLE contacts ADD page bigint;
ALTER TABLE contact_statuses ADD pages bigint[] NOT NULL DEFAULT '{}';
ALTER TABLE live_calls ADD pages bigint[] NOT NULL DEFAULT '{}';
ALTER TABLE ended_calls ADD pages bigint[] NOT NULL DEFAULT '{}';
CREATE TABLE purged_contacts (
    contact_id uuid PRIMARY KEY,
    org_id     uuid NOT NULL,
    pages      bigint[] NOT NULL
);

-- The status of a contact that is settled with the end of its call stands with that call. Of several rows that tell the
-- status of a contact, the one with the greatest sequence is right. `replaced` is the sequence that a row had before its
-- last change, by which a writer notices that another one was faster.
ALTER TABLE contact_statuses ADD replaced bigint;
ALTER TABLE ended_calls ADD outcome text, ADD exclusion text, ADD settled_at timestamptz, ADD attempts bigint,
    ADD not_placed bigint, ADD retries text, ADD last_disposition text, ADD sequence bigint;

-- What changes while a call is live stands in no index, so that PostgreSQL changes the row in its page alone. `check_from`
-- is no later than `check_at`, and moves to it when it has passed.
ALTER TABLE live_calls ADD check_from timestamptz;
UPDATE live_calls SET check_from = check_at;
DROP INDEX live_calls_to_check, live_calls_by_reference, ended_calls_by_reference;
CREATE INDEX live_calls_to_check ON live_calls (check_from);

-- Which calls may have a provider's reference, by its hash.
CREATE TABLE call_references (
    hash    bigint NOT NULL,
    call_id uuid NOT NULL,
    org_id  uuid NOT NULL,
    PRIMARY KEY (hash, call_id)
);
INSERT INTO call_references (hash, call_id, org_id)
SELECT hashtextextended(provider_ref, 0), call_id, org_id FROM live_calls WHERE provider_ref IS NOT NULL UNION ALL
SELECT hashtextextended(provider_ref, 0), call_id, org_id FROM ended_calls WHERE provider_ref IS NOT NULL;

DO $$
DECLARE owned text;
BEGIN
    FOREACH owned IN ARRAY ARRAY['purged_contacts', 'call_references'] LOOP
        EXECUTE format('CREATE POLICY organization ON %I USING ('
            '(SELECT current_setting(''rivvi.organization'', true) = ''*'') OR org_id = '
            '(SELECT nullif(nullif(current_setting(''rivvi.organization'', true), ''*''), '''')::uuid))', owned);
    END LOOP;
END $$;
