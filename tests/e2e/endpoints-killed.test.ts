/**
 * Thousands of endpoints, of which some hang, and a process that is killed again and again: none loses an event, and none gets a
 * later one before it. WALPOST_LONG=1 has 10,000 endpoints of 2,000 customers.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { CustomerEndpoints } from '../support/customer-endpoints.ts';
import { createTestDatabase } from '../support/database.ts';
import { poll } from '../support/slot-session.ts';
import { RunningWalpost } from './running-walpost.ts';

const isLong = process.env['WALPOST_LONG'] === '1';
const CUSTOMERS = isLong ? 2_000 : 40;
const EACH = 5;
const KILLS = isLong ? 10 : 3;
const ONE_IN = 20;
/** 400 events a second at full size. */
const TICK = { ms: 50, events: isLong ? 20 : 4 };
const WRITES = 60;
const RECOVERY_MS = isLong ? 300_000 : 60_000;

test(`${KILLS} times kill -9 with ${CUSTOMERS * EACH} endpoints, of which one in ${ONE_IN} hangs`, async () => {
  await using database = await createTestDatabase();
  await using endpoints = await CustomerEndpoints.start({ customers: CUSTOMERS, each: EACH });
  await endpoints.add(database, 'customers');
  endpoints.hangs = (endpoint) => endpoint % ONE_IN === 0;
  const start = () =>
    RunningWalpost.start({
      database,
      sinks: { customers: { type: 'webhook', endpoints: true, allow_loopback: true, concurrency: 1024 } },
      config: { delivery: { park_after: '1s', timeout: '1s', breaker: { reset_after: '1s' } } },
    });
  const client = await database.client();
  let next = 0;
  let walpost = await start();
  try {
    for (let kill = 0; kill < KILLS; kill++) {
      const before = await walpost.cursor();
      for (let write = 0; write < WRITES; write++) {
        await endpoints.write(
          client,
          Array.from({ length: TICK.events }, () => next++ % CUSTOMERS),
        );
        await delay(TICK.ms);
      }
      await poll('the cursor moves', async () => (await walpost.cursor()) > before || undefined, RECOVERY_MS);
      walpost.cli.child.kill('SIGKILL');
      await walpost[Symbol.asyncDispose]();
      walpost = await start();
    }
    await poll('all others have all', async () => endpoints.behind === 0 || undefined, RECOVERY_MS);
    expect(endpoints.faults).toEqual([]);
    endpoints.hangs = () => false;
    endpoints.cutConnections();
    await poll('those that hung have all', async () => endpoints.behind === 0 || undefined, RECOVERY_MS);
    expect(endpoints.faults).toEqual([]);
    expect(await database.query('SELECT FROM walpost.dead_letters')).toEqual([]);
  } finally {
    await client.end();
    await walpost[Symbol.asyncDispose]();
  }
}, 1_800_000);
