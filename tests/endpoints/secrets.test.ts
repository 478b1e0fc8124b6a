/** The secrets of endpoints, read from a real database. The clock of this process is not that of the server. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { EndpointSecrets } from '../../src/endpoints/secrets.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { addEndpoint } from '../support/endpoint-calls.ts';
import { ManualClock } from '../support/manual-clock.ts';

const HOUR = 3_600_000;

let database: TestDatabase;
let pool: pg.Pool;
let clock: ManualClock;
let secrets: EndpointSecrets;
beforeEach(async () => {
  database = await createTestDatabase();
  pool = createPool(database.url, { applicationName: 'test', max: 1 });
  clock = new ManualClock();
  secrets = new EndpointSecrets(pool, clock);
});
afterEach(async () => {
  secrets.close();
  await pool.end();
  await database[Symbol.asyncDispose]();
});

async function rotated(id: string, overlap: string): Promise<string> {
  const [row] = await database.query<{ secret: string }>('SELECT walpost.rotate_endpoint_secret($1, $2) AS secret', [
    id,
    overlap,
  ]);
  return row?.secret ?? '';
}

async function newestChange(id: string): Promise<string> {
  const [row] = await database.query<{ change: string }>(
    'SELECT max(change_id)::text AS change FROM walpost.endpoint_changes WHERE endpoint_id = $1',
    [id],
  );
  return row?.change ?? '';
}

test('an older secret signs beside the new one until the overlap has passed, and then no more', async () => {
  const { id, secret: old } = await addEndpoint(database, randomUUID());
  expect(await secrets.of(id, await newestChange(id))).toEqual([old]);
  const renewed = await rotated(id, '1 hour');
  const version = await newestChange(id);
  expect(await secrets.of(id, version)).toEqual([renewed, old]);
  await clock.advance(HOUR - 60_000);
  expect(await secrets.of(id, version)).toEqual([renewed, old]);
  await clock.advance(60_000);
  expect(await secrets.of(id, version)).toEqual([renewed]);
});

test('without an overlap the old secret signs nothing more, whatever the time is here', async () => {
  const { id } = await addEndpoint(database, randomUUID());
  const renewed = await rotated(id, '0');
  expect(await secrets.of(id, await newestChange(id))).toEqual([renewed]);
});

test('what is forgotten is read again when it is asked for', async () => {
  const { id, secret } = await addEndpoint(database, randomUUID());
  const version = await newestChange(id);
  expect(await secrets.of(id, version)).toEqual([secret]);
  await database.query('DELETE FROM walpost.endpoint_secrets WHERE endpoint_id = $1', [id]);
  expect(await secrets.of(id, version)).toEqual([secret]);
  secrets.forget(id);
  expect(await secrets.of(id, version)).toEqual([]);
});
