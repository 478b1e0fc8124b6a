-- Endpoints that are paused, disabled and enabled again, the events of walpost about them, and what a copy of the database needs.

CREATE OR REPLACE FUNCTION walpost_internal.reason_problem(caller text, reason text) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
  IF char_length(reason) > 500 OR reason ~ '[[:cntrl:]]' THEN
    RAISE EXCEPTION '%: reason must be one line of at most 500 characters', caller
      USING ERRCODE = 'invalid_parameter_value', HINT = 'It is for people only.';
  END IF;
END;
$function$;

CREATE OR REPLACE FUNCTION walpost_internal.set_endpoint_state(endpoint walpost.endpoints, state text, change text, reason text) RETURNS walpost.endpoints
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  after walpost.endpoints;
BEGIN
  UPDATE walpost.endpoints AS e
     SET state = set_endpoint_state.state, state_reason = nullif(set_endpoint_state.reason, ''), state_changed_at = clock_timestamp(),
         updated_at = clock_timestamp(), missed_since = endpoint.missed_since
   WHERE e.endpoint_id = endpoint.endpoint_id
  RETURNING * INTO after;
  PERFORM walpost_internal.note_endpoint_change(after, change);
  RETURN after;
END;
$function$;

CREATE OR REPLACE FUNCTION walpost_internal.streams_outbox() RETURNS boolean
LANGUAGE sql STABLE
-- Relays that read tables of the application never see what is written to walpost.outbox.
BEGIN ATOMIC
  SELECT NOT EXISTS (SELECT FROM walpost.cursor)
      OR EXISTS (SELECT FROM walpost.cursor AS c WHERE coalesce(c.source_table, 'walpost.outbox') = 'walpost.outbox');
END;

CREATE OR REPLACE FUNCTION walpost_internal.publish_endpoint_event(endpoint walpost.endpoints, event_type text, payload jsonb) RETURNS uuid
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  new_id uuid;
BEGIN
  INSERT INTO walpost.outbox (organization_id, event_type, topic, entity_type, entity_id, payload)
  VALUES (endpoint.organization_id, publish_endpoint_event.event_type, 'walpost.endpoint', 'walpost.endpoint', endpoint.endpoint_id::text,
          publish_endpoint_event.payload)
  RETURNING event_id INTO STRICT new_id;
  RETURN new_id;
END;
$function$;

CREATE OR REPLACE FUNCTION walpost_internal.unsettled_since() RETURNS timestamptz
LANGUAGE sql STABLE
-- A relay is behind when a checkpoint waits to be settled. One that does not run takes none, so a row that no settled checkpoint sees tells it
-- too. Rows of tables of the application are not looked at: their relay counts as behind. What the last settled checkpoint does not see may
-- still be on its way.
BEGIN ATOMIC
  SELECT min(coalesce(settled.taken_at, least(open.taken_at, pending.created_at)))
    FROM walpost.cursor AS k
         LEFT JOIN LATERAL (
           SELECT c.lsn, c.taken_at FROM walpost.checkpoints AS c
            WHERE c.slot = k.slot AND c.system_identifier = k.system_identifier AND c.settled_at IS NOT NULL
            ORDER BY c.lsn DESC, c.id DESC LIMIT 1) AS settled ON true
         LEFT JOIN LATERAL (
           SELECT c.taken_at FROM walpost.checkpoints AS c
            WHERE c.slot = k.slot AND c.system_identifier = k.system_identifier AND c.settled_at IS NULL
              AND c.lsn >= coalesce(settled.lsn, '0/0')
            ORDER BY c.lsn, c.id LIMIT 1) AS open ON true
         LEFT JOIN LATERAL walpost_internal.pending_events(k.slot, 1) AS pending ON true
   WHERE open.taken_at IS NOT NULL OR pending.created_at IS NOT NULL OR coalesce(k.source_table, 'walpost.outbox') <> 'walpost.outbox';
END;

CREATE OR REPLACE FUNCTION walpost_internal.job_since(job_id bigint, slot text) RETURNS timestamptz
LANGUAGE sql STABLE
-- The checkpoint that the job was planned from: settled, of this cluster, and older than the job. One that was planned in another cluster finds
-- none, and so does a redrive, which has no position, and a job that was pruned: they may send whatever there is.
BEGIN ATOMIC
  SELECT coalesce(
           (SELECT c.taken_at
              FROM walpost.jobs AS j JOIN walpost.checkpoints AS c
                   ON c.slot = j.slot AND c.system_identifier = k.system_identifier AND c.settled_at IS NOT NULL
                  AND c.lsn <= j.from_lsn AND c.taken_at <= j.created_at
             WHERE j.id = job_id AND j.slot = k.slot ORDER BY c.lsn DESC, c.id DESC LIMIT 1),
           (SELECT min(c.taken_at) FROM walpost.checkpoints AS c
             WHERE c.slot = k.slot AND c.system_identifier = k.system_identifier AND c.settled_at IS NOT NULL))
    FROM walpost.cursor AS k WHERE k.slot = job_since.slot;
END;

CREATE OR REPLACE FUNCTION walpost_internal.parked_since(endpoint walpost.endpoints, cursor walpost.cursor) RETURNS timestamptz
LANGUAGE sql STABLE
-- What the stream brought stands in the order of commits. What a job brought stands behind what had been received when it was parked, however
-- old it is, and in no order; of a row that it has read no commit is known. In the outbox the column is a time of ours.
BEGIN ATOMIC
  SELECT least(
           (SELECT coalesce(p.committed_at, p.received_at) FROM walpost.parked AS p
             WHERE p.slot = cursor.slot AND p.sink = endpoint.sink AND p.organization_id = endpoint.organization_id::text
               AND p.lane = endpoint.endpoint_id::text AND NOT p.order_job
             ORDER BY p.history, p.order_lsn, p.order_job, p.place LIMIT 1),
           (SELECT min(least(j.committed, j.read, CASE WHEN j.reads THEN
                     walpost_internal.job_since(substring(j.job FROM '^[a-z]+-(\d{1,18})$')::bigint, cursor.slot) END))
              FROM (SELECT p.job, min(p.committed_at) AS committed, bool_or(p.committed_at IS NULL) AS reads,
                           min(least(p.received_at, CASE WHEN coalesce(cursor.source_table, 'walpost.outbox') = 'walpost.outbox'
                                                         THEN p.created_at::timestamptz END)) FILTER (WHERE p.committed_at IS NULL) AS read
                      FROM walpost.parked AS p
                     WHERE p.slot = cursor.slot AND p.sink = endpoint.sink AND p.organization_id = endpoint.organization_id::text
                       AND p.lane = endpoint.endpoint_id::text AND p.job IS NOT NULL
                     GROUP BY p.job) AS j));
END;

CREATE OR REPLACE FUNCTION walpost_internal.end_endpoint(endpoint walpost.endpoints, reason text, missed_since timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  parked_since CONSTANT timestamptz := (SELECT min(walpost_internal.parked_since(endpoint, c)) FROM walpost.cursor AS c);
  -- A job that sends it what it has missed is not done, or will never be, and no later one went as far back.
  recovered_since CONSTANT timestamptz := (
    SELECT min(walpost_internal.job_since(j.id, j.slot)) FROM walpost.jobs AS j
     WHERE j.state <> 'done' AND j.spec -> 'lanes' ? endpoint.endpoint_id::text
       AND NOT EXISTS (SELECT FROM walpost.jobs AS later
                        WHERE later.slot = j.slot AND later.id > j.id AND later.state = 'done' AND later.from_lsn <= j.from_lsn
                          AND later.spec -> 'lanes' ? endpoint.endpoint_id::text));
  after walpost.endpoints := endpoint;
BEGIN
  -- What it has missed before, and nobody has sent since, is still missed. So is what was committed before and has not been received yet:
  -- the relay discards it when it comes to this change and the endpoint fails.
  after.missed_since := least(endpoint.missed_since, end_endpoint.missed_since, parked_since, recovered_since,
                              walpost_internal.unsettled_since(), clock_timestamp());
  after := walpost_internal.set_endpoint_state(after, 'disabled', 'disabled', coalesce(nullif(reason, ''), 'no reason was given'));
  IF walpost_internal.streams_outbox() THEN
    PERFORM walpost_internal.publish_endpoint_event(after, 'walpost.endpoint.disabled', jsonb_build_object(
      'endpoint_id', after.endpoint_id, 'sink', after.sink, 'host', walpost_internal.url_host(after.url),
      'reason', after.state_reason, 'since', to_char(after.missed_since AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')));
  END IF;
END;
$function$;

CREATE OR REPLACE FUNCTION walpost.pause_endpoint(endpoint_id uuid, reason text DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  endpoint CONSTANT walpost.endpoints := walpost_internal.lock_endpoint('walpost.pause_endpoint', endpoint_id);
BEGIN
  PERFORM walpost_internal.reason_problem('walpost.pause_endpoint', reason);
  IF endpoint.state = 'disabled' THEN
    RAISE EXCEPTION 'walpost.pause_endpoint: the endpoint % is disabled', endpoint.endpoint_id
      USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'It gets nothing now. Enable it first, to have its events kept while it is paused.';
  END IF;
  IF endpoint.state = 'paused' THEN
    RETURN false;
  END IF;
  PERFORM walpost_internal.set_endpoint_state(endpoint, 'paused', 'paused', reason);
  RETURN true;
END;
$function$;

CREATE OR REPLACE FUNCTION walpost.enable_endpoint(endpoint_id uuid) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  endpoint CONSTANT walpost.endpoints := walpost_internal.lock_endpoint('walpost.enable_endpoint', endpoint_id);
BEGIN
  IF endpoint.state = 'enabled' THEN
    RETURN false;
  END IF;
  PERFORM walpost_internal.set_endpoint_state(endpoint, 'enabled', 'enabled', NULL);
  RETURN true;
END;
$function$;

CREATE OR REPLACE FUNCTION walpost.disable_endpoint(endpoint_id uuid, reason text DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  endpoint CONSTANT walpost.endpoints := walpost_internal.lock_endpoint('walpost.disable_endpoint', endpoint_id);
BEGIN
  PERFORM walpost_internal.reason_problem('walpost.disable_endpoint', reason);
  IF endpoint.state = 'disabled' THEN
    RETURN false;
  END IF;
  PERFORM walpost_internal.end_endpoint(endpoint, reason, NULL);
  RETURN true;
END;
$function$;

CREATE OR REPLACE FUNCTION walpost_internal.disable_failing_endpoint(
  endpoint_id uuid, known_change bigint, reason text, missed_since timestamptz DEFAULT NULL
) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '1s'
-- Its tenant may hold the endpoint in a transaction for as long as it likes. So that is not waited for, and the relay asks again. The
-- timeout is for other locks.
AS $function$
DECLARE
  endpoint walpost.endpoints;
BEGIN
  SELECT * INTO endpoint FROM walpost.endpoints AS e WHERE e.endpoint_id = disable_failing_endpoint.endpoint_id FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN
    RETURN CASE WHEN EXISTS (SELECT FROM walpost.endpoints AS e WHERE e.endpoint_id = disable_failing_endpoint.endpoint_id) THEN NULL ELSE false END;
  END IF;
  IF endpoint.state = 'disabled'
     OR EXISTS (SELECT FROM walpost.endpoint_changes AS c WHERE c.endpoint_id = endpoint.endpoint_id AND c.change_id > known_change) THEN
    RETURN false;
  END IF;
  PERFORM walpost_internal.end_endpoint(endpoint, left(reason, 500), missed_since);
  RETURN true;
END;
$function$;

CREATE OR REPLACE FUNCTION walpost_internal.forget_missed(endpoint_id uuid) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
  UPDATE walpost.endpoints AS e SET missed_since = NULL WHERE e.endpoint_id = forget_missed.endpoint_id AND e.state <> 'disabled';
END;

CREATE OR REPLACE FUNCTION walpost.send_test_event(endpoint_id uuid) RETURNS uuid
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  endpoint CONSTANT walpost.endpoints := walpost_internal.lock_endpoint('walpost.send_test_event', endpoint_id);
BEGIN
  IF endpoint.state = 'disabled' THEN
    RAISE EXCEPTION 'walpost.send_test_event: the endpoint % is disabled', endpoint.endpoint_id
      USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Enable it first: walpost.enable_endpoint.';
  END IF;
  IF NOT walpost_internal.streams_outbox() THEN
    RAISE EXCEPTION 'walpost.send_test_event: no relay reads walpost.outbox, so the event would not be sent'
      USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Write an event of your own that the endpoint wants to the table that the relay reads.';
  END IF;
  RETURN walpost_internal.publish_endpoint_event(endpoint, 'walpost.endpoint.test', jsonb_build_object('endpoint_id', endpoint.endpoint_id));
END;
$function$;

CREATE OR REPLACE FUNCTION walpost_internal.adopt_endpoints() RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
  UPDATE walpost.endpoint_installation AS i
     SET system_identifier = s.system_identifier::text, database_oid = d.oid, database_name = d.datname, recorded_by = 'adopt', recorded_at = clock_timestamp()
    FROM pg_control_system() AS s, pg_database AS d
   WHERE d.datname = current_database() AND (i.system_identifier, i.database_oid) <> (s.system_identifier::text, d.oid);
  RETURN FOUND;
END;
$function$;

COMMENT ON FUNCTION walpost_internal.reason_problem(text, text) IS 'Raises an error of a reason that is too long, or no line.';
COMMENT ON FUNCTION walpost_internal.set_endpoint_state(walpost.endpoints, text, text, text) IS 'Writes the state of an endpoint, and the row of the change.';
COMMENT ON FUNCTION walpost_internal.streams_outbox() IS 'Whether what is written to walpost.outbox is sent, or will be.';
COMMENT ON FUNCTION walpost_internal.publish_endpoint_event(walpost.endpoints, text, jsonb) IS 'Writes an event of walpost about an endpoint into the outbox.';
COMMENT ON FUNCTION walpost_internal.unsettled_since() IS
  'Everything that was committed before this time is settled for every slot; null where nothing waits, as with a relay that keeps up.';
COMMENT ON FUNCTION walpost_internal.job_since(bigint, text) IS
  'What a job of the slot sends was committed at this time or later, or the rows do not tell it apart; null where no checkpoint is settled.';
COMMENT ON FUNCTION walpost_internal.parked_since(walpost.endpoints, walpost.cursor) IS
  'What of a slot is parked for an endpoint was committed at this time or later; null where nothing is.';
COMMENT ON FUNCTION walpost_internal.end_endpoint(walpost.endpoints, text, timestamptz) IS
  'Disables an endpoint, notes since when it misses events, and publishes walpost.endpoint.disabled.';
COMMENT ON FUNCTION walpost.pause_endpoint(uuid, text) IS
  'Sends nothing to an endpoint until it is enabled; its events are parked, in order. False when it is paused already.';
COMMENT ON FUNCTION walpost.enable_endpoint(uuid) IS
  'Sends to an endpoint again. What was parked while it was paused goes first; what it missed while it was disabled is for walpost endpoints recover. False when it is enabled already.';
COMMENT ON FUNCTION walpost.disable_endpoint(uuid, text) IS
  'Sends nothing to an endpoint, discards what is parked for it, and publishes walpost.endpoint.disabled. False when it is disabled already.';
COMMENT ON FUNCTION walpost_internal.disable_failing_endpoint(uuid, bigint, text, timestamptz) IS
  'What the relay does with an endpoint that is gone or has failed for too long. False when it was changed after known_change, or is not enabled; null while a transaction holds it.';
COMMENT ON FUNCTION walpost_internal.forget_missed(uuid) IS 'What an endpoint has missed is being sent to it.';
COMMENT ON FUNCTION walpost.send_test_event(uuid) IS
  'Sends an event of the type walpost.endpoint.test to one endpoint, whatever its patterns are, and returns the id of the event.';
COMMENT ON FUNCTION walpost_internal.adopt_endpoints() IS
  'Lets the endpoints of a copy of the database get its events. False when they do already, or there are none.';
