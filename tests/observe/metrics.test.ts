import { describe, expect, test } from 'vitest';
import { Metrics } from '../../src/observe/metrics.ts';
import { lintFamilies, parseExposition, type Family } from '../support/exposition.ts';
import { sampleReport } from '../support/status-report.ts';

/** The contract of DESIGN 3.6: dashboards and alerts are built on these names and labels. */
const CONTRACT: Record<string, { type: string; labels: string[] }> = {
  wal_retained_bytes: { type: 'gauge', labels: [] },
  wal_budget_bytes: { type: 'gauge', labels: [] },
  wal_time_left_seconds: { type: 'gauge', labels: [] },
  slot_unconfirmed_bytes: { type: 'gauge', labels: [] },
  slot_unread_bytes: { type: 'gauge', labels: [] },
  slot_safe_bytes: { type: 'gauge', labels: [] },
  slot_status: { type: 'gauge', labels: ['status'] },
  leader: { type: 'gauge', labels: [] },
  events_received_total: { type: 'counter', labels: [] },
  events_delivered_total: { type: 'counter', labels: ['sink'] },
  events_parked_total: { type: 'counter', labels: ['sink'] },
  events_dead_lettered_total: { type: 'counter', labels: ['reason', 'sink'] },
  commit_to_delivery_seconds: { type: 'histogram', labels: ['sink'] },
  window_wait_seconds: { type: 'histogram', labels: [] },
  sink_request_seconds: { type: 'histogram', labels: ['outcome', 'sink'] },
  breaker_state: { type: 'gauge', labels: ['sink'] },
  lanes: { type: 'gauge', labels: ['state'] },
  buffered_bytes: { type: 'gauge', labels: [] },
  open_transactions: { type: 'gauge', labels: [] },
  last_received_age_seconds: { type: 'gauge', labels: [] },
  role: { type: 'gauge', labels: ['role'] },
  standbys: { type: 'gauge', labels: [] },
  stalled_events: { type: 'gauge', labels: ['what'] },
  failing_organizations: { type: 'gauge', labels: ['sink'] },
  parked_oldest_seconds: { type: 'gauge', labels: ['sink'] },
  jobs: { type: 'gauge', labels: ['kind', 'state'] },
  commit_to_receive_seconds: { type: 'histogram', labels: [] },
  visibility_wait_seconds: { type: 'histogram', labels: [] },
  chore_failures_total: { type: 'counter', labels: ['chore'] },
  process_cpu_seconds_total: { type: 'counter', labels: [] },
  process_resident_memory_bytes: { type: 'gauge', labels: [] },
  process_heap_used_bytes: { type: 'gauge', labels: [] },
  process_heap_limit_bytes: { type: 'gauge', labels: [] },
  process_event_loop_lag_seconds: { type: 'gauge', labels: [] },
  process_open_handles: { type: 'gauge', labels: [] },
  process_start_time_seconds: { type: 'gauge', labels: [] },
  build_info: { type: 'gauge', labels: ['node_version', 'version'] },
};

function busyMetrics(): Metrics {
  const metrics = new Metrics(['live', 'n8n']);
  metrics.received(5);
  metrics.dropped(1);
  metrics.delivered('live', 3);
  metrics.parked('n8n', 2);
  metrics.deadLettered('n8n', 'rejected', 1);
  metrics.deadLettered(null, 'poison', 1);
  metrics.commitToDelivery('live', 0.3);
  metrics.windowWait(0.25);
  metrics.choreFailed('pruning');
  metrics.request('live', 'delivered', 0.02);
  metrics.request('n8n', 'timeout', 10);
  metrics.collectFrom(async () => sampleReport());
  return metrics;
}

async function familiesOf(metrics: Metrics): Promise<Map<string, Family>> {
  return new Map(parseExposition(await metrics.render()).map((family) => [family.name, family]));
}

function valueOf(families: Map<string, Family>, name: string, labels: Record<string, string> = {}): number | undefined {
  const family = families.get(`walpost_${name.replace(/_(count|sum)$/, '')}`) ?? families.get(`walpost_${name}`);
  return family?.samples.find(
    (sample) => sample.name === `walpost_${name}` && JSON.stringify(sample.labels) === JSON.stringify(labels),
  )?.value;
}

test('every name of the contract is served, with its type and labels', async () => {
  const families = await familiesOf(busyMetrics());
  for (const [name, { type, labels }] of Object.entries(CONTRACT)) {
    const family = families.get(`walpost_${name}`);
    const seen = new Set(family?.samples.flatMap((sample) => Object.keys(sample.labels)));
    seen.delete('le');
    expect({ name, type: family?.type, labels: [...seen].toSorted() }).toEqual({ name, type, labels });
  }
});

test('names, units, help and labels are as Prometheus wants them', async () => {
  expect(lintFamilies([...(await familiesOf(busyMetrics())).values()])).toEqual([]);
});

test('the lint sees faults', () => {
  const text = `# TYPE walpost_wait_ms gauge\nwalpost_wait_ms{organization="x"} 1\n# HELP walpost_events x\n# TYPE walpost_events counter\n`;
  expect(lintFamilies(parseExposition(text))).toEqual([
    'walpost_wait_ms: no HELP',
    'walpost_wait_ms: no base unit',
    'walpost_wait_ms: an organization is a label',
    'walpost_events: _total is for counters, and for all of them',
  ]);
});

describe('values', () => {
  test('counters and histograms count what they are told', async () => {
    const families = await familiesOf(busyMetrics());
    expect(valueOf(families, 'events_received_total')).toBe(5);
    expect(valueOf(families, 'events_delivered_total', { sink: 'live' })).toBe(3);
    expect(valueOf(families, 'events_dead_lettered_total', { sink: 'none', reason: 'poison' })).toBe(1);
    expect(valueOf(families, 'commit_to_delivery_seconds_count', { sink: 'live' })).toBe(1);
    expect(valueOf(families, 'commit_to_delivery_seconds_sum', { sink: 'live' })).toBe(0.3);
    expect(valueOf(families, 'sink_request_seconds_sum', { sink: 'n8n', outcome: 'timeout' })).toBe(10);
  });

  test('a sink that did nothing yet is counted from zero', async () => {
    const families = await familiesOf(new Metrics(['idle']));
    expect(valueOf(families, 'events_delivered_total', { sink: 'idle' })).toBe(0);
  });

  test('a clock that is behind makes no negative latency', async () => {
    const metrics = new Metrics();
    metrics.commitToDelivery('live', -3);
    expect(valueOf(await familiesOf(metrics), 'commit_to_delivery_seconds_sum', { sink: 'live' })).toBe(0);
  });

  test('gauges follow the status of the moment', async () => {
    const metrics = new Metrics();
    let report = sampleReport();
    metrics.collectFrom(async () => report);
    const before = await familiesOf(metrics);
    expect(valueOf(before, 'slot_status', { status: 'reserved' })).toBe(1);
    expect(valueOf(before, 'slot_status', { status: 'lost' })).toBe(0);
    expect(valueOf(before, 'slot_safe_bytes')).toBe(Infinity);
    expect(valueOf(before, 'breaker_state', { sink: 'n8n' })).toBe(2);
    expect(valueOf(before, 'lanes', { state: 'gathering' })).toBe(2);
    expect(valueOf(before, 'parked_events', { sink: 'n8n' })).toBe(12);

    report = sampleReport({ breakers: [{ sink: 'n8n', state: 'half_open' }], parked: [], lanes: { sending: 9 } });
    const after = await familiesOf(metrics);
    expect(valueOf(after, 'breaker_state', { sink: 'n8n' })).toBe(1);
    expect(valueOf(after, 'breaker_state', { sink: 'live' })).toBeUndefined();
    expect(valueOf(after, 'lanes', { state: 'gathering' })).toBeUndefined();
    expect(valueOf(after, 'parked_events', { sink: 'n8n' })).toBeUndefined();
  });

  test('what was delivered is counted once, however often somebody asks', async () => {
    const metrics = busyMetrics();
    for (const expected of [3, 3]) {
      expect(valueOf(await familiesOf(metrics), 'events_delivered_total', { sink: 'live' })).toBe(expected);
    }
    metrics.delivered('live', 2);
    expect(valueOf(await familiesOf(metrics), 'events_delivered_total', { sink: 'live' })).toBe(5);
  });

  test('a status that cannot be had leaves gauges unknown and counters served', async () => {
    const metrics = busyMetrics();
    await metrics.render();
    metrics.collectFrom(() => Promise.reject(new Error('the database is away')));
    const families = await familiesOf(metrics);
    expect(valueOf(families, 'slot_unconfirmed_bytes')).toBeNaN();
    for (const name of ['wal_retained_bytes', 'wal_budget_bytes', 'wal_time_left_seconds']) {
      expect(valueOf(families, name)).toBeUndefined();
    }
    expect(valueOf(families, 'slot_status', { status: 'reserved' })).toBeUndefined();
    expect(valueOf(families, 'leader')).toBeNaN();
    for (const [name, labels] of Object.entries({
      standbys: {},
      role: { role: 'leader' },
      stalled_events: { what: 'parking' },
      failing_organizations: { sink: 'live' },
      jobs: { kind: 'heal', state: 'running' },
    })) {
      expect(valueOf(families, name, labels) ?? NaN).toBeNaN();
    }
    expect(valueOf(families, 'events_received_total')).toBe(5);
  });

  test('the role is known while the database does not answer', async () => {
    const metrics = new Metrics();
    const readiness = { ready: true, degraded: false, role: 'leader', detail: '' } as const;
    metrics.collectFrom(
      () => Promise.reject(new Error('the database is away')),
      () => readiness,
    );
    const families = await familiesOf(metrics);
    expect(valueOf(families, 'leader')).toBe(1);
    expect(valueOf(families, 'role', { role: 'standby' })).toBe(0);
  });

  test('jobs, stalls and failing organizations are 0 only where that is known', async () => {
    const metrics = new Metrics();
    const job = { id: '1', kind: 'replay', state: 'running', scanned: 0, settled: 0, reason: null };
    metrics.collectFrom(async () =>
      sampleReport({ jobs: [job, { ...job, id: '2' }], stalls: [{ what: 'parking', waiting: 7, message: '' }] }),
    );
    const families = await familiesOf(metrics);
    expect(valueOf(families, 'jobs', { kind: 'replay', state: 'running' })).toBe(2);
    expect(valueOf(families, 'jobs', { kind: 'heal', state: 'queued' })).toBe(0);
    expect(valueOf(families, 'stalled_events', { what: 'parking' })).toBe(7);
    expect(valueOf(families, 'stalled_events', { what: 'dead letters' })).toBe(0);
    expect(valueOf(families, 'failing_organizations', { sink: 'n8n' })).toBe(2);
    expect(valueOf(families, 'failing_organizations', { sink: 'live' })).toBe(0);
    expect(valueOf(families, 'parked_oldest_seconds', { sink: 'n8n' })).toBe(60);
  });

  test('an event loop that nobody measures has no lag', async () => {
    const metrics = new Metrics();
    expect(valueOf(await familiesOf(metrics), 'process_event_loop_lag_seconds')).toBeNaN();
    metrics.measureLoop(() => 250);
    expect(valueOf(await familiesOf(metrics), 'process_event_loop_lag_seconds')).toBe(0.25);
  });
});
