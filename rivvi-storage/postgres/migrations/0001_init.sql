-- Conventions
--   numbers     the digits of E.164 without the plus sign, in the columns `number` and `caller_id`
--   instants    timestamptz, to the microsecond
--   document    the thing itself as JSON; the columns beside it are for people and for queries
--   org_id      whose row it is; row-level security looks at nothing else
--
-- What changes often is narrow and in tables of its own, so that wide rows are written once. A row never references
-- another table: the stores of an engine may lie in different databases, and a check per row costs more than the row.

-- Catalog

CREATE TABLE organizations (
    id                    uuid PRIMARY KEY,
    name                  text NOT NULL,
    outbound_phone        text NOT NULL,
    timezone              text NOT NULL,
    office_hours          jsonb,
    concurrent_call_limit bigint NOT NULL DEFAULT 20,
    document              text NOT NULL
);

CREATE TABLE campaigns (
    id                 uuid NOT NULL,
    version            bigint NOT NULL,
    org_id             uuid NOT NULL,
    name               text NOT NULL,
    agent_id           text,
    required_fields    jsonb,
    campaign_variables jsonb,
    validation_rules   jsonb,
    document           text NOT NULL,
    PRIMARY KEY (id, version)
);
CREATE INDEX campaigns_of_organization ON campaigns (org_id, id, version);

-- Runs

-- One row per organization, locked by every transaction that begins a call, changes a run or the suppression list: so
-- limits, caps and suppression are exact. `sequence` is that of the organization's last journal entry.
CREATE TABLE org_gates (
    org_id   uuid PRIMARY KEY,
    sequence bigint NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE runs (
    id                 uuid PRIMARY KEY,
    org_id             uuid NOT NULL,
    campaign_id        uuid NOT NULL,
    campaign_version   bigint NOT NULL,
    key                text NOT NULL,
    status             text NOT NULL,
    raw_file_url       text,
    processed_file_url text,
    created_at         timestamptz NOT NULL,
    start_time         timestamptz,
    end_time           timestamptz,
    total_records      bigint NOT NULL,
    processed_records  bigint NOT NULL,
    document           text NOT NULL,
    UNIQUE (campaign_id, key)
);
CREATE INDEX runs_of_organization ON runs (org_id, id);
CREATE INDEX runs_of_campaign ON runs (campaign_id, id);
CREATE INDEX runs_with_status ON runs (status, id);

-- The counts of a run are the sums over its shards; who writes uses the shard of its connection, so that writers do not
-- wait for each other. What stands at which place of `counts`: see `tally.rs`.
CREATE TABLE run_tallies (
    run_id         uuid NOT NULL,
    shard          smallint NOT NULL,
    org_id         uuid NOT NULL,
    live_calls_max bigint NOT NULL,
    counts         bigint[] NOT NULL,
    PRIMARY KEY (run_id, shard)
) WITH (fillfactor = 20);

-- Contacts

-- As imported; never changed. The number stands in the index, so that looking for one reads a range of a run in order.
CREATE TABLE contacts (
    id       uuid NOT NULL,
    org_id   uuid NOT NULL,
    run_id   uuid NOT NULL,
    number   bigint NOT NULL,
    due_at   timestamptz NOT NULL,
    document text NOT NULL,
    PRIMARY KEY (id) INCLUDE (number)
);

-- The status since, of contacts that have changed and have no live call; while there is one, it stands there. The contact
-- waits until `due_at`, or is called by `call_id`, or has its `outcome`.
CREATE TABLE contact_statuses (
    contact_id       uuid PRIMARY KEY,
    org_id           uuid NOT NULL,
    due_at           timestamptz,
    call_id          uuid,
    outcome          text,
    exclusion        text,
    settled_at       timestamptz,
    attempts         bigint NOT NULL,
    not_placed       bigint NOT NULL,
    retries          text,
    last_disposition text,
    sequence         bigint NOT NULL
) WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.05);

-- Every waiting contact, in the order in which contacts are taken. A row leaves when its contact is taken.
CREATE TABLE due (
    run_id     uuid NOT NULL,
    priority   smallint NOT NULL,
    due_at     timestamptz NOT NULL,
    contact_id uuid NOT NULL,
    org_id     uuid NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
CREATE UNIQUE INDEX due_order ON due (run_id, priority, due_at, contact_id);

-- Calls

-- Calls that have not ended, each with the status of its contact: small, however many calls there were. The number is the
-- rule: at most one live call to a number in an organization. `began` is the sequence of the journal entry that tells of
-- the intent; `attempt_at` is set while the call counts as an attempt at its number.
CREATE TABLE live_calls (
    call_id          uuid PRIMARY KEY,
    org_id           uuid NOT NULL,
    run_id           uuid NOT NULL,
    contact_id       uuid NOT NULL,
    number           bigint NOT NULL,
    caller_id        bigint NOT NULL,
    attempt          bigint NOT NULL,
    provider         text NOT NULL,
    provider_ref     text,
    state            text NOT NULL,
    lease_node       uuid NOT NULL,
    lease_token      bigint NOT NULL,
    lease_until      timestamptz NOT NULL,
    check_at         timestamptz,
    dial_before      timestamptz NOT NULL,
    intended_at      timestamptz NOT NULL,
    asked_at         timestamptz NOT NULL,
    placed_at        timestamptz,
    answered_at      timestamptz,
    ended_at         timestamptz,
    detail           text,
    attempt_at       timestamptz,
    began            bigint NOT NULL,
    contact_state    text,
    attempts         bigint NOT NULL,
    not_placed       bigint NOT NULL,
    retries          text,
    last_disposition text,
    sequence         bigint NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0);
CREATE UNIQUE INDEX live_calls_of_number ON live_calls (org_id, number);
CREATE INDEX live_calls_to_check ON live_calls (check_at);
CREATE INDEX live_calls_by_reference ON live_calls (hashtextextended(provider_ref, 0)) WHERE provider_ref IS NOT NULL;

-- Calls that have ended, until their run is purged.
CREATE TABLE ended_calls (
    call_id      uuid PRIMARY KEY,
    org_id       uuid NOT NULL,
    run_id       uuid NOT NULL,
    contact_id   uuid NOT NULL,
    number       bigint NOT NULL,
    caller_id    bigint NOT NULL,
    attempt      bigint NOT NULL,
    provider     text NOT NULL,
    provider_ref text,
    disposition  text NOT NULL,
    lease_node   uuid NOT NULL,
    lease_token  bigint NOT NULL,
    lease_until  timestamptz NOT NULL,
    check_at     timestamptz,
    dial_before  timestamptz NOT NULL,
    intended_at  timestamptz NOT NULL,
    asked_at     timestamptz NOT NULL,
    placed_at    timestamptz,
    answered_at  timestamptz,
    ended_at     timestamptz,
    detail       text,
    attempt_at   timestamptz,
    began        bigint NOT NULL
);
CREATE INDEX ended_calls_of_number ON ended_calls (org_id, number);
CREATE INDEX ended_calls_by_reference ON ended_calls (hashtextextended(provider_ref, 0)) WHERE provider_ref IS NOT NULL;

-- Attempts whose calls were purged.
CREATE TABLE attempts (
    org_id  uuid NOT NULL,
    number  bigint NOT NULL,
    at      timestamptz NOT NULL,
    call_id uuid NOT NULL,
    PRIMARY KEY (org_id, number, at, call_id)
);

CREATE TABLE suppressions (
    org_id     uuid NOT NULL,
    number     bigint NOT NULL,
    source     text NOT NULL,
    reason     text NOT NULL,
    added_at   timestamptz NOT NULL,
    expires_at timestamptz,
    PRIMARY KEY (org_id, number)
);

-- Inbox and outbox

-- Updates whose call is not known, and so neither its organization.
CREATE TABLE inbox (
    id       uuid PRIMARY KEY,
    due_at   timestamptz NOT NULL,
    attempts bigint NOT NULL,
    document text NOT NULL
);
CREATE INDEX inbox_due ON inbox (due_at, id);

CREATE TABLE outbox (
    id       uuid PRIMARY KEY,
    org_id   uuid NOT NULL,
    due_at   timestamptz NOT NULL,
    attempts bigint NOT NULL,
    document text NOT NULL
);
CREATE INDEX outbox_due ON outbox (due_at, id);

CREATE TABLE dead_letters (
    id       uuid PRIMARY KEY,
    org_id   uuid,
    document text NOT NULL
);

-- Journal

-- Append-only. A row holds the entries that one change of an aggregate wrote at one instant; `sequence` is that of the
-- first of them. `feed` and `position` give the order in which a reader may follow: see `journal.rs`.
CREATE TABLE journal (
    position  bigint GENERATED ALWAYS AS IDENTITY,
    feed      bigint NOT NULL,
    sequence  bigint NOT NULL,
    at        timestamptz NOT NULL,
    org_id    uuid NOT NULL,
    aggregate uuid NOT NULL,
    kind      text COLLATE "C" NOT NULL,
    events    text NOT NULL
);
CREATE INDEX journal_feed ON journal (feed, position);
CREATE UNIQUE INDEX journal_of_aggregate ON journal (aggregate, sequence, kind);

-- What `feed` is ahead of the transaction ids of this server, after the database was moved here from another.
CREATE TABLE journal_clock (ahead bigint NOT NULL);
INSERT INTO journal_clock VALUES (0);

CREATE TABLE journal_cursors (
    reader text PRIMARY KEY,
    cursor text NOT NULL
);

-- Archive

CREATE TABLE patients (
    id           uuid PRIMARY KEY,
    org_id       uuid NOT NULL,
    first_name   text,
    last_name    text,
    dob          date,
    phone        text NOT NULL,
    patient_hash text NOT NULL,
    document     text NOT NULL,
    UNIQUE (org_id, patient_hash)
);
CREATE INDEX patients_of_organization ON patients (org_id, id);

-- Finished calls of all times.
CREATE TABLE calls (
    id           uuid PRIMARY KEY,
    org_id       uuid NOT NULL,
    run_id       uuid NOT NULL,
    patient_id   uuid NOT NULL,
    direction    text NOT NULL DEFAULT 'outbound' CHECK (direction IN ('inbound', 'outbound')),
    callback_for uuid,
    call_log_url text,
    status       text NOT NULL,
    created_at   timestamptz NOT NULL,
    document     text NOT NULL
);
CREATE INDEX calls_of_run ON calls (run_id, id);

CREATE TABLE reports (
    run_id   uuid PRIMARY KEY,
    org_id   uuid NOT NULL,
    document text NOT NULL
);

-- Row-level security

-- A connection sees what `rivvi.organization` says: the organization of this id, or every one for `*`. These policies say
-- nothing until row-level security is turned on for their tables.
DO $$
DECLARE
    tenant CONSTANT text :=
        '(SELECT nullif(nullif(current_setting(''rivvi.organization'', true), ''*''), '''')::uuid)';
    everyone CONSTANT text := '(SELECT current_setting(''rivvi.organization'', true) = ''*'')';
    owned text;
BEGIN
    FOREACH owned IN ARRAY ARRAY[
        'campaigns', 'org_gates', 'runs', 'run_tallies', 'contacts', 'contact_statuses', 'due', 'live_calls',
        'ended_calls', 'attempts', 'suppressions', 'outbox', 'dead_letters', 'journal', 'patients', 'calls', 'reports']
    LOOP
        EXECUTE format('CREATE POLICY organization ON %I USING (%s OR org_id = %s)', owned, everyone, tenant);
    END LOOP;
    EXECUTE format('CREATE POLICY organization ON organizations USING (%s OR id = %s)', everyone, tenant);
    FOREACH owned IN ARRAY ARRAY['inbox', 'journal_clock', 'journal_cursors', 'schema_versions'] LOOP
        EXECUTE format('CREATE POLICY organization ON %I USING (%s)', owned, everyone);
    END LOOP;
END $$;
