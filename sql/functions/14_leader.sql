-- Functions for the leader: notifications, the check of a new replay, and who holds the leader's lock.
--
-- The notifications only wake the leader. It looks without them too, so a full notification queue must not make a statement fail.

CREATE OR REPLACE FUNCTION walpost_internal.notify_jobs() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
  IF pg_notification_queue_usage() < 0.5 THEN
    PERFORM pg_notify('walpost_jobs', NEW.slot);
  END IF;
  RETURN NULL;
END;
$function$;

CREATE OR REPLACE FUNCTION walpost_internal.notify_lanes() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
  IF pg_notification_queue_usage() < 0.5 THEN
    PERFORM pg_notify('walpost_wake', OLD.slot);
  END IF;
  RETURN NULL;
END;
$function$;

CREATE OR REPLACE FUNCTION walpost_internal.notify_retries() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
  PERFORM pg_notify('walpost_wake', a.slot) FROM (SELECT DISTINCT n.slot FROM asked AS n) AS a
    WHERE pg_notification_queue_usage() < 0.5;
  RETURN NULL;
END;
$function$;

CREATE OR REPLACE FUNCTION walpost_internal.check_replay() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
  PERFORM walpost_internal.take_prune_turn(with_others => true);
  IF NOT EXISTS (SELECT FROM walpost.checkpoints AS c
                  WHERE c.slot = NEW.slot AND c.snapshot::text = NEW.after_snapshot::text) THEN
    RAISE EXCEPTION 'walpost: the checkpoint that this replay begins at is not there any more'
      USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Ask for the replay again: what can be replayed begins later now.';
  END IF;
  RETURN NEW;
END;
$function$;

CREATE OR REPLACE FUNCTION walpost.leader_lock(
  slot text,
  OUT pid integer, OUT role name, OUT application_name text, OUT address text, OUT is_stranger boolean
) RETURNS SETOF record
LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT l.pid, coalesce(r.rolname, p.owner), coalesce(a.application_name, 'prepared transaction ' || p.gid),
         host(a.client_addr),
         -- A leader is one that may write the cursor, and says that it is one, or a standby that gets the lock just now. Of a
         -- session that has just ended nothing is known.
         p.gid IS NOT NULL
         OR coalesce(a.application_name <> 'walpost leader' AND a.application_name NOT LIKE 'walpost standby%'
                     OR NOT has_table_privilege(a.usesysid, 'walpost.cursor', 'UPDATE'), false)
    FROM pg_locks AS l
         JOIN pg_database AS d ON d.oid = l.database AND d.datname = current_database()
         LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
         LEFT JOIN pg_roles AS r ON r.oid = a.usesysid
         LEFT JOIN pg_locks AS t
           ON l.pid IS NULL AND t.pid IS NULL AND t.locktype = 'transactionid' AND t.virtualtransaction = l.virtualtransaction
         LEFT JOIN pg_prepared_xacts AS p ON p.transaction = t.transactionid
   WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
     AND (l.classid::bigint << 32 | l.objid::bigint)
         = ('x' || encode(substr(sha256(convert_to('walpost leader ' || slot, 'UTF8')), 1, 8), 'hex'))::bit(64)::bigint
   ORDER BY 5 DESC, 1;
END;

CREATE OR REPLACE FUNCTION walpost.standbys(slot text, OUT pid integer, OUT role name, OUT address text, OUT since timestamptz)
RETURNS SETOF record
LANGUAGE sql STABLE
BEGIN ATOMIC
  -- A name of more than 63 bytes is cut by the server.
  SELECT a.pid, a.usename, host(a.client_addr), a.backend_start FROM pg_stat_activity AS a
   WHERE a.datname = current_database() AND a.application_name = left('walpost standby ' || slot, 63)
   ORDER BY a.backend_start, a.pid;
END;

COMMENT ON FUNCTION walpost.standbys(text) IS
  'The sessions that wait for the leader''s lock of a slot; address and since are null where the caller may not see them.';
COMMENT ON FUNCTION walpost_internal.notify_jobs() IS
  'Notifies channel walpost_jobs, so that the leader looks at walpost.jobs.';
COMMENT ON FUNCTION walpost_internal.notify_lanes() IS
  'Notifies channel walpost_wake, so that the leader looks which lanes still wait for a person.';
COMMENT ON FUNCTION walpost_internal.notify_retries() IS
  'Notifies channel walpost_wake, so that the leader looks at walpost.retry_requests.';
COMMENT ON FUNCTION walpost_internal.check_replay() IS
  'Refuses a replay whose rows may have left the outbox since it was planned.';
COMMENT ON FUNCTION walpost.leader_lock(text) IS
  'The sessions that hold the leader''s lock of a slot, strangers first: those that cannot lead and keep others from it.';
