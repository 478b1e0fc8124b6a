import { expect, test } from 'vitest';
import { newClient, newPool } from './client.ts';
import { createTestDatabase } from './database.ts';
import { startServer } from './server.ts';

test('a server that goes before its connections leaves no unhandled error, and who waits still hears of it', async () => {
  await using server = await startServer();
  const client = newClient(server.url());
  await client.connect();
  const pool = newPool({ connectionString: server.url(), max: 2 });
  const taken = await pool.connect();
  await pool.query('SELECT 1'); // one is idle again
  void client.query('SELECT pg_sleep(60)');
  const waiting = client.query('SELECT 2');
  await server.stop('fast');
  await expect(waiting).rejects.toThrow(/terminat|Connection/);
  taken.release(true);
  await pool.end();
});

test('so does a database whose test ended with a query under way', async () => {
  const database = await createTestDatabase({ migrated: false });
  const [first, second] = await Promise.all([database.client(), database.client()]);
  await first.query('SELECT pg_advisory_lock(1)');
  void second.query('SELECT pg_advisory_lock(1)');
  await database[Symbol.asyncDispose]();
});
