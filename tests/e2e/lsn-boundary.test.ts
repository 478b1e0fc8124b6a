import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test, vi } from 'vitest';
import { parseLsn } from '../../src/lsn.ts';
import { serverUser } from '../../src/demo/postgres/server-cache.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { debianPostgresMissing, startDebianPostgres } from '../support/debian-postgres.ts';
import { EventReceiver } from './event-receiver.ts';
import { mixedLoad, OrderCheck, prepareLoad, writeLoad } from './numbered-load.ts';
import { RunningWalpost } from './running-walpost.ts';

const missing = await debianPostgresMissing();
vi.setConfig({ testTimeout: 120_000 });

const RESET = '/usr/lib/postgresql/15/bin/pg_resetwal';
/** So near to the boundary the load begins, and crosses it. */
const NEAR = 300_000n;

async function position(database: TestDatabase): Promise<bigint> {
  const [row] = await database.query<{ lsn: string }>('SELECT pg_current_wal_insert_lsn()::text AS lsn');
  return parseLsn(row?.lsn ?? '') ?? 0n;
}

/** Fills the log up to just below the boundary. */
async function approach(database: TestDatabase, boundary: bigint): Promise<void> {
  for (;;) {
    const left = boundary - NEAR - (await position(database));
    if (left <= 0n) return;
    const bytes = left > 1_000_000n ? 1_000_000 : Number(left);
    await database.query(`SELECT pg_logical_emit_message(false, 'pad', repeat('x', $1))`, [bytes]);
  }
}

// The text of positions sorts the other way round here: 0/FFFFFFFF before 1/0, 9/FFFFFFFF before A/0, F/… before 10/0.
test.skipIf(missing !== undefined).each([
  ['1/0', '0000000100000000000000FD'],
  ['A/0', '0000000100000009000000FD'],
  ['10/0', '000000010000000F000000FD'],
])('streaming across %s', async (boundary, segment) => {
  await using server = await startDebianPostgres();
  await server.stop('fast');
  await promisify(execFile)(RESET, ['-l', segment, '-D', server.dataDirectory], { ...serverUser, cwd: '/' });
  await server.start();
  await using database = await createTestDatabase({ server: server.url() });
  await prepareLoad(database);
  const check = new OrderCheck();
  const sides = new Set<boolean>();
  const at = parseLsn(boundary) ?? 0n;
  await using receiver = await EventReceiver.start((batch) => {
    check.take(batch);
    for (const { lsn } of batch.events) sides.add((parseLsn(lsn ?? '') ?? 0n) >= at);
  });
  const options = { database, sinks: { hook: receiver.sink() } };
  {
    await using walpost = await RunningWalpost.start(options);
    // The server writes to its log too, and may cross the boundary before the load does: some events come before it for sure.
    await writeLoad(database, mixedLoad(0.002));
    await approach(database, at);
    const committed = await writeLoad(database, mixedLoad(0.05));
    await receiver.received([...committed.values()].reduce((sum, n) => sum + n, 0));
    expect(check.faults(committed)).toEqual([]);
    expect(sides).toEqual(new Set([false, true]));
    await walpost.confirms(receiver.lastCommit);
    expect(await walpost.confirmed()).toBe(await walpost.cursor());
    expect(await walpost.stop()).toMatchObject({ code: 0 });
  }
  // A second process begins where the first has ended: nothing comes again, nothing is left out.
  await using again = await RunningWalpost.start(options);
  const committed = await writeLoad(database, mixedLoad(0.01));
  await receiver.received([...committed.values()].reduce((sum, n) => sum + n, 0));
  expect(check.faults(committed)).toEqual([]);
  expect(await again.stop()).toMatchObject({ code: 0 });
  expect(await again.confirmed()).toBe(await again.cursor());
});
