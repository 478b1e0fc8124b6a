import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { RunningWalpost } from '../e2e/running-walpost.ts';
import { ERROR_CODES } from '../../src/errors.ts';
import type { StatusReport } from '../../src/observe/status-report.ts';
import { createTestDatabase } from '../support/database.ts';
import { EventLog } from '../support/event-log.ts';
import { poll } from '../support/slot-session.ts';
import { disorder } from './arrivals.ts';

/** What the server says when its disk is full, or when it takes no writes. */
const FAULTS = [
  ['53100', 'could not extend file: No space left on device', 'DATABASE', 'Make room on the disk of the server;'],
  ['25006', 'cannot execute INSERT in a read-only transaction', 'HOT_STANDBY', 'Mend what the reason names,'],
  ['42501', 'permission denied for table parked', 'PERMISSION_DENIED', 'Run `walpost migrate` as the owner'],
] as const;

test.each(FAULTS)(
  'parking that fails with %s stalls the relay, which says so, drops nothing, and goes on',
  async (code, message, known, remedy) => {
    await using database = await createTestDatabase();
    await using log = await EventLog.start();
    await database.query(`
    CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN RAISE EXCEPTION USING ERRCODE = '${code}', MESSAGE = '${message}'; END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON walpost.parked FOR EACH STATEMENT EXECUTE FUNCTION public.refuse()`);
    const keep = log.receiver.onBatch;
    let away = true;
    log.receiver.onBatch = (batch, body) => (away ? 503 : keep(batch, body));
    const [x, y] = [randomUUID(), randomUUID()];
    const publish = async (n: number): Promise<void> => {
      for (const organization of [x, y]) {
        await database.query(
          `INSERT INTO walpost.outbox (organization_id, event_type, payload) VALUES ($1, 'a.b', jsonb_build_object('n', $2::int))`,
          [organization, n],
        );
      }
    };
    await using relay = await RunningWalpost.start({
      database,
      sinks: log.sinks,
      config: { delivery: { park_after: '200ms', breaker: { reset_after: '300ms' } } },
    });
    const status = async (): Promise<StatusReport> =>
      (await (await fetch(`${relay.url}/status`)).json()) as StatusReport;
    for (let n = 0; n < 10; n += 1) await publish(n);
    const stall = await poll('it says so', async () => (await status()).stalls?.[0]);
    expect(stall).toMatchObject({ what: 'parking', message: expect.stringContaining(message) as string });
    expect(stall.waiting).toBeGreaterThan(0);
    const { alerts, heldBy } = await status();
    expect(alerts?.[0]).toMatchObject({
      name: 'stalled',
      severity: 'critical',
      subject: database.slotName,
      remedy: expect.stringContaining(remedy) as string,
    });
    expect(heldBy?.[0]).toMatchObject({
      kind: 'stall',
      message: expect.stringContaining(message) as string,
      remedy: expect.stringContaining(remedy) as string,
    });
    const stalls = relay.cli.stderr.split('\n').filter((line) => line.includes('the slot waits'));
    expect(stalls.filter((line) => !line.includes(`"remedy":"${remedy}`))).toEqual([]);
    const ready = await fetch(`${relay.url}/readyz`);
    expect(ready.status).toBe(200);
    const told = (await ready.json()) as { detail: string };
    expect(told).toMatchObject({ ready: true, degraded: true, role: 'leader' });
    expect(told.detail).toMatch(/parking fails$/); // anybody may ask, so it does not say why
    expect(relay.cli.stderr).toMatch(/"level":"error".*events cannot be parked, the slot waits/);
    expect(relay.cli.stderr).toContain(`the slot waits: ${ERROR_CODES[known].cause}`);
    const confirmed = await relay.confirmed();
    for (let n = 10; n < 20; n += 1) await publish(n);
    await poll('it tries again', async () =>
      relay.cli.stderr.split('events cannot be parked').length > 3 ? true : undefined,
    );
    expect(await relay.confirmed()).toBe(confirmed);

    await database.query('DROP TRIGGER refuse ON walpost.parked');
    await poll(
      'it is parked now',
      async () => ((await database.query('SELECT FROM walpost.parked')).length === 40 ? true : undefined),
      20_000,
    );
    await relay.confirms(confirmed, 20_000);
    expect((await status()).stalls).toEqual([]);
    away = false;
    const committed = new Map([x, y].map((id) => [id, 20]));
    await poll(
      'all has arrived',
      async () => (disorder(log.events, committed).length === 0 ? true : undefined),
      20_000,
    );
    expect(await database.query('SELECT FROM walpost.dead_letters')).toEqual([]);
    expect((await relay.stop()).code).toBe(0);
  },
  60_000,
);
