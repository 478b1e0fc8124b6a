-- What could not be delivered, or never became an event, with the reason, for a person.
-- Everything is kept as text, as it was received: storing a dead letter must never fail because of what is in it.

CREATE TABLE walpost.dead_letters (
  id                bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
  slot              text        NOT NULL,
  system_identifier text        NOT NULL,
  epoch             bigint      NOT NULL,
  sink              text,
  lane              text        NOT NULL DEFAULT '',
  reason            text        NOT NULL,
  detail            text        NOT NULL,
  answer            text,
  attempts          integer     NOT NULL,
  commit_lsn        pg_lsn,
  ordinal           integer,
  event_id          text,
  organization_id   text,
  event_type        text,
  event_version     integer,
  topic             text,
  entity_type       text,
  entity_id         text,
  target            text,
  idempotency_key   text,
  payload           text,
  headers           text,
  created_at        timestamptz,
  committed_at      timestamptz,
  poison_row        text,
  blocks            boolean     NOT NULL DEFAULT false,
  stored_at         timestamptz NOT NULL DEFAULT clock_timestamp(),

  CONSTRAINT dead_letters_pkey PRIMARY KEY (id),
  CONSTRAINT dead_letters_position CHECK ((commit_lsn IS NULL) = (ordinal IS NULL)),
  -- No list of reasons: a newer program stores ones that this table has never heard of, and storing must not fail.
  CONSTRAINT dead_letters_content CHECK (reason <> 'poison' OR poison_row IS NOT NULL)
);

-- A position names one event of one slot of one cluster: the same event that comes again after a restart is stored once.
-- Events of a heal or a replay have no position.
CREATE UNIQUE INDEX dead_letters_position_key
    ON walpost.dead_letters (commit_lsn, ordinal, sink, lane, slot, system_identifier) NULLS NOT DISTINCT
 WHERE commit_lsn IS NOT NULL;
CREATE INDEX dead_letters_organization_idx ON walpost.dead_letters (organization_id, id);
CREATE INDEX dead_letters_event_id_idx ON walpost.dead_letters (event_id);
CREATE INDEX dead_letters_event_uuid_idx ON walpost.dead_letters (walpost_internal.uuid_or_null(event_id));
CREATE INDEX dead_letters_blocks_idx ON walpost.dead_letters (slot, sink, organization_id, lane) WHERE blocks;
CREATE INDEX dead_letters_sink_idx ON walpost.dead_letters (slot, sink, id);

COMMENT ON TABLE walpost.dead_letters IS 'Events and rows that walpost has given up on, with the reason; see walpost dead-letters.';
COMMENT ON INDEX walpost.dead_letters_position_key IS 'Storing the same dead letter again does nothing.';
COMMENT ON INDEX walpost.dead_letters_organization_idx IS 'Listing by organization.';
COMMENT ON INDEX walpost.dead_letters_event_id_idx IS 'Finding what became of an event.';
COMMENT ON INDEX walpost.dead_letters_event_uuid_idx IS 'Finding what became of an event of walpost.outbox.';
COMMENT ON INDEX walpost.dead_letters_blocks_idx IS 'Lanes that wait for a person.';
COMMENT ON INDEX walpost.dead_letters_sink_idx IS 'Listing and redriving by sink.';
COMMENT ON COLUMN walpost.dead_letters.id IS 'Number of the dead letter, for the command line.';
COMMENT ON COLUMN walpost.dead_letters.slot IS 'The slot that it came from.';
COMMENT ON COLUMN walpost.dead_letters.system_identifier IS 'The cluster that the position belongs to.';
COMMENT ON COLUMN walpost.dead_letters.epoch IS 'The leader that stored it.';
COMMENT ON COLUMN walpost.dead_letters.sink IS 'The sink that was meant; null when no route matched or the row never became an event.';
COMMENT ON COLUMN walpost.dead_letters.lane IS 'Which lane of the tenant; empty for its own.';
COMMENT ON COLUMN walpost.dead_letters.reason IS
  'poison: the row is no event; unrouted: no route matched; rejected: the destination refused it for good; failed: it failed too often; unavailable: the destination was away too long; crash: it ended the process. Others may come.';
COMMENT ON COLUMN walpost.dead_letters.detail IS 'What went wrong last, or the fault of the row, in the words of walpost.';
COMMENT ON COLUMN walpost.dead_letters.answer IS
  'What the destination said last, in its own words, cut, without the secrets of the sink; not for walpost_reader. Null when it said nothing.';
COMMENT ON COLUMN walpost.dead_letters.attempts IS 'How often delivery was tried.';
COMMENT ON COLUMN walpost.dead_letters.commit_lsn IS 'Commit LSN of its transaction; null when it came from the table and not from the stream.';
COMMENT ON COLUMN walpost.dead_letters.ordinal IS 'Its number in that transaction, from 0.';
COMMENT ON COLUMN walpost.dead_letters.event_id IS 'Id of the event.';
COMMENT ON COLUMN walpost.dead_letters.organization_id IS 'The tenant.';
COMMENT ON COLUMN walpost.dead_letters.event_type IS 'What happened.';
COMMENT ON COLUMN walpost.dead_letters.event_version IS 'Version of the schema of the payload.';
COMMENT ON COLUMN walpost.dead_letters.topic IS 'Routes choose by it.';
COMMENT ON COLUMN walpost.dead_letters.entity_type IS 'Kind of the thing that the event is about.';
COMMENT ON COLUMN walpost.dead_letters.entity_id IS 'Id of the thing that the event is about.';
COMMENT ON COLUMN walpost.dead_letters.target IS 'Optional hint for routes.';
COMMENT ON COLUMN walpost.dead_letters.idempotency_key IS 'The producer''s own key.';
COMMENT ON COLUMN walpost.dead_letters.payload IS 'The payload, exactly as it was received.';
COMMENT ON COLUMN walpost.dead_letters.headers IS 'The headers, exactly as they were received.';
COMMENT ON COLUMN walpost.dead_letters.created_at IS 'When the row was written.';
COMMENT ON COLUMN walpost.dead_letters.committed_at IS 'When its transaction committed.';
COMMENT ON COLUMN walpost.dead_letters.poison_row IS 'What could be read of a row that is no event.';
COMMENT ON COLUMN walpost.dead_letters.blocks IS
  'The lane waits until this dead letter is gone, or until this is set to false (delivery.on_dead_letter: block).';
COMMENT ON COLUMN walpost.dead_letters.stored_at IS 'When it was stored here.';
