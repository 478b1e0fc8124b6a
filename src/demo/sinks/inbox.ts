import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { sqlDirectory } from '../../postgres/schema/migration-files.ts';
import { arrivalOf, type DemoPlace, type DemoSink } from './demo-sink.ts';

const DATABASE = 'inbox';

/** The inbox of another application: a table in a database of its own, on the demo's server. */
export async function openInbox({ databaseUrl }: DemoPlace): Promise<DemoSink> {
  const admin = connection(databaseUrl());
  await admin.connect();
  try {
    await admin.query(`CREATE DATABASE ${DATABASE}`);
  } finally {
    await admin.end();
  }

  const url = databaseUrl(DATABASE);
  const reader = connection(url);
  await reader.connect();
  await reader.query(await readFile(join(sqlDirectory(), 'inbox', 'walpost_inbox.sql'), 'utf8'));
  return {
    options: { type: 'postgres', url },
    statuses: ['placed'],
    isSequence: true,
    async arrivals() {
      const { rows } = await reader.query<{ envelope: string }>(
        'SELECT envelope::text AS envelope FROM public.walpost_inbox ORDER BY seq',
      );
      return rows.map(({ envelope }) => arrivalOf(envelope));
    },
    close: () => reader.end(),
  };
}

function connection(url: string): pg.Client {
  const client = new pg.Client({ connectionString: url, application_name: 'walpost demo inbox' });
  client.on('error', () => undefined);
  return client;
}
