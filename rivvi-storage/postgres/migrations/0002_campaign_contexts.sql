-- What a campaign knows of a person it tried to reach, for the day that person calls back.
CREATE TABLE campaign_contexts (
    campaign_id  uuid NOT NULL,
    patient_id   uuid NOT NULL,
    org_id       uuid NOT NULL,
    run_id       uuid NOT NULL,
    number       bigint NOT NULL,
    context_data json NOT NULL,
    outcome      text,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz,
    PRIMARY KEY (campaign_id, patient_id)
);
CREATE INDEX campaign_contexts_of_number ON campaign_contexts (org_id, number);
CREATE INDEX campaign_contexts_by_end ON campaign_contexts (expires_at);
CREATE POLICY organization ON campaign_contexts USING (
    (SELECT current_setting('rivvi.organization', true) = '*')
    OR org_id = (SELECT nullif(nullif(current_setting('rivvi.organization', true), '*'), '')::uuid)
);
