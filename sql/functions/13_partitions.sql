-- The outbox in daily partitions: a day leaves with one DROP, and the indexes of old days are not touched any more.
--
-- This is optional and one way. partition_outbox turns the present table into the first partition, which ends with tomorrow, under a short
-- lock. prune, which the relay calls, makes the following days ahead of time and drops those that are past the retention and proven. A
-- default partition takes rows of a day that has no partition.

CREATE OR REPLACE FUNCTION walpost_internal.first_partition_day() RETURNS timestamptz
LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT coalesce(max((regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(MINVALUE\) TO \(''([^'']+)''\)'))[1]::timestamptz), '-infinity')
    FROM pg_class AS c WHERE c.relname = 'outbox_before' AND c.relnamespace = 'walpost'::regnamespace;
END;

CREATE OR REPLACE FUNCTION walpost_internal.make_partitions(days_ahead integer DEFAULT 3) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '50ms'
AS $function$
DECLARE
  today CONSTANT timestamptz := date_trunc('day', clock_timestamp(), 'UTC');
  day   timestamptz;
  name  text;
  made  integer := 0;
BEGIN
  FOR n IN 0 .. days_ahead + 1 LOOP
    day := today + n * interval '1 day';
    name := 'outbox_' || to_char(day AT TIME ZONE 'UTC', 'YYYYMMDD');
    CONTINUE WHEN to_regclass('walpost.' || name) IS NOT NULL OR day < walpost_internal.first_partition_day();
    BEGIN
      -- Attached, because PARTITION OF would lock out the writers.
      EXECUTE format('CREATE TABLE walpost.%I (LIKE walpost.outbox INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING COMMENTS)', name);
      EXECUTE format('COMMENT ON TABLE walpost.%I IS ''Events of one day.''', name);
      PERFORM walpost_internal.isolate(format('walpost.%I', name)::regclass);
      EXECUTE format('ALTER TABLE walpost.outbox ATTACH PARTITION walpost.%I FOR VALUES FROM (%L) TO (%L)', name, day, day + interval '1 day');
      PERFORM walpost_internal.mend(format('walpost.%I', name)::regclass); -- default privileges may have opened it
      made := made + 1;
    EXCEPTION WHEN check_violation OR lock_not_available THEN
      NULL; -- its first rows are in the default partition, and the day stays there; or somebody is in the way
    END;
  END LOOP;
  RETURN made;
END;
$function$;

CREATE OR REPLACE FUNCTION walpost_internal.drop_partitions(retention interval) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
-- Writers wait behind the lock that this needs, so it is not waited for.
SET lock_timeout = '50ms'
AS $function$
DECLARE
  part      record;
  stays     boolean;
  noted     integer;
  newest    xid8;
  snapshots CONSTANT pg_snapshot[] := (SELECT array_agg(walpost_internal.proven_snapshot(c.slot)) FROM walpost.cursor AS c);
BEGIN
  IF snapshots IS NULL OR EXISTS (SELECT FROM unnest(snapshots) AS s WHERE s IS NULL) THEN
    RETURN 0;
  END IF;
  FOR part IN
    SELECT c.oid::regclass AS name
      FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
     WHERE i.inhparent = 'walpost.outbox'::regclass
       AND (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \(''([^'']+)''\)'))[1]::timestamptz < clock_timestamp() - retention
     ORDER BY c.relname
  LOOP
    -- Rows of a topic with a longer retention keep the day; prune_topic removes the others from it.
    EXECUTE format(
      'SELECT EXISTS (SELECT FROM %s AS o LEFT JOIN walpost_internal.topics_with_retention() AS t ON t.topic = o.topic
                       WHERE NOT (SELECT bool_and(pg_visible_in_snapshot(o.created_xid, s)) FROM unnest($1) AS s)
                          OR o.created_at >= clock_timestamp() - t.retention)', part.name)
      INTO stays USING snapshots;
    CONTINUE WHEN stays;
    -- What the log may know of the day stays findable. A call writes so many, so that none takes long; the last one drops.
    EXECUTE format(
      'INSERT INTO walpost.pruned_events (event_id, organization_id, event_type, created_at, pruned_at)
       SELECT o.event_id, o.organization_id, o.event_type, o.created_at, clock_timestamp() FROM %s AS o
              JOIN (SELECT l.organization_id, max(l.at) AS last FROM walpost.delivery_log AS l GROUP BY l.organization_id) AS logged
                ON logged.organization_id = o.organization_id::text AND logged.last >= o.created_at
        WHERE NOT EXISTS (SELECT FROM walpost.pruned_events AS p WHERE p.event_id = o.event_id)
        LIMIT 100000
       ON CONFLICT ON CONSTRAINT pruned_events_pkey DO NOTHING', part.name);
    GET DIAGNOSTICS noted = ROW_COUNT;
    IF noted > 0 THEN
      RETURN noted;
    END IF;
    -- Replay must not promise rows that are gone (triggers/01_outbox.sql); the newest settled checkpoint stays.
    EXECUTE format('SELECT o.created_xid FROM %s AS o ORDER BY o.created_xid DESC LIMIT 1', part.name) INTO newest;
    DELETE FROM walpost.checkpoints AS c
     WHERE pg_snapshot_xmin(c.snapshot) <= newest
       AND c.id NOT IN (SELECT DISTINCT ON (s.slot) s.id FROM walpost.checkpoints AS s
                         WHERE s.settled_at IS NOT NULL ORDER BY s.slot, s.lsn DESC, s.id DESC);
    EXECUTE format('DROP TABLE %s', part.name);
    RETURN 1; -- one a call: its lock is held until the transaction ends
  END LOOP;
  RETURN 0;
EXCEPTION WHEN lock_not_available THEN
  RETURN 0;
END;
$function$;

CREATE OR REPLACE FUNCTION walpost.partition_outbox(days_ahead integer DEFAULT 3) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  first_day CONSTANT timestamptz := date_trunc('day', clock_timestamp(), 'UTC') + interval '2 days';
  dependent record;
  reader    name;
  views     text[] := '{}';
  triggers  text[] := '{}';
  statement text;
BEGIN
  IF EXISTS (SELECT FROM pg_class AS c WHERE c.oid = 'walpost.outbox'::regclass AND c.relkind = 'p') THEN
    RAISE EXCEPTION 'walpost.partition_outbox: walpost.outbox is partitioned already'
      USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'walpost.prune makes and drops its days.';
  END IF;
  -- wal2json names rows after their partition, and would leave them all out. What a slot reads is in cursor.source.
  SELECT c.slot INTO reader
    FROM walpost.cursor AS c JOIN pg_replication_slots AS s ON s.slot_name = c.slot
   WHERE s.plugin = 'wal2json' AND s.database = current_database()
     AND coalesce((regexp_match(c.source, ' (\d+) \d+$'))[1]::oid = 'walpost.outbox'::regclass, true)
   LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'walpost.partition_outbox: slot % uses wal2json, which cannot read a partitioned table', reader
      USING ERRCODE = 'object_not_in_prerequisite_state',
            HINT = format('End walpost, set source.plugin to pgoutput, SELECT pg_drop_replication_slot(%L), and start it: it makes the slot anew and loses nothing.', reader);
  END IF;
  LOCK TABLE walpost.outbox IN ACCESS EXCLUSIVE MODE;

  -- Views go on naming the table that they were made over: they are made again over the new one, in the same order.
  FOR dependent IN
    SELECT DISTINCT c.oid, c.oid::regclass AS name, c.relowner::regrole AS owner,
           pg_get_viewdef(c.oid) AS query, array_to_string(c.reloptions, ', ') AS options
      FROM pg_depend AS d
           JOIN pg_rewrite AS r ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass
           JOIN pg_class AS c ON c.oid = r.ev_class AND c.relkind = 'v'
     WHERE d.refobjid = 'walpost.outbox'::regclass AND d.refclassid = 'pg_class'::regclass
     ORDER BY c.oid
  LOOP
    views := views || format('CREATE OR REPLACE VIEW %s%s AS %s', dependent.name,
                             coalesce(' WITH (' || dependent.options || ')', ''), dependent.query);
  END LOOP;

  FOR dependent IN
    SELECT t.tgname AS name, pg_get_triggerdef(t.oid) AS definition, obj_description(t.oid, 'pg_trigger') AS comment
      FROM pg_trigger AS t WHERE t.tgrelid = 'walpost.outbox'::regclass AND NOT t.tgisinternal ORDER BY t.tgname
  LOOP
    triggers := triggers || dependent.definition
      || format('COMMENT ON TRIGGER %I ON walpost.outbox IS %L', dependent.name, dependent.comment);
    EXECUTE format('DROP TRIGGER %I ON walpost.outbox', dependent.name);
  END LOOP;

  ALTER TABLE walpost.outbox RENAME TO outbox_before;
  ALTER TABLE walpost.outbox_before DROP CONSTRAINT outbox_pkey;
  ALTER TABLE walpost.outbox_before ADD CONSTRAINT outbox_before_pkey PRIMARY KEY (event_id, created_at);
  ALTER INDEX walpost.outbox_created_xid_seq_idx RENAME TO outbox_before_created_xid_seq_idx;
  CREATE SEQUENCE walpost.outbox_seq OWNED BY NONE;
  PERFORM setval('walpost.outbox_seq', (SELECT coalesce(max(b.seq), 0) + 1 FROM walpost.outbox_before AS b), false);
  ALTER TABLE walpost.outbox_before ALTER COLUMN seq DROP IDENTITY;
  ALTER TABLE walpost.outbox_before ALTER COLUMN seq SET DEFAULT nextval('walpost.outbox_seq');

  CREATE TABLE walpost.outbox (LIKE walpost.outbox_before INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING COMMENTS)
    PARTITION BY RANGE (created_at);
  ALTER TABLE walpost.outbox ADD CONSTRAINT outbox_pkey PRIMARY KEY (event_id, created_at);
  CREATE INDEX outbox_created_xid_seq_idx ON walpost.outbox (created_xid, seq);
  ALTER SEQUENCE walpost.outbox_seq OWNED BY walpost.outbox.seq;
  COMMENT ON TABLE walpost.outbox IS
    'Events to be delivered, in daily partitions. Insert a row, or call walpost.publish, in the transaction of the change; rows are never updated.';
  COMMENT ON INDEX walpost.outbox_created_xid_seq_idx IS 'The order of heal, replay and prune.';

  EXECUTE format('ALTER TABLE walpost.outbox ATTACH PARTITION walpost.outbox_before FOR VALUES FROM (MINVALUE) TO (%L)', first_day);
  COMMENT ON TABLE walpost.outbox_before IS 'Events from before the outbox was partitioned, and of that day and the next.';
  CREATE TABLE walpost.outbox_default PARTITION OF walpost.outbox DEFAULT;
  COMMENT ON TABLE walpost.outbox_default IS 'Events for whose day no partition was made in time.';

  ALTER PUBLICATION walpost DROP TABLE walpost.outbox_before;
  ALTER PUBLICATION walpost ADD TABLE walpost.outbox;
  FOREACH statement IN ARRAY views LOOP
    EXECUTE replace(replace(statement, 'walpost.outbox_before', 'walpost.outbox'), 'outbox_before', 'outbox');
  END LOOP;
  FOREACH statement IN ARRAY triggers LOOP
    EXECUTE statement;
  END LOOP;
  PERFORM walpost_internal.isolate('walpost.outbox');
  PERFORM walpost.apply_grants();
  PERFORM walpost_internal.make_partitions(days_ahead);
  RETURN format('walpost.outbox is partitioned by day from %s on', first_day::date);
END;
$function$;

COMMENT ON FUNCTION walpost_internal.first_partition_day() IS 'The end of the partition that was the table before.';
COMMENT ON FUNCTION walpost_internal.make_partitions(integer) IS
  'Makes the days of a partitioned outbox that come next; returns how many.';
COMMENT ON FUNCTION walpost_internal.drop_partitions(interval) IS
  'Drops one partition that is past the retention and whose rows are all proven, or first notes a part of its events that the log knows; returns how many, 0 when there is nothing to do.';
COMMENT ON FUNCTION walpost.partition_outbox(integer) IS
  'Turns walpost.outbox into a table with daily partitions; the rows that are there stay in its first one. Locks the table for as long as an index over these rows takes: prune first.';
