-- Delivery under failure: lanes that wait for a person, events that end the process, and what became of each attempt.

ALTER TABLE walpost.dead_letters ADD COLUMN blocks boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN walpost.dead_letters.blocks IS
  'The lane of its sink and organization waits until this dead letter is gone, or until this is set to false (delivery.on_dead_letter: block).';

CREATE INDEX dead_letters_blocks_idx ON walpost.dead_letters (slot, sink, organization_id) WHERE blocks;
COMMENT ON INDEX walpost.dead_letters_blocks_idx IS 'Lanes that wait for a person.';

CREATE INDEX dead_letters_sink_idx ON walpost.dead_letters (slot, sink, id);
COMMENT ON INDEX walpost.dead_letters_sink_idx IS 'Listing and redriving by sink.';

CREATE FUNCTION walpost.ring_for_lanes() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
  PERFORM pg_notify('walpost_wake', json_build_object('slot', OLD.slot)::text);
  RETURN NULL;
END;
$function$;
COMMENT ON FUNCTION walpost.ring_for_lanes() IS
  'Notifies channel walpost_wake, so that the leader looks which lanes still wait for a person.';

CREATE TRIGGER dead_letters_ring AFTER DELETE OR UPDATE OF blocks ON walpost.dead_letters
  FOR EACH ROW WHEN (OLD.blocks) EXECUTE FUNCTION walpost.ring_for_lanes();
COMMENT ON TRIGGER dead_letters_ring ON walpost.dead_letters IS 'A lane that waited for a person may go on.';

ALTER TABLE walpost.cursor
  ADD COLUMN starts integer NOT NULL DEFAULT 0,
  ADD COLUMN starts_lsn pg_lsn,
  ADD COLUMN in_flight jsonb,
  ADD COLUMN blamed jsonb NOT NULL DEFAULT '[]';
COMMENT ON COLUMN walpost.cursor.starts IS
  'Starts of a process in a row that ended neither in good order nor with progress; 0 after a stop in good order.';
COMMENT ON COLUMN walpost.cursor.starts_lsn IS 'Where the cursor stood at the last start.';
COMMENT ON COLUMN walpost.cursor.in_flight IS
  'The one event that is with a sink while the relay goes carefully, after several starts without progress; null otherwise.';
COMMENT ON COLUMN walpost.cursor.blamed IS
  'Events that were with a sink when the process died while it went carefully; they become dead letters.';

CREATE TABLE walpost.delivery_log (
  id              bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
  slot            text        NOT NULL,
  sink            text        NOT NULL,
  organization_id text        NOT NULL,
  first_event_id  text        NOT NULL,
  last_event_id   text        NOT NULL,
  event_ids       text[]      NOT NULL,
  events          integer     NOT NULL,
  attempt         integer     NOT NULL,
  job             text,
  outcome         text        NOT NULL,
  reason          text,
  duration_ms     real        NOT NULL,
  at              timestamptz NOT NULL,

  CONSTRAINT delivery_log_pkey PRIMARY KEY (id),
  CONSTRAINT delivery_log_outcome CHECK (outcome IN ('delivered', 'rejected', 'failed', 'unavailable'))
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

CREATE INDEX delivery_log_at_idx ON walpost.delivery_log (at);
CREATE INDEX delivery_log_organization_idx ON walpost.delivery_log (organization_id, at);

COMMENT ON TABLE walpost.delivery_log IS
  'What became of each attempt (delivery.log). It is written beside the path of the events: under pressure rows are left out, and after seven days they are removed.';
COMMENT ON INDEX walpost.delivery_log_at_idx IS 'Removing what is old.';
COMMENT ON INDEX walpost.delivery_log_organization_idx IS 'The attempts of one tenant.';
COMMENT ON COLUMN walpost.delivery_log.id IS 'Number of the row.';
COMMENT ON COLUMN walpost.delivery_log.slot IS 'The slot whose leader tried.';
COMMENT ON COLUMN walpost.delivery_log.sink IS 'Where it was to go.';
COMMENT ON COLUMN walpost.delivery_log.organization_id IS 'The tenant.';
COMMENT ON COLUMN walpost.delivery_log.first_event_id IS 'First event of the batch.';
COMMENT ON COLUMN walpost.delivery_log.last_event_id IS 'Last event of the batch.';
COMMENT ON COLUMN walpost.delivery_log.event_ids IS 'All events of the batch, in order.';
COMMENT ON COLUMN walpost.delivery_log.events IS 'How many events the batch had.';
COMMENT ON COLUMN walpost.delivery_log.attempt IS '1 for the first try.';
COMMENT ON COLUMN walpost.delivery_log.job IS 'The replay or redrive that sent it; null for events of the stream.';
COMMENT ON COLUMN walpost.delivery_log.outcome IS 'The first answer that is not delivered; delivered when all were.';
COMMENT ON COLUMN walpost.delivery_log.reason IS 'What the destination said, cut, without secrets; null when delivered.';
COMMENT ON COLUMN walpost.delivery_log.duration_ms IS 'How long the attempt took.';
COMMENT ON COLUMN walpost.delivery_log.at IS 'When the answer came.';
