-- The tables of the business, and which of their changes are events. Run by the owner of the database.
CREATE SCHEMA app;
GRANT USAGE ON SCHEMA app TO app_user;

CREATE TABLE app.jobs (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  organization_id uuid NOT NULL,
  title text NOT NULL,
  status text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'completed', 'approved'))
);
-- What pages have sent: a command that comes again has its key here.
CREATE TABLE app.approvals (key text PRIMARY KEY, organization_id uuid NOT NULL, job_id bigint NOT NULL REFERENCES app.jobs);
GRANT SELECT, INSERT, UPDATE ON app.jobs TO app_user;
GRANT SELECT, INSERT ON app.approvals TO app_user;

DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY '{jobs,approvals}'::text[] LOOP
    EXECUTE format('ALTER TABLE app.%I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format($policy$
      CREATE POLICY own_organization ON app.%I TO app_user
       USING (organization_id = nullif(current_setting('app.current_org_id', true), '')::uuid)
    $policy$, name);
  END LOOP;
END $$;

-- 5,000 jobs of each of two organizations, from before there were events.
INSERT INTO app.jobs (organization_id, title)
SELECT ('00000000-0000-4000-8000-' || lpad(organization::text, 12, '0'))::uuid, 'Letters, volume ' || n
  FROM generate_series(1, 2) AS organization, generate_series(1, 5000) AS n;

-- Payloads hold a state and no text that people wrote: pages read the rest from the application.
SELECT walpost.capture('app.jobs', 'job', organization_column => 'organization_id', id_column => 'id',
                       columns => '{status}', event_prefix => 'job', topic => 'cataloging', operations => '{insert,update}',
                       condition => 'new.status IS DISTINCT FROM old.status');
