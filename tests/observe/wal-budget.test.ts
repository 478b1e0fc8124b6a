/** How long the WAL may grow, from two looks; unknown is never 0. */
import { expect, test } from 'vitest';
import { Metrics } from '../../src/observe/metrics.ts';
import { UNKNOWN_BUDGET } from '../../src/observe/wal-status.ts';
import { ownAlerts } from '../../src/relay/status/alerts.ts';
import { walBudget, WalRate } from '../../src/relay/status/wal-budget.ts';
import { parseExposition } from '../support/exposition.ts';
import { sampleReport } from '../support/status-report.ts';

const MiB = 1024 ** 2;

test('the rate is known from the second look on, and a server that is behind is another one', () => {
  const rate = new WalRate();
  expect(rate.seen(null, 0)).toBeNull();
  expect(rate.seen(1_000n, 0)).toBeNull();
  expect(rate.seen(3_000n, 900)).toBeNull(); // too soon
  expect(rate.seen(5_000n, 2_000)).toBe(2_000);
  expect(rate.seen(9_000n, 2_100)).toBe(2_000);
  expect(rate.seen(5_000n, 4_000)).toBe(0);
  expect(rate.seen(null, 5_000)).toBe(0);
  expect(rate.seen(10n, 6_000)).toBeNull();
});

test.each([
  ['unlimited', { retainedBytes: 10, safeBytes: null }, ['source.wal_warn', 100, 90, 9]],
  ['a lower limit of the server', { retainedBytes: 10, safeBytes: 30 }, ['max_slot_wal_keep_size', 40, 30, 3]],
  ['a higher limit of the server', { retainedBytes: 10, safeBytes: 300 }, ['source.wal_warn', 100, 90, 9]],
  ['over the warning', { retainedBytes: 150, safeBytes: 300 }, ['source.wal_warn', 100, 0, 0]],
] as const)('%s', (_, lag, [limit, limitBytes, leftBytes, secondsLeft]) => {
  expect(walBudget(lag, 100, 10)).toEqual({ limit, limitBytes, leftBytes, writtenBytesPerSecond: 10, secondsLeft });
});

test('a limit that was lowered below what is kept is not shown as a negative size', () => {
  const budget = walBudget({ retainedBytes: 68, safeBytes: -100 }, 1_000, 10);
  expect(budget).toMatchObject({ limit: 'max_slot_wal_keep_size', limitBytes: null, leftBytes: 0 });
});

test('what is not known stays unknown', () => {
  expect(walBudget({ retainedBytes: null, safeBytes: null }, 100, null)).toEqual(UNKNOWN_BUDGET);
  expect(walBudget({ retainedBytes: 1, safeBytes: null }, 100, null).secondsLeft).toBeNull();
  expect(walBudget({ retainedBytes: 1, safeBytes: null }, 100, 0).secondsLeft).toBeNull();
});

test('metrics leave out what is not known', async () => {
  const metrics = new Metrics();
  let report = sampleReport();
  metrics.collectFrom(async () => report);
  const values = async (): Promise<unknown[]> => {
    const families = parseExposition(await metrics.render());
    return ['retained_bytes', 'budget_bytes', 'time_left_seconds'].map(
      (name) => families.find((family) => family.name === `walpost_wal_${name}`)?.samples[0]?.value,
    );
  };
  expect(await values()).toEqual([5 * MiB, 4096 * MiB, 4091]);
  report = sampleReport({ lag: { ...report.lag, retainedBytes: null }, wal: UNKNOWN_BUDGET });
  expect(await values()).toEqual([undefined, undefined, undefined]);
});

test.each([
  [{ retainedBytes: 99, safeBytes: null }, 100, undefined],
  [{ retainedBytes: 100, safeBytes: null }, 100, 'warning'],
  [{ retainedBytes: 50, safeBytes: 50 }, 1000, undefined],
  [{ retainedBytes: 51, safeBytes: 49 }, 1000, 'warning'],
  [{ retainedBytes: 81, safeBytes: 19 }, 1000, 'critical'],
])('%j with a warning at %i is %s', (bytes, walWarn, severity) => {
  const base = sampleReport();
  const lag = { ...base.lag, ...bytes };
  const alerts = ownAlerts({ ...base, breakers: [], lag, wal: walBudget(lag, walWarn, null) }, null, 0);
  expect(alerts[0]?.severity).toBe(severity);
  if (severity) expect(alerts[0]).toMatchObject({ name: 'wal_budget', subject: 'walpost_app' });
});
