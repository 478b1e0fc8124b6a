/** /readyz of a standby: ready only while somebody leads who can. */
import { expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { configSchema } from '../../src/config/schema.ts';
import type { LockHolder } from '../../src/leader/lock-holder.ts';
import { createLog } from '../../src/observe/log.ts';
import { Metrics } from '../../src/observe/metrics.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { RelayStatus } from '../../src/relay/status/status.ts';

const leader: LockHolder = {
  pid: 7,
  role: 'relay',
  applicationName: 'walpost leader',
  address: null,
  isStranger: false,
};

test('a standby is ready while a leader is found, and not beside a stranger or nobody', async () => {
  const config = configSchema.parse({
    database: { url: 'postgres://localhost/app' },
    sinks: { out: { type: 'discard' } },
    routes: [{ to: ['out'] }],
  });
  const log = createLog({ level: 'silent', format: 'json' });
  const status = new RelayStatus({ config, log, metrics: new Metrics(), clock: systemClock });
  const pool = createPool(config.database.url, { applicationName: 'test', max: 1 });
  const look = (holder: LockHolder | undefined): unknown[] => {
    status.standingBy({ pool, slot: 's', holder });
    const { ready, degraded, role, detail } = status.readiness();
    return [ready, degraded, role, detail];
  };
  expect(status.readiness()).toMatchObject({ ready: false, degraded: false, role: 'starting' });
  expect(look(leader)).toEqual([true, false, 'standby', 'server process 7 leads s']);
  // The lock may just have changed hands.
  expect(look(undefined)).toEqual([true, false, 'standby', 'another process leads s']);
  expect(look(undefined)).toEqual([false, false, 'standby', 'nobody is found to lead s']);
  expect(look(leader)[0]).toBe(true);
  expect(look({ ...leader, isStranger: true })).toMatchObject([
    false,
    false,
    'standby',
    expect.stringContaining('holds it'),
  ]);
  status.starting('connecting');
  expect(status.readiness()).toMatchObject({ ready: false, role: 'starting' });
  await pool.end();
});
