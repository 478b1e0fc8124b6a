import { expect, test } from 'vitest';
import { debianPostgresMissing, startDebianPostgres } from './debian-postgres.ts';
import { newClient } from './client.ts';

const missing = await debianPostgresMissing();

test.skipIf(missing !== undefined)("Debian's Postgres 15 decodes with wal2json and has pgTAP", async () => {
  await using server = await startDebianPostgres();
  expect(server.version).toMatch(/^15\./);
  const client = newClient(server.url());
  await client.connect();
  await client.query("SELECT pg_create_logical_replication_slot('walpost_wal2json', 'wal2json')");
  await client.query('CREATE TABLE t (n int)');
  await client.query('INSERT INTO t VALUES (7)');
  const { rows } = await client.query<{ data: string }>(
    "SELECT data FROM pg_logical_slot_get_changes('walpost_wal2json', NULL, NULL, 'format-version', '2')",
  );
  expect(rows.map((row) => JSON.parse(row.data) as { action: string }).map(({ action }) => action)).toContain('I');
  await client.query('CREATE EXTENSION pgtap');
  await client.end();
});
