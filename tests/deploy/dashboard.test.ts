import { expect, test, vi } from 'vitest';
import { RunningWalpost } from '../e2e/running-walpost.ts';
import { createTestDatabase } from '../support/database.ts';
import { poll } from '../support/slot-session.ts';
import { WebhookReceiver } from '../support/webhook-receiver.ts';
import { dashboard, expanded } from './dashboard.ts';
import { writePictureWhenAsked } from './dashboard-picture.ts';
import { unknownNames } from './metric-names.ts';
import { noPrometheus, Prometheus } from './prometheus.ts';

vi.setConfig({ testTimeout: 240_000 });

/** Seconds of load, at least. */
const SECONDS = Number(process.env['WALPOST_DASHBOARD_SECONDS'] ?? 12);
/** The receiver is away in the second third. */
const AWAY = [SECONDS / 3, (2 * SECONDS) / 3] as const;

const { panels, templating } = dashboard;
const expressions = panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));

test('every metric of the dashboard is served, with the labels that are asked for', async () => {
  expect(await unknownNames(expressions)).toEqual([]);
});

test('panels have a description, a unit, and the variables of the dashboard', () => {
  expect(panels.length).toBeGreaterThanOrEqual(14);
  expect(templating.list.map(({ name, type }) => `${name}: ${type}`)).toEqual([
    'datasource: datasource',
    'instance: query',
  ]);
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
  for (const { description, datasource, fieldConfig, targets } of panels) {
    expect(description).toMatch(/\.$/);
    expect(datasource.uid).toBe('${datasource}');
    expect(fieldConfig.defaults.unit).not.toBe('');
    for (const { expr } of targets) expect(expr).toContain('instance=~"$instance"');
  }
});

test('no panel lies over another, or beyond the edge', () => {
  const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
    Array.from({ length: w * h }, (_, at) => `${x + (at % w)},${y + Math.floor(at / w)}`),
  );
  expect(new Set(cells).size).toBe(cells.length);
  expect(Math.max(...panels.map(({ gridPos: { x, w } }) => x + w))).toBe(24);
});

test.skipIf(noPrometheus)('every query has data in a real Prometheus that scrapes a real relay', async () => {
  await using database = await createTestDatabase();
  await using receiver = await WebhookReceiver.start();
  const sinks = { hook: { type: 'webhook', url: receiver.url(), allow_private: true } };
  await using walpost = await RunningWalpost.start({ database, sinks, config: { delivery: { park_after: '2s' } } });
  await using prometheus = await Prometheus.start(new URL(walpost.url).host);
  const begun = performance.now();
  const load = async (): Promise<number> => {
    const seconds = (performance.now() - begun) / 1000;
    receiver.otherwise = { kind: 'answer', status: seconds > AWAY[0] && seconds < AWAY[1] ? 503 : 200 };
    const events = Math.round(4 + 3 * Math.sin(seconds / 5));
    await database.query(
      `SELECT walpost.publish(organization_id => md5((n % 5)::text)::uuid, event_type => 'a.b', payload => '{}') FROM generate_series(1, ${events}) AS n`,
    );
    return seconds;
  };
  const silent = async (): Promise<string[]> => {
    const found: string[] = [];
    for (const expression of expressions) {
      const series = await prometheus.range(expanded(expression), SECONDS);
      if (!series.some(({ values }) => values.some(([, value]) => value !== 'NaN'))) found.push(expression);
    }
    return found;
  };
  await poll('the load', async () => ((await load()) > SECONDS ? true : undefined), SECONDS * 1000 + 30_000);
  let last: string[] = [];
  await poll(
    'data',
    async () => ((last = await silent()).length === 0 ? true : (await load(), undefined)),
    30_000,
  ).catch(() => undefined);
  expect(last).toEqual([]);
  await writePictureWhenAsked(prometheus, SECONDS);
});
