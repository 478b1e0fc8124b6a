-- The application. Run as the owner of the database, after `walpost migrate`.
CREATE SCHEMA app;

-- What the stand-in for n8n has done, written together with app.received, the inbox of @walpost/consumer. No key forbids a second
-- row for one event, so one that took effect twice would be seen.
CREATE TABLE app.workflow_runs (
  id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  organization_id uuid NOT NULL,
  event_id        uuid NOT NULL,
  event_type      text NOT NULL,
  idempotency_key text,
  at              timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE app.received (event_id text PRIMARY KEY, received_at timestamptz NOT NULL DEFAULT now());

-- As on Supabase: where this function is, the organization comes from the token.
CREATE SCHEMA auth;
CREATE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE sql STABLE
RETURN nullif(current_setting('request.jwt.claims', true), '')::jsonb;
GRANT USAGE ON SCHEMA auth TO app_user;

GRANT USAGE ON SCHEMA app TO app_user, app_operator;
GRANT SELECT ON app.workflow_runs TO app_operator;
GRANT SELECT, INSERT ON app.workflow_runs, app.received TO app_user;
