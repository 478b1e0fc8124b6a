/** Rows as a relay stores them, for commands that read and change them. */
import type { TestDatabase } from './database.ts';

export interface PlantedRows {
  readonly slot: string;
  readonly sink: string;
  readonly organization: string;
  readonly count: number;
  /** Of the first one; they count up from there. */
  readonly place?: number;
}

export async function plantParked(database: TestDatabase, planted: PlantedRows): Promise<void> {
  const { slot, sink, organization, count, place = 1 } = planted;
  await database.query(
    `INSERT INTO walpost.parked (slot, epoch, sink, organization_id, history, order_lsn, order_job, place, commit_lsn, ordinal,
       event_id, event_type, event_version, topic, payload, headers, size, received_at)
     SELECT $1, 1, $2, $3, 0, '0/1', false, n, '0/1', n, gen_random_uuid(), 'job.completed', 1, 'default', '{"n": 1}', '{}', 8,
            now() - interval '10 minutes'
       FROM generate_series($5::integer, $5::integer + $4::integer - 1) AS n`,
    [slot, sink, organization, count, place],
  );
}

export async function plantDeadLetters(database: TestDatabase, planted: PlantedRows): Promise<void> {
  const { slot, sink, organization, count, place = 1 } = planted;
  await database.query(
    `INSERT INTO walpost.dead_letters (slot, system_identifier, epoch, sink, reason, detail, answer, attempts, commit_lsn, ordinal,
       event_id, organization_id, event_type, event_version, topic, payload, headers)
     SELECT $1, (SELECT system_identifier::text FROM pg_control_system()), 1, $2, 'failed', 'HTTP 422', 'the field amount is missing', 3,
            '0/1', n, gen_random_uuid(), $3, 'job.completed', 1, 'default', '{"n": 1}', '{}'
       FROM generate_series($5::integer, $5::integer + $4::integer - 1) AS n`,
    [slot, sink, organization, count, place],
  );
}
