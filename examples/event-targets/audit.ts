/**
 * `npm run audit`: compares what was committed with what has become of it, target by target. It waits for events that are on
 * their way, and ends with exit code 1 when one is lost, refused, or took effect twice at n8n.
 */
import pg from 'pg';
import { lookUntil } from '../support/look-until.ts';
import { table } from '../support/table.ts';

const PATIENCE_MS = 60_000;

/** Delivered: a checkpoint proves that the target has accepted it. Operators see all organizations. */
const COMPARISON = `
  SELECT o.target, count(*)::integer AS events,
         count(*) FILTER (WHERE walpost.event_status(o.event_id) = 'delivered')::integer AS delivered,
         count(*) FILTER (WHERE walpost.event_status(o.event_id) = 'dead')::integer AS dead,
         CASE o.target WHEN 'n8n' THEN count(*) FILTER (WHERE r.runs IS NULL)::integer END AS "never run",
         CASE o.target WHEN 'n8n' THEN count(*) FILTER (WHERE r.runs > 1)::integer END AS "run twice"
    FROM walpost.outbox AS o
    LEFT JOIN (SELECT event_id, count(*) AS runs FROM app.workflow_runs GROUP BY event_id) AS r USING (event_id)
   GROUP BY o.target ORDER BY o.target`;

interface Row extends Record<string, unknown> {
  readonly events: number;
  readonly delivered: number;
  readonly 'run twice': number | null;
  readonly 'never run': number | null;
}

const client = new pg.Client({ connectionString: process.env['OPERATOR_URL'] });
await client.connect();
const compare = async (): Promise<Row[]> => (await client.query<Row>(COMPARISON)).rows;
const isDelivered = ({ events, delivered }: Row): boolean => delivered === events;
const rows = await lookUntil(compare, (found) => found.every(isDelivered), PATIENCE_MS);
await client.end();
process.stdout.write(table(rows));
const isWhole = rows.every((row) => isDelivered(row) && !row['never run'] && !row['run twice']);
console.log(isWhole ? 'Every event was delivered, and each workflow has run once.' : 'The books do not agree.');
if (!isWhole) process.exitCode = 1;
