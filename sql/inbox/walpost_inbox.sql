-- The inbox of a database that receives events of walpost: apply it there, as the owner of the schema. It is no part of the
-- schema that `walpost migrate` keeps. docs/sinks/postgres.md says how to read it.
CREATE TABLE IF NOT EXISTS public.walpost_inbox (
  event_id text PRIMARY KEY,
  seq bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  organization_id text NOT NULL,
  event_type text NOT NULL,
  topic text NOT NULL,
  envelope json NOT NULL,
  received_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  processed_at timestamptz
);

CREATE INDEX IF NOT EXISTS walpost_inbox_open ON public.walpost_inbox (seq) WHERE processed_at IS NULL;

COMMENT ON TABLE public.walpost_inbox IS 'Events that walpost delivered here, each one once.';
COMMENT ON COLUMN public.walpost_inbox.event_id IS 'Identity of the event; a repeated event is dropped by it.';
COMMENT ON COLUMN public.walpost_inbox.seq IS 'Order of arrival; inside one organization that of the outbox. There are gaps.';
COMMENT ON COLUMN public.walpost_inbox.organization_id IS 'The organization of the event.';
COMMENT ON COLUMN public.walpost_inbox.event_type IS 'The type of the event, such as job.completed.';
COMMENT ON COLUMN public.walpost_inbox.topic IS 'The topic of the event.';
COMMENT ON COLUMN public.walpost_inbox.envelope IS 'The whole event, byte for byte as every sink sends it.';
COMMENT ON COLUMN public.walpost_inbox.received_at IS 'When walpost wrote the row.';
COMMENT ON COLUMN public.walpost_inbox.processed_at IS 'Set by the application that has taken the event; null until then.';
COMMENT ON INDEX public.walpost_inbox_open IS 'Events that no application has taken yet, in order.';
