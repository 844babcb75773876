-- The call that a person answers who calls back after the live data of the run is gone.
ALTER TABLE campaign_contexts ADD COLUMN last_call_id uuid;
