/** The number of an attempt survives the process: receivers and operators see how often an event was tried. */
import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { createTestDatabase } from '../support/database.ts';
import { EventLog } from '../support/event-log.ts';
import { RelayInProcess } from '../support/relay-in-process.ts';
import { poll } from '../support/slot-session.ts';

test('attempts are counted on by the next process, and walpost.lanes keeps since when', async () => {
  await using database = await createTestDatabase();
  await using log = await EventLog.start();
  const keep = log.receiver.onBatch;
  const attempts: number[] = [];
  let isWell = false;
  log.receiver.onBatch = (batch, body) => {
    attempts.push((JSON.parse(body.toString()) as { attempt: number }).attempt);
    return isWell ? keep(batch, body) : 503;
  };
  const delivery = { park_after: '100ms', quick_retries: 0, breaker: { reset_after: '100ms' } };
  const options = { database, sinks: log.sinks, config: { delivery } };
  const lane = async () =>
    (
      await database.query<{ attempts: number; since: string }>(
        'SELECT attempts, failing_since::text AS since FROM walpost.lanes',
      )
    )[0];
  let before: { attempts: number; since: string } | undefined;
  {
    await using _relay = await RelayInProcess.start(options);
    await database.query(`SELECT walpost.publish($1, 'a.b', '{}')`, [randomUUID()]);
    before = await poll('tried three times', async () => {
      const row = await lane();
      return row && row.attempts >= 3 ? row : undefined;
    });
  }
  const tried = attempts.length;
  await using _next = await RelayInProcess.start(options);
  await poll('tried again', async () => (attempts.length > tried ? true : undefined));
  expect(attempts[tried]).toBeGreaterThan(before.attempts);
  const after = await poll('told again', async () => {
    const row = await lane();
    return row && row.attempts > before.attempts ? row : undefined;
  });
  // The two processes measure on clocks of their own.
  expect(Math.abs(Date.parse(after.since) - Date.parse(before.since))).toBeLessThan(2_000);
  isWell = true;
  await poll('delivered', async () => ((await lane()) === undefined && log.events.length === 1 ? true : undefined));
});
