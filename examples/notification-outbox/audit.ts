/**
 * `npm run audit [seconds]`: compares what was committed with what the receiver has, for all organizations. It waits up to 30
 * seconds for events that are on their way, and ends with exit code 1 when one is lost, there twice, or out of order.
 */
import pg from 'pg';
import { lookUntil } from '../support/look-until.ts';

const patienceMs = Number(process.argv[2] ?? 30) * 1_000;

/** Of the events that were written until $1. A dead letter is not lost: it waits for a person. */
const COMPARISON = `
  WITH written AS (SELECT event_id FROM walpost.outbox WHERE created_at <= $1),
  placed AS (
    SELECT (lsn, ordinal) < lag((lsn, ordinal)) OVER (PARTITION BY organization_id ORDER BY seq) AS is_early
      FROM app.notifications WHERE lsn IS NOT NULL)
  SELECT (SELECT count(*) FROM written)::integer AS events,
         (SELECT count(*) FROM written AS w
           WHERE NOT EXISTS (SELECT FROM app.notifications AS n WHERE n.event_id = w.event_id)
             AND NOT EXISTS (SELECT FROM walpost.dead_letters AS d WHERE d.event_id = w.event_id::text))::integer AS missing,
         (SELECT count(*) - count(DISTINCT event_id) FROM app.notifications)::integer AS twice,
         (SELECT count(*) FROM placed WHERE is_early)::integer AS early,
         (SELECT count(*) FROM walpost.dead_letters)::integer AS dead`;

interface Outcome {
  readonly events: number;
  readonly missing: number;
  readonly twice: number;
  readonly early: number;
  readonly dead: number;
}

// The owner of the tables: no other role sees all organizations.
const client = new pg.Client({ connectionString: process.env['OWNER_URL'] });
await client.connect();
const { rows: clock } = await client.query<{ now: string }>('SELECT clock_timestamp()::text AS now');
const compare = async (): Promise<Outcome> =>
  (await client.query<Outcome>(COMPARISON, [clock[0]?.now])).rows[0] as Outcome;
const outcome = await lookUntil(compare, ({ missing }) => missing === 0, patienceMs);
await client.end();
const { events, missing, twice, early, dead } = outcome;
console.log(`${events} events: ${missing} lost, ${twice} twice, ${early} out of order, ${dead} dead letters`);
process.exitCode = missing + twice + early > 0 ? 1 : 0;
