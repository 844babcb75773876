-- Conventions
--   ids         16 bytes, big-endian, so that they sort as they do in the program
--   instants    nanoseconds since 1970-01-01T00:00:00Z
--   numbers     the digits of E.164 without the plus sign
--   document    the thing itself as JSON; the columns beside it are what queries need
--
-- What changes often is narrow and in tables of its own, so that wide rows are written once: the status of a contact,
-- what is due, which calls are live, which calls are to be looked after.

CREATE TABLE organizations (
    id       BLOB NOT NULL UNIQUE,
    document TEXT NOT NULL
);

CREATE TABLE campaigns (
    id       BLOB    NOT NULL,
    version  INTEGER NOT NULL,
    org_id   BLOB    NOT NULL,
    document TEXT    NOT NULL,
    UNIQUE (id, version)
);
CREATE INDEX campaigns_of_organization ON campaigns (org_id, id, version);

CREATE TABLE runs (
    id          BLOB NOT NULL UNIQUE,
    org_id      BLOB NOT NULL,
    campaign_id BLOB NOT NULL,
    key         TEXT NOT NULL,
    state       TEXT NOT NULL,
    document    TEXT NOT NULL,
    UNIQUE (campaign_id, key)
);
CREATE INDEX runs_of_organization ON runs (org_id, id);
CREATE INDEX runs_of_campaign ON runs (campaign_id, id);
CREATE INDEX runs_in_state ON runs (state, id);

CREATE TABLE run_tallies (
    run_id   BLOB NOT NULL PRIMARY KEY,
    document TEXT NOT NULL
) WITHOUT ROWID;

-- As imported, with the first status.
--
-- Numbers of a sheet are in no order. An index of its own would touch a page for every row imported, half the cost of
-- an import; instead the number stands beside the id, so that looking for one reads a narrow range in its order.
CREATE TABLE contacts (
    id       BLOB    NOT NULL,
    run_id   BLOB    NOT NULL,
    number   INTEGER NOT NULL,
    document TEXT    NOT NULL
);
CREATE UNIQUE INDEX contacts_by_id ON contacts (id, number);

-- The status since, for contacts that have changed.
CREATE TABLE contact_statuses (
    contact_id BLOB NOT NULL PRIMARY KEY,
    document   TEXT NOT NULL
) WITHOUT ROWID;

-- Every waiting contact, in the order in which contacts are taken.
CREATE TABLE due (
    run_id     BLOB    NOT NULL,
    priority   INTEGER NOT NULL,
    due_at     INTEGER NOT NULL,
    contact_id BLOB    NOT NULL,
    PRIMARY KEY (run_id, priority, due_at, contact_id)
) WITHOUT ROWID;

-- The rowid tells the order in which the calls of a contact began.
CREATE TABLE calls (
    id         BLOB NOT NULL UNIQUE,
    contact_id BLOB NOT NULL,
    document   TEXT NOT NULL
);
CREATE INDEX calls_of_contact ON calls (contact_id);

-- The key is the rule: at most one live call to a number in an organization.
CREATE TABLE live_calls (
    org_id  BLOB    NOT NULL,
    number  INTEGER NOT NULL,
    run_id  BLOB    NOT NULL,
    call_id BLOB    NOT NULL,
    PRIMARY KEY (org_id, number)
) WITHOUT ROWID;
CREATE UNIQUE INDEX live_calls_of_run ON live_calls (run_id, call_id);

CREATE TABLE call_checks (
    check_at INTEGER NOT NULL,
    call_id  BLOB    NOT NULL,
    PRIMARY KEY (check_at, call_id)
) WITHOUT ROWID;

CREATE TABLE call_references (
    provider  TEXT NOT NULL,
    reference TEXT NOT NULL,
    call_id   BLOB NOT NULL,
    PRIMARY KEY (provider, reference)
) WITHOUT ROWID;

CREATE TABLE attempts (
    org_id  BLOB    NOT NULL,
    number  INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    call_id BLOB    NOT NULL,
    PRIMARY KEY (org_id, number, at, call_id)
) WITHOUT ROWID;

CREATE TABLE suppressions (
    org_id   BLOB    NOT NULL,
    number   INTEGER NOT NULL,
    document TEXT    NOT NULL,
    PRIMARY KEY (org_id, number)
) WITHOUT ROWID;

CREATE TABLE inbox (
    id       BLOB    NOT NULL UNIQUE,
    due_at   INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    document TEXT    NOT NULL
);
CREATE INDEX inbox_due ON inbox (due_at, id);

CREATE TABLE outbox (
    id       BLOB    NOT NULL UNIQUE,
    due_at   INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    document TEXT    NOT NULL
);
CREATE INDEX outbox_due ON outbox (due_at, id);

CREATE TABLE dead_letters (
    id       BLOB NOT NULL UNIQUE,
    document TEXT NOT NULL
);

-- Append-only. The position tells the order of commits, because there is one writer at a time.
CREATE TABLE journal (
    position  INTEGER PRIMARY KEY,
    kind      TEXT    NOT NULL,
    aggregate BLOB    NOT NULL,
    sequence  INTEGER NOT NULL,
    org_id    BLOB    NOT NULL,
    at        INTEGER NOT NULL,
    event     TEXT    NOT NULL
);
CREATE UNIQUE INDEX journal_of_aggregate ON journal (aggregate, kind, sequence);

CREATE TABLE journal_cursors (
    reader TEXT NOT NULL PRIMARY KEY,
    cursor TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE people (
    id       BLOB NOT NULL UNIQUE,
    org_id   BLOB NOT NULL,
    hash     TEXT NOT NULL,
    document TEXT NOT NULL,
    UNIQUE (org_id, hash)
);
CREATE INDEX people_of_organization ON people (org_id, id);

CREATE TABLE archived_calls (
    run_id   BLOB NOT NULL,
    call_id  BLOB NOT NULL,
    document TEXT NOT NULL,
    UNIQUE (run_id, call_id)
);

CREATE TABLE reports (
    run_id   BLOB NOT NULL UNIQUE,
    document TEXT NOT NULL
);
