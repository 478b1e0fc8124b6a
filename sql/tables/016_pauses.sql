-- A pause is a row of walpost.lanes; an empty organization stands for the whole sink.

ALTER TABLE walpost.lanes ADD COLUMN pause_reason text;

COMMENT ON COLUMN walpost.lanes.pause_reason IS 'Why it was paused, in the words of who did it; null when nothing was said.';
COMMENT ON COLUMN walpost.lanes.organization_id IS 'The tenant; empty: all tenants of the sink, which is paused.';
COMMENT ON COLUMN walpost.lanes.state IS 'failing: the first event was not accepted, and is tried again; refusing: the destination answers, and refuses everything; paused: a person has said that nothing is sent.';
COMMENT ON COLUMN walpost.lanes.paused_by IS 'Who paused it; null while it is not paused.';
COMMENT ON COLUMN walpost.lanes.paused_at IS 'When it was paused; null while it is not paused.';
