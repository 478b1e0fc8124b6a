-- Roles to be granted to the logins of applications and of the relay. They are groups without a login, one set for the whole
-- cluster. Nothing is granted to PUBLIC.
--
-- A role that may not create roles leaves them out; then somebody who may creates them, and apply_grants() does the rest.
-- walpost migrate calls it after every upgrade, so that new tables and functions get their rights: a file that adds some
-- replaces role_grants().

CREATE FUNCTION walpost.apply_grants() RETURNS text[]
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $function$
DECLARE
  missing text[] := '{}';
  it      text;
  role    text;
  allowed CONSTANT jsonb := walpost.role_grants();
BEGIN
  REVOKE ALL ON SCHEMA walpost FROM PUBLIC;
  REVOKE ALL ON ALL TABLES IN SCHEMA walpost FROM PUBLIC;
  REVOKE ALL ON ALL FUNCTIONS IN SCHEMA walpost FROM PUBLIC;
  FOR role IN SELECT jsonb_object_keys(allowed) LOOP
    IF NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = role) THEN
      missing := missing || role;
      CONTINUE;
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA walpost TO %I', role);
    FOR it IN SELECT jsonb_array_elements_text(allowed -> role) LOOP
      EXECUTE format('GRANT %s TO %I', it, role);
    END LOOP;
    IF role = 'walpost_publisher' AND to_regclass('walpost.outbox_seq') IS NOT NULL THEN
      GRANT USAGE ON SEQUENCE walpost.outbox_seq TO walpost_publisher;
    END IF;
  END LOOP;

  FOREACH it IN ARRAY '{outbox,idempotency_keys,command_results,parked,dead_letters,delivery_log}'::text[] LOOP
    FOREACH role IN ARRAY '{walpost_relay,walpost_operator}'::text[] LOOP
      -- A policy that is there stays: making it again would lock the table.
      CONTINUE WHEN role = ANY (missing) OR EXISTS (
        SELECT FROM pg_policies AS p WHERE p.schemaname = 'walpost' AND p.tablename = it AND p.policyname = role);
      EXECUTE format('CREATE POLICY %I ON walpost.%I TO %I USING (true) WITH CHECK (true)', role, it, role);
      EXECUTE format('COMMENT ON POLICY %I ON walpost.%I IS ''Every row: it works for all organizations.''', role, it);
    END LOOP;
  END LOOP;
  RETURN missing;
END;
$function$;

CREATE FUNCTION walpost.role_grants() RETURNS jsonb
LANGUAGE sql IMMUTABLE
RETURN $json$ {
  "walpost_publisher": [
    "INSERT (event_id, organization_id, event_type, event_version, topic, entity_type, entity_id, target, idempotency_key, payload, headers) ON walpost.outbox",
    "SELECT ON walpost.settings",
    "SELECT, INSERT (organization_id, idempotency_key, event_id) ON walpost.idempotency_keys",
    "SELECT, INSERT (organization_id, idempotency_key, command, arguments_hash), UPDATE (result) ON walpost.command_results",
    "EXECUTE ON FUNCTION walpost.publish, walpost.publish_many, walpost.given_events, walpost.refuse_events, walpost.is_event, walpost.refuse_event, walpost.with_trace, walpost.max_payload_bytes, walpost.uuid_v7, walpost.once, walpost.refuse_command, walpost.current_organization, walpost.sees_every_organization, walpost.check_event"
  ],
  "walpost_reader": [
    "SELECT ON walpost.outbox, walpost.parked, walpost.dead_letters, walpost.delivery_log, walpost.checkpoints, walpost.settings, walpost.organization_health, walpost.queue_status, walpost.error_summary, walpost.event_timeline",
    "SELECT (slot, system_identifier, lsn, advanced_at) ON walpost.cursor",
    "EXECUTE ON FUNCTION walpost.event_status, walpost.pending_events, walpost.proven_snapshot, walpost.is_proven, walpost.uuid_or_null, walpost.uuid_time, walpost.setting, walpost.current_organization, walpost.sees_every_organization"
  ],
  "walpost_relay": [
    "SELECT ON ALL TABLES IN SCHEMA walpost",
    "INSERT, UPDATE ON walpost.cursor, walpost.jobs",
    "INSERT, UPDATE, DELETE ON walpost.parked, walpost.dead_letters, walpost.checkpoints, walpost.delivery_log",
    "USAGE ON SEQUENCE walpost.parked_place",
    "EXECUTE ON FUNCTION walpost.prune, walpost.event_status, walpost.pending_events, walpost.proven_snapshot, walpost.is_proven, walpost.uuid_or_null, walpost.uuid_time, walpost.setting, walpost.current_organization, walpost.sees_every_organization"
  ],
  "walpost_operator": [
    "SELECT ON ALL TABLES IN SCHEMA walpost",
    "INSERT, UPDATE ON walpost.jobs",
    "UPDATE, DELETE ON walpost.parked, walpost.dead_letters",
    "DELETE ON walpost.cursor, walpost.checkpoints, walpost.idempotency_keys, walpost.command_results",
    "INSERT, UPDATE, DELETE ON walpost.settings",
    "USAGE ON SEQUENCE walpost.parked_place",
    "EXECUTE ON FUNCTION walpost.prune, walpost.event_status, walpost.pending_events, walpost.proven_snapshot, walpost.is_proven, walpost.uuid_or_null, walpost.uuid_time, walpost.setting, walpost.current_organization, walpost.sees_every_organization"
  ]
} $json$::jsonb;

DO $do$
DECLARE
  role    text;
  missing text[];
BEGIN
  FOREACH role IN ARRAY '{walpost_publisher,walpost_relay,walpost_operator,walpost_reader}'::text[] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = role) THEN
      BEGIN
        EXECUTE format('CREATE ROLE %I NOLOGIN', role);
        EXECUTE format('COMMENT ON ROLE %I IS ''Rights of walpost, to be granted to logins; see docs/sql.md.''', role);
      EXCEPTION
        WHEN duplicate_object OR unique_violation THEN NULL; -- made for another database of the cluster at this moment
        WHEN insufficient_privilege THEN NULL;
      END;
    END IF;
  END LOOP;
  missing := walpost.apply_grants();
  IF missing <> '{}' THEN
    RAISE WARNING 'walpost: this role may not create roles, so these are missing: %', array_to_string(missing, ', ')
      USING HINT = format('As an administrator: %s Then, as the owner of the schema walpost: SELECT walpost.apply_grants();',
                          (SELECT string_agg(format('CREATE ROLE %I NOLOGIN;', m), ' ') FROM unnest(missing) AS m));
  END IF;
END;
$do$;

COMMENT ON FUNCTION walpost.apply_grants() IS
  'Gives the roles of walpost that exist their rights and policies, takes all rights from PUBLIC, and returns the roles that are missing.';
COMMENT ON FUNCTION walpost.role_grants() IS 'What each role of walpost may do, as parts of GRANT.';

REVOKE ALL ON FUNCTION walpost.apply_grants(), walpost.role_grants() FROM PUBLIC;
