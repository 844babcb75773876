-- What a campaign knows of a person it tried to reach. `expires_at` is the greatest instant for those that never lapse.
CREATE TABLE campaign_contexts (
    campaign_id BLOB    NOT NULL,
    person_id   BLOB    NOT NULL,
    org_id      BLOB    NOT NULL,
    number      INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    document    TEXT    NOT NULL,
    UNIQUE (campaign_id, person_id)
);
CREATE INDEX campaign_contexts_of_number ON campaign_contexts (org_id, number);
CREATE INDEX campaign_contexts_by_end ON campaign_contexts (expires_at);
