-- Alerts that alerts.url is told of.

CREATE TABLE walpost.told_alerts (
  id       uuid        NOT NULL DEFAULT gen_random_uuid(),
  slot     text        NOT NULL,
  name     text        NOT NULL,
  severity text        NOT NULL,
  subject  text        NOT NULL,
  message  text        NOT NULL,
  remedy   text        NOT NULL,
  since    timestamptz NOT NULL DEFAULT clock_timestamp(),
  told_at  timestamptz,
  ended_at timestamptz,

  CONSTRAINT told_alerts_pkey PRIMARY KEY (slot, name, severity, subject)
);

COMMENT ON TABLE walpost.told_alerts IS
  'Alerts that hold, or have ended and the receiver of alerts.url does not know it yet. The leader writes it; a row goes when the receiver has accepted that it ended. At most 200 for each slot.';
COMMENT ON COLUMN walpost.told_alerts.id IS 'What it is called in the webhooks, from its beginning to its end.';
COMMENT ON COLUMN walpost.told_alerts.slot IS 'Slot of the relay that tells it.';
COMMENT ON COLUMN walpost.told_alerts.name IS 'Which alert, as in walpost.alerts.';
COMMENT ON COLUMN walpost.told_alerts.severity IS 'warning or critical.';
COMMENT ON COLUMN walpost.told_alerts.subject IS 'What it is about: a slot, a sink, a session.';
COMMENT ON COLUMN walpost.told_alerts.message IS 'One line, as it was when the alert was first seen.';
COMMENT ON COLUMN walpost.told_alerts.remedy IS 'What to do.';
COMMENT ON COLUMN walpost.told_alerts.since IS 'When the leader first saw it.';
COMMENT ON COLUMN walpost.told_alerts.told_at IS 'When the receiver accepted that it fired; null before.';
COMMENT ON COLUMN walpost.told_alerts.ended_at IS 'When the leader saw that it has ended; null while it holds.';
