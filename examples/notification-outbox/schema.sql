-- The tables of the business, and which of their changes are events. Run by the owner of the database.
CREATE SCHEMA app;
GRANT USAGE ON SCHEMA app TO app_user;

CREATE TABLE app.organizations (id uuid PRIMARY KEY, name text NOT NULL);
INSERT INTO app.organizations (id, name)
SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'Library ' || n FROM generate_series(1, 100) AS n;

CREATE TABLE app.cataloging_jobs (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  organization_id uuid NOT NULL REFERENCES app.organizations,
  title text NOT NULL,
  status text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'running', 'completed'))
);
CREATE TABLE app.flags (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  organization_id uuid NOT NULL REFERENCES app.organizations,
  job_id bigint NOT NULL REFERENCES app.cataloging_jobs,
  kind text NOT NULL,
  note text
);
GRANT SELECT, INSERT, UPDATE ON app.cataloging_jobs, app.flags TO app_user;

-- What the receiver keeps: a notification for each event, and the ids of the events that it has seen.
CREATE TABLE app.notifications (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  organization_id uuid NOT NULL,
  event_id uuid NOT NULL,
  event_type text NOT NULL,
  entity_id text,
  lsn pg_lsn,
  ordinal integer
);
CREATE TABLE app.received (event_id text PRIMARY KEY, received_at timestamptz NOT NULL DEFAULT now());
GRANT SELECT, INSERT ON app.notifications, app.received TO app_user;

GRANT USAGE ON SCHEMA app TO app_operator;
GRANT SELECT ON app.organizations TO app_operator;

-- Every table with rows of organizations shows and accepts those of the organization of the transaction, and no others.
DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY '{cataloging_jobs,flags,notifications}'::text[] LOOP
    EXECUTE format('ALTER TABLE app.%I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format($policy$
      CREATE POLICY own_organization ON app.%I TO app_user
       USING (organization_id = nullif(current_setting('app.current_org_id', true), '')::uuid)
    $policy$, name);
  END LOOP;
END $$;

-- Events of these tables are written by triggers, in the transaction of the change. Payloads hold identifiers and states, and
-- neither titles nor notes.
SELECT walpost.capture('app.cataloging_jobs', 'cataloging_job', organization_column => 'organization_id', id_column => 'id',
                       columns => '{status}', event_prefix => 'job', topic => 'cataloging', operations => '{insert,update}',
                       condition => 'new.status IS DISTINCT FROM old.status');
SELECT walpost.capture('app.flags', 'flag', organization_column => 'organization_id', id_column => 'id',
                       columns => '{job_id,kind}', event_prefix => 'flag', topic => 'cataloging', operations => '{insert}');

-- Applications that publish by themselves get no more than 1 KB, so nobody sends a document by mistake.
INSERT INTO walpost.settings (name, topic, value) VALUES ('max_payload_bytes', 'cataloging', '1024');

-- The thresholds of walpost.alerts. These are the defaults; they stand here because they belong to the application.
UPDATE walpost.settings AS s SET value = t.value
  FROM (VALUES ('alert_undelivered', '1000'::jsonb), ('alert_oldest_undelivered_seconds', '300'),
               ('alert_average_delivery_seconds', '5'), ('alert_dead_letters_per_hour', '10')) AS t (name, value)
 WHERE s.name = t.name AND s.topic = '*';
