-- Bookings, login links, and the function that queues a mail. Run by the owner of the database.
CREATE SCHEMA app;
GRANT USAGE ON SCHEMA app TO app_user, app_operator;

-- There are no tenants. walpost asks for an organization all the same, so there is one.
CREATE FUNCTION app.organization_id() RETURNS uuid LANGUAGE sql IMMUTABLE
AS $$ SELECT '00000000-0000-4000-8000-000000000001'::uuid $$;

-- Queues a mail in the transaction of the caller. `kind` names the templates in mails/; `data` is what they show. A mail with a
-- known key is not queued again; one that has waited beyond `expires_at` is not sent.
CREATE FUNCTION app.queue_notification(
  kind text, recipient text, data jsonb DEFAULT '{}', idempotency_key text DEFAULT NULL, expires_at timestamptz DEFAULT NULL
) RETURNS uuid LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('app.current_org_id', app.organization_id()::text, true); -- publish asks for whom the transaction works
  RETURN walpost.publish(
    organization_id => app.organization_id(), event_type => kind, payload => data || jsonb_build_object('email', recipient),
    topic => 'mail', idempotency_key => queue_notification.idempotency_key, expires_at => queue_notification.expires_at);
END $$;

-- Only the hash of a token is kept, and a link opens once, within 15 minutes.
CREATE TABLE app.magic_links (
  token_hash bytea PRIMARY KEY,
  email text NOT NULL,
  expires_at timestamptz NOT NULL,
  used_at timestamptz
);

CREATE FUNCTION app.request_magic_link(email text) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
  token text := replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '');
  until timestamptz := now() + interval '15 minutes';
BEGIN
  INSERT INTO app.magic_links (token_hash, email, expires_at) VALUES (sha256(token::bytea), request_magic_link.email, until);
  RETURN app.queue_notification('magic_link.requested', request_magic_link.email,
                                jsonb_build_object('link', 'https://hotel.example.com/login/' || token), expires_at => until);
END $$;

-- Who clicks on a link: the address that is logged in with it, or null when it was used before, is too old, or is none.
CREATE FUNCTION app.open_magic_link(token text) RETURNS text LANGUAGE sql AS $$
  UPDATE app.magic_links SET used_at = now()
   WHERE token_hash = sha256(token::bytea) AND used_at IS NULL AND expires_at > now() RETURNING email
$$;

CREATE TABLE app.bookings (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  email text NOT NULL,
  guest text NOT NULL,
  room text NOT NULL,
  arrival date NOT NULL,
  nights integer NOT NULL
);
GRANT SELECT, INSERT, UPDATE ON app.magic_links, app.bookings TO app_user;

-- A login link is a secret: payloads of mails are removed once the mails have left.
INSERT INTO walpost.settings (name, topic, value) VALUES ('redact_when_settled', 'mail', 'true');

-- The thresholds of walpost.alerts. These are the defaults; they stand here because they belong to the application.
UPDATE walpost.settings AS s SET value = t.value
  FROM (VALUES ('alert_waiting', '100'::jsonb), ('alert_dead_letters_per_hour', '10'),
               ('alert_average_delivery_critical_seconds', '120'), ('alert_no_progress_seconds', '300')) AS t (name, value)
 WHERE s.name = t.name AND s.topic = '*';
