/** The SQL of docs/guides/coming-from runs as it is written: each page in a database of its own, from top to bottom. */
import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { createTestDatabase } from '../support/database.ts';
import { createRole } from '../support/database-role.ts';

const FOLDER = new URL('../../docs/guides/coming-from/', import.meta.url);
const PAGES = readdirSync(FOLDER).filter((name) => blocksOf(name).length > 0);

/** What a row of the old way looks like, and the events that walpost has of it at the end of the page. */
const WRITES: Readonly<Record<string, { readonly sql: string; readonly events: readonly string[] }>> = {
  'polling-queue.md': {
    sql: `INSERT INTO app.notifications (organization_id, kind, body) VALUES ($1, 'welcome', '{"to": "a"}')`,
    events: ['notification.welcome {"to": "a"}'],
  },
  'listen-notify.md': {
    sql: `INSERT INTO app.orders (id, organization_id, state) VALUES ($1, $1, 'new')`,
    events: ['order.created {"id": "$1", "state": "new"}'],
  },
  'sequin.md': {
    sql: `INSERT INTO app.invoices (id, account_id, amount, status) VALUES ($1, $1, 12.5, 'open')`,
    events: ['invoice.created {"id": "$1", "amount": 12.5, "status": "open"}'],
  },
  'supabase-edge-functions.md': {
    sql: `INSERT INTO app.event_outbox (company_id, event_type, target, payload) VALUES ($1, 'job.done', 'n8n', '{"a": 1}')`,
    events: ['job.done {"a": 1}'],
  },
};

/** Only the hosted Postgres has pg_cron. */
const CRON = `CREATE SCHEMA cron; CREATE FUNCTION cron.unschedule(text) RETURNS boolean LANGUAGE sql AS 'SELECT true'`;
const ORGANIZATION = '6f1c2a52-8c0e-4d6e-9a50-0d5d2f2f5f11';

function blocksOf(page: string): readonly string[] {
  const text = readFileSync(new URL(page, FOLDER), 'utf8');
  return [...text.matchAll(/^ *```sql\n([\s\S]*?)^ *```/gm)].map(([, sql]) => sql ?? '');
}

test.each(PAGES)('%s', async (page) => {
  await using database = await createTestDatabase();
  await database.query(CRON);
  for (const sql of blocksOf(page)) await database.query(sql);
  const { sql, events } = WRITES[page] ?? { sql: 'SELECT $1::text', events: [] };
  // As the application does it: it knows nothing of walpost, and row-level security holds for its login.
  await using login = await createRole(database, { in: ['walpost_publisher'] });
  await database.query(`CREATE SCHEMA IF NOT EXISTS app; GRANT USAGE ON SCHEMA app TO ${login.name}`);
  await database.query(`GRANT ALL ON ALL TABLES IN SCHEMA app TO ${login.name}`);
  await (await login.client()).query(sql, [ORGANIZATION]);
  const stored = await database.query<{ event: string }>(
    `SELECT event_type || ' ' || payload::text AS event FROM walpost.outbox ORDER BY seq`,
  );
  expect(stored.map(({ event }) => event)).toEqual(events.map((event) => event.replaceAll('$1', ORGANIZATION)));
});
