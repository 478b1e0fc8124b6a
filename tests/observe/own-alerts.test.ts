/** What the status makes alerts of without reading walpost.alerts. */
import { expect, test } from 'vitest';
import { WalpostError } from '../../src/errors.ts';
import type { WalHolder } from '../../src/observe/wal-status.ts';
import { ownAlerts } from '../../src/relay/status/alerts.ts';
import { sampleReport } from '../support/status-report.ts';

const report = sampleReport({ breakers: [] });
const holder = (kind: WalHolder['kind'], since: string | null = null): WalHolder => ({
  kind,
  subject: kind,
  since,
  message: `held by ${kind}`,
  remedy: 'Mend it.',
});

test('a relay that is missing, and a stall, hold the slot and have alerts of their own: none is held_by_', () => {
  const heldBy = [holder('relay'), holder('stall')];
  expect(ownAlerts({ ...report, heldBy }, null, Date.now())).toEqual([]);
});

test('what holds the slot is an alert when it has held it for five minutes, or nobody knows since when', () => {
  const now = Date.now();
  const at = (minutes: number): string => new Date(now - minutes * 60_000).toISOString();
  const heldBy = [holder('transaction', at(4)), holder('lane', at(6)), holder('standby')];
  const names = ownAlerts({ ...report, heldBy }, null, now).map(({ name, severity }) => [name, severity]);
  expect(names).toEqual([
    ['held_by_standby', 'critical'],
    ['held_by_lane', 'warning'],
  ]);
});

test('a breaker is an alert from its opening until it is closed, also while it is probed', () => {
  const waiting = [{ sink: 'crm', count: 3, oldestAgeSeconds: 60 }];
  const of = (state: 'closed' | 'half_open' | 'open', parked: typeof waiting | null = waiting) =>
    ownAlerts({ ...report, parked, breakers: [{ sink: 'crm', state }] }, null, 0);
  expect(of('closed')).toEqual([]);
  expect(of('half_open')).toEqual(of('open'));
  expect(of('open')).toMatchObject([
    {
      name: 'breaker_open',
      severity: 'warning',
      subject: 'sink crm',
      remedy: expect.stringContaining('goes on by itself') as string,
    },
  ]);
  // Nothing waits that could be its probe: it stays half open until the next event.
  expect(of('half_open', [])).toEqual([]);
  expect(of('half_open', null)).toEqual(of('open'));
  expect(of('open', [])).toHaveLength(1);
});

test('a login that could not start anew is critical, with the remedy of a start', () => {
  const loginProblem = new WalpostError('NO_REPLICATION_ROLE', { remedy: 'ALTER ROLE "walpost" REPLICATION;' });
  expect(ownAlerts({ ...report, loginProblem }, null, 0)).toMatchObject([
    {
      name: 'no_replication_role',
      severity: 'critical',
      subject: 'walpost_app',
      remedy: 'ALTER ROLE "walpost" REPLICATION;',
    },
  ]);
});
