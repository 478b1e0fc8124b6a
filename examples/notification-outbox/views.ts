/** The four views and the alerts, in the terminal: every second, or once with `-- --once`. */
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { table } from '../support/table.ts';

const VIEWS: Readonly<Record<string, string>> = {
  'Overall (walpost.health)': `
    SELECT pending, parked, dead_letters AS "dead", dead_letters_last_hour AS "dead in 1 h",
           round(oldest_undelivered_seconds::numeric, 1) AS "oldest (s)",
           round(average_delivery_seconds::numeric, 2) AS "average (s)"
      FROM walpost.health`,
  'Organizations with the most that waits or failed (walpost.organization_health)': `
    SELECT o.name, h.pending, h.parked, h.dead_letters AS "dead", h.oldest_undelivered_at AS "oldest since (UTC)"
      FROM walpost.organization_health AS h JOIN app.organizations AS o ON o.id::text = h.organization_id
     ORDER BY h.parked + h.dead_letters DESC, h.pending DESC, o.name LIMIT 5`,
  'Cursor (walpost.cursor_health)': `
    SELECT slot, lsn, slot_status AS "status", active, pg_size_pretty(retained_bytes) AS "WAL kept",
           proven_until AS "proven until (UTC)"
      FROM walpost.cursor_health`,
  'Alerts (walpost.alerts)': `
    SELECT severity, name, subject, trim_scale(value) AS value, threshold, remedy FROM walpost.alerts ORDER BY severity, name`,
};

const client = new pg.Client({ connectionString: process.env['OPERATOR_URL'] });
await client.connect();
const once = process.argv.includes('--once');
do {
  let screen = '';
  for (const [title, sql] of Object.entries(VIEWS)) {
    screen += `${title}\n${table((await client.query<Record<string, unknown>>(sql)).rows)}\n`;
  }
  process.stdout.write(once ? screen : `\x1b[H\x1b[2J${screen}`);
  await delay(once ? 0 : 1_000);
} while (!once);
await client.end();
