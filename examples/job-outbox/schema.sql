-- The application: courses that workers generate. Run as the owner of the database, after `walpost migrate`.
CREATE SCHEMA app;

-- The state.
CREATE TABLE app.courses (
  id              uuid PRIMARY KEY,
  organization_id uuid NOT NULL,
  title           text NOT NULL,
  outline_at      timestamptz,
  media_at        timestamptz,
  state           text NOT NULL GENERATED ALWAYS AS
                    (CASE WHEN outline_at IS NULL OR media_at IS NULL THEN 'generating' ELSE 'ready' END) STORED,
  created_at      timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE app.audit (
  id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  organization_id uuid NOT NULL,
  course_id       uuid NOT NULL,
  what            text NOT NULL,
  at              timestamptz NOT NULL DEFAULT now()
);

-- What workers have done. No key forbids a second row for one event, so a job that took effect twice would be seen.
CREATE TABLE app.work (
  id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  organization_id uuid NOT NULL,
  course_id       uuid NOT NULL,
  part            text NOT NULL,
  event_id        uuid NOT NULL
);

-- The inbox of @walpost/consumer: which events took effect.
CREATE TABLE app.received (event_id text PRIMARY KEY, received_at timestamptz NOT NULL DEFAULT now());

-- The one call: state, audit row and two jobs commit together, or not at all. walpost.once keeps the result under a key.
CREATE FUNCTION app.start_course(arguments jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
  organization CONSTANT uuid := arguments ->> 'organization_id';
  course       CONSTANT uuid := gen_random_uuid();
  job          CONSTANT jsonb := jsonb_build_object('course_id', course, 'title', arguments ->> 'title');
BEGIN
  INSERT INTO app.courses (id, organization_id, title) VALUES (course, organization, arguments ->> 'title');
  INSERT INTO app.audit (organization_id, course_id, what) VALUES (organization, course, 'started');
  PERFORM walpost.publish(organization, 'course.outline', job, topic => 'outline', entity_type => 'course', entity_id => course::text);
  PERFORM walpost.publish(organization, 'course.media', job, topic => 'media', entity_type => 'course', entity_id => course::text);
  RETURN jsonb_build_object('course_id', course, 'transaction', pg_current_xact_id()::text);
END;
$$;

-- Layers 2 and 3: writes the state from the job. Both may do it at once; then the second one changes nothing.
CREATE FUNCTION app.repair_course(organization uuid, course uuid, title text, layer text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO app.courses (id, organization_id, title) VALUES (course, organization, title) ON CONFLICT DO NOTHING;
  IF FOUND THEN
    INSERT INTO app.audit (organization_id, course_id, what) VALUES (organization, course, 'repaired by the ' || layer);
  END IF;
END;
$$;

-- One organization a transaction, as in the outbox.
ALTER TABLE app.courses ENABLE ROW LEVEL SECURITY;
ALTER TABLE app.audit ENABLE ROW LEVEL SECURITY;
ALTER TABLE app.work ENABLE ROW LEVEL SECURITY;
CREATE POLICY organization ON app.courses USING (organization_id = nullif(current_setting('app.current_org_id', true), '')::uuid);
CREATE POLICY organization ON app.audit USING (organization_id = nullif(current_setting('app.current_org_id', true), '')::uuid);
CREATE POLICY organization ON app.work USING (organization_id = nullif(current_setting('app.current_org_id', true), '')::uuid);

-- Operators see all organizations.
CREATE POLICY operators ON app.courses FOR SELECT TO app_operator USING (true);
CREATE POLICY operators ON app.audit FOR SELECT TO app_operator USING (true);
CREATE POLICY operators ON app.work FOR SELECT TO app_operator USING (true);

GRANT USAGE ON SCHEMA app TO app_user, app_operator;
GRANT SELECT ON app.courses, app.audit, app.work TO app_operator;
GRANT SELECT, INSERT, UPDATE ON app.courses TO app_user;
GRANT SELECT, INSERT ON app.audit, app.work, app.received TO app_user;
