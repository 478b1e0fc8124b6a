-- Canaries of walpost verify: which were sent, and which the relay has received.

CREATE TABLE walpost.canaries (
  id         bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
  event_id   text        NOT NULL,
  number     integer,
  sent_at    timestamptz,
  arrived_at timestamptz,
  slot       text,

  CONSTRAINT canaries_pkey PRIMARY KEY (id),
  CONSTRAINT canaries_sent_or_arrived CHECK ((sent_at IS NULL) <> (arrived_at IS NULL) AND (sent_at IS NULL) = (number IS NULL)),
  CONSTRAINT canaries_slot CHECK ((slot IS NULL) = (arrived_at IS NULL))
);

CREATE INDEX canaries_event_id_idx ON walpost.canaries (event_id);

COMMENT ON TABLE walpost.canaries IS
  'The canaries of walpost verify: a row when one is sent, and one each time that the relay receives it. The command removes them at its end; after a crash the next run does, or walpost.prune after a day.';
COMMENT ON INDEX walpost.canaries_event_id_idx IS 'What has arrived of what was sent.';
COMMENT ON COLUMN walpost.canaries.id IS 'Order of arrival.';
COMMENT ON COLUMN walpost.canaries.event_id IS 'Id of the event.';
COMMENT ON COLUMN walpost.canaries.number IS 'Its number in the run, from 1; null in the row of an arrival.';
COMMENT ON COLUMN walpost.canaries.sent_at IS 'When it was written to the outbox; null in the row of an arrival.';
COMMENT ON COLUMN walpost.canaries.arrived_at IS 'When the relay has stored its arrival; null in the row of the sending.';
COMMENT ON COLUMN walpost.canaries.slot IS 'The slot that it came through; null in the row of the sending.';
