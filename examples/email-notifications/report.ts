/** Queue, errors, alerts and the event log. */
import pg from 'pg';
import { table } from '../support/table.ts';

const REPORT: Readonly<Record<string, string>> = {
  'Queue (walpost.queue_status)':
    'SELECT state, name, events, oldest_at FROM walpost.queue_status ORDER BY state, name',
  'Errors (walpost.error_summary)': `
    SELECT sink, reason, event_type, events, last_detail FROM walpost.error_summary ORDER BY events DESC`,
  'Alerts (walpost.alerts)': `
    SELECT severity, name, subject, trim_scale(value) AS value, threshold FROM walpost.alerts ORDER BY severity, name`,
  'Event log, the last ten attempts (walpost.delivery_log)': `
    SELECT at, sink, attempt, cardinality(event_ids) AS mails, outcome, round(duration_ms) AS ms, reason
      FROM (SELECT * FROM walpost.delivery_log ORDER BY at DESC LIMIT 10) AS newest ORDER BY at`,
};

const client = new pg.Client({ connectionString: process.env['OPERATOR_URL'] });
await client.connect();
for (const [title, sql] of Object.entries(REPORT)) {
  console.log(`${title}\n${table((await client.query<Record<string, unknown>>(sql)).rows)}`);
}
await client.end();
