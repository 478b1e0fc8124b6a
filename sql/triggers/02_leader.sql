-- The leader is notified of rows that it has to look at.

CREATE OR REPLACE TRIGGER jobs_notify AFTER INSERT OR UPDATE OF state ON walpost.jobs
  FOR EACH ROW EXECUTE FUNCTION walpost_internal.notify_jobs();
CREATE OR REPLACE TRIGGER jobs_check_replay BEFORE INSERT ON walpost.jobs
  FOR EACH ROW WHEN (NEW.kind = 'replay' AND NEW.after_snapshot IS NOT NULL) EXECUTE FUNCTION walpost_internal.check_replay();
CREATE OR REPLACE TRIGGER dead_letters_notify AFTER DELETE OR UPDATE OF blocks ON walpost.dead_letters
  FOR EACH ROW WHEN (OLD.blocks) EXECUTE FUNCTION walpost_internal.notify_lanes();
CREATE OR REPLACE TRIGGER retry_requests_notify AFTER INSERT ON walpost.retry_requests
  REFERENCING NEW TABLE AS asked FOR EACH STATEMENT EXECUTE FUNCTION walpost_internal.notify_retries();

COMMENT ON TRIGGER jobs_notify ON walpost.jobs IS 'Wakes the leader, and whoever follows a job.';
COMMENT ON TRIGGER jobs_check_replay ON walpost.jobs IS 'Refuses a replay whose rows may have left the outbox since it was planned.';
COMMENT ON TRIGGER dead_letters_notify ON walpost.dead_letters IS 'A lane that waited for a person may go on.';
COMMENT ON TRIGGER retry_requests_notify ON walpost.retry_requests IS 'Wakes the leader.';
