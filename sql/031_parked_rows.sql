-- What a job sends is named by the row that it found, not by the id of the event: nothing keeps the ids of a mapped table
-- unique, and of two rows with one id the second must not pass for the first one, stored again.

ALTER TABLE walpost.parked ADD COLUMN job_row text;

-- Parking, and reading back, stand still while the index is made: seconds for each GB that is parked.
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX walpost.parked_job_key;
CREATE UNIQUE INDEX parked_job_key ON walpost.parked (slot, sink, job, job_row) WHERE job IS NOT NULL;

COMMENT ON COLUMN walpost.parked.job_row IS
  'The row that the job found it in: created_xid and seq in the outbox, or the number of the dead letter; null for an event of the stream.';
COMMENT ON INDEX walpost.parked_job_key IS 'Storing the same row of a job again does nothing.';
