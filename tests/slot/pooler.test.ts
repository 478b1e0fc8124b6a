import net from 'node:net';
import { describe, expect, test } from 'vitest';
import { databaseError } from '../../src/postgres/database-error.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { checkServer } from '../../src/slot/server-checks.ts';
import { createTestDatabase } from '../support/database.ts';
import { pgbouncerMissing, startPgbouncer } from '../support/pgbouncer.ts';
import { openSession } from '../support/slot-session.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

const missing = await pgbouncerMissing();

describe.skipIf(missing !== undefined)(`through PgBouncer${missing ? `: ${missing}` : ''}`, () => {
  test('in session mode, the replication connection is refused', async () => {
    await using db = await createTestDatabase({ migrated: false });
    await using pooler = await startPgbouncer(db.url, { pool_mode: 'session' });
    const refused = checkServer({ url: pooler.url });
    await expect(refused).rejects.toMatchObject({ code: 'POOLER', policy: 'operator' });
    await expect(refused).rejects.toThrow(/startup parameter/);
  });

  test('in transaction mode, two connections share a backend', async () => {
    await using db = await createTestDatabase({ migrated: false });
    const lenient = { pool_mode: 'transaction', ignore_startup_parameters: 'options' };
    await using pooler = await startPgbouncer(db.url, lenient);
    const refused = checkServer({ url: pooler.url });
    await expect(refused).rejects.toMatchObject({ code: 'POOLER' });
    await expect(refused).rejects.toThrow(/share one backend/);
  });

  test('one that drops what it does not know is found by the command that only a walsender knows', async () => {
    await using db = await createTestDatabase({ migrated: false });
    const lenient = { pool_mode: 'session', ignore_startup_parameters: 'replication,options' };
    await using pooler = await startPgbouncer(db.url, lenient);
    await expect(checkServer({ url: pooler.url })).rejects.toMatchObject({ code: 'POOLER' });
  });

  test('commands are told so too, whether it refuses the settings of a session or drops them', async () => {
    await using db = await createTestDatabase({ migrated: false });
    await db.query(`ALTER DATABASE ${db.name} SET bytea_output = 'escape'`);
    for (const more of [{}, { ignore_startup_parameters: 'options' }]) {
      await using pooler = await startPgbouncer(db.url, { pool_mode: 'session', ...more });
      const pool = createPool(pooler.url, { applicationName: 'test', max: 1 });
      const refused = await pool.query('SELECT').catch((error: unknown) => databaseError(error));
      expect(refused).toMatchObject({
        code: 'POOLER',
        policy: 'operator',
        message: expect.stringContaining(`At 127.0.0.1:${new URL(pooler.url).port}: `) as string,
        remedy: 'Use the direct host and port of the database in database.url.',
      });
      await pool.end();
    }
    await expect(checkServer({ url: db.url })).resolves.toMatchObject({ database: db.name });
  });

  test('the stream itself does not start', async () => {
    await using db = await createTestDatabase({ migrated: false });
    await using pooler = await startPgbouncer(db.url, { pool_mode: 'session' });
    await expect(openSession(db, { url: pooler.url })).rejects.toMatchObject({ name: 'WalpostError' });
  });
});

test('a plain TCP proxy is not a pooler', async () => {
  await using db = await createTestDatabase({ migrated: false });
  await using proxy = await TcpProxy.before(db.url);
  expect(net.isIP(new URL(proxy.url(db.url)).hostname)).toBe(4);
  await expect(checkServer({ url: proxy.url(db.url) })).resolves.toMatchObject({ database: db.name });
});
