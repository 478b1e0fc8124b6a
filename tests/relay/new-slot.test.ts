import { expect, test } from 'vitest';
import { configSchema } from '../../src/config/schema.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { recreateSlot } from '../../src/relay/healing/recreate-slot.ts';
import { checkServer } from '../../src/slot/server-checks.ts';
import { createTestDatabase } from '../support/database.ts';

test('a session that breaks while it takes over the snapshot is an error, and no wait for ever', async () => {
  await using database = await createTestDatabase({ migrated: false });
  await database.query(`CREATE SCHEMA walpost; CREATE VIEW walpost.cursor AS
    SELECT '${database.slotName}'::text AS slot, 0::bigint AS epoch, pg_terminate_backend(pg_backend_pid())::text AS source`);
  const pool = createPool(database.url, { applicationName: 'test', max: 2 });
  try {
    const config = configSchema.parse({
      database: { url: database.url },
      source: {},
      sinks: { hook: { type: 'discard' } },
      routes: [{ to: ['hook'] }],
    });
    const server = await checkServer({ url: database.url });
    const made = recreateSlot({ config, pool, server, slot: database.slotName });
    await expect(made).rejects.toMatchObject({ policy: 'retry' });
  } finally {
    await pool.end();
  }
});
