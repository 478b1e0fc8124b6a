/** What the log says of destinations that fail: enough to act on, and never a line an event. */
import { expect, test } from 'vitest';
import { createLog } from '../../src/observe/log.ts';
import type { FailingLane } from '../../src/pipeline.ts';
import { breakerLog } from '../../src/observe/breaker-log.ts';
import { destinationRemedy } from '../../src/observe/destination-remedy.ts';
import { FailingLog } from '../../src/observe/failing-log.ts';
import { ERROR_TABLE } from '../../src/sinks/http/http-verdict.ts';
import { ManualClock } from '../support/manual-clock.ts';

interface Line {
  readonly level: string;
  readonly msg: string;
  readonly organizationId?: string;
  readonly [field: string]: unknown;
}

function scene() {
  const clock = new ManualClock();
  const lines: Line[] = [];
  const destination = { write: (line: string) => lines.push(JSON.parse(line) as Line) };
  const log = createLog({ level: 'info', format: 'json', destination });
  return { clock, log, failing: new FailingLog(log, clock), take: () => lines.splice(0) };
}

const lane = (organizationId: string, change: Partial<FailingLane> = {}): FailingLane => ({
  sink: 'hook',
  organizationId,
  lane: '',
  state: 'failing',
  since: 0,
  attempts: 1,
  reason: 'the destination refused the connection (ECONNREFUSED)',
  code: 'ECONNREFUSED',
  answer: 'never logged',
  nextTryAt: null,
  ...change,
});
const lanes = (count: number): FailingLane[] => Array.from({ length: count }, (_, index) => lane(`org-${index}`));

test('one line when it begins, with cause and remedy, and one when it is over, with how long', async () => {
  const { clock, failing, take } = scene();
  failing.round([lane('org-a')]);
  const [begun, ...others] = take();
  expect(others).toEqual([]);
  expect(begun).toMatchObject({
    level: 'warn',
    sink: 'hook',
    organizationId: 'org-a',
    code: 'ECONNREFUSED',
    reason: 'the destination refused the connection (ECONNREFUSED)',
    remedy: expect.stringContaining('correct sinks.hook.url'),
  });
  expect(JSON.stringify(begun)).not.toContain('never logged');
  for (let second = 0; second < 40; second += 1) {
    await clock.advance(1_000);
    failing.round([lane('org-a', { attempts: second })]);
  }
  expect(take()).toEqual([]);
  failing.round([]);
  expect(take()).toMatchObject([
    { level: 'info', msg: 'deliveries no longer fail', organizationId: 'org-a', attempts: 39, failedForSeconds: 40 },
  ]);
});

test('of many that fail at once five are named, and a line each minute counts them all by their codes', async () => {
  const { clock, failing, take } = scene();
  const many = [...lanes(99), lane('org-x', { code: null, since: -30_000 })];
  failing.round(many);
  expect(take().map(({ organizationId }) => organizationId)).toEqual(['org-0', 'org-1', 'org-2', 'org-3', 'org-4']);
  for (let second = 1; second <= 120; second += 1) {
    await clock.advance(1_000);
    failing.round(many);
  }
  const summary = { msg: 'deliveries fail', sink: 'hook', lanes: 100, codes: { ECONNREFUSED: 99, unknown: 1 } };
  expect(take()).toMatchObject([
    { ...summary, oldestForSeconds: 90 },
    { ...summary, oldestForSeconds: 150 },
  ]);
  failing.round([]);
  expect(take()).toHaveLength(5);
});

test('a few that go on failing are told again every ten minutes', async () => {
  const { clock, failing, take } = scene();
  failing.round(lanes(2));
  take();
  for (let second = 1; second <= 1_200; second += 1) {
    await clock.advance(1_000);
    failing.round(lanes(2));
  }
  expect(take()).toMatchObject([
    { lanes: 2, oldestForSeconds: 600 },
    { lanes: 2, oldestForSeconds: 1_200 },
  ]);
});

test('a lane that fails for a moment every two seconds writes at most ten lines a minute', async () => {
  const { clock, failing, take } = scene();
  for (let second = 0; second < 60; second += 1) {
    failing.round(second % 2 === 0 ? [lane('org-a')] : []);
    await clock.advance(1_000);
  }
  expect(take().length).toBeLessThanOrEqual(12);
});

test('a lane that is missing from a list that was cut is not told to be over', () => {
  const { failing, take } = scene();
  failing.round([lane('org-a'), lane('org-b')]);
  take();
  failing.round([lane('org-a')], true);
  expect(take()).toEqual([]);
  failing.round([lane('org-a')]);
  expect(take()).toMatchObject([{ msg: 'deliveries no longer fail', organizationId: 'org-b' }]);
});

test('what another process leads is forgotten without a word', () => {
  const { failing, take } = scene();
  failing.round(lanes(1));
  take();
  failing.forget();
  failing.round([]);
  expect(take()).toEqual([]);
});

test('a breaker that opens and probes for hours is told once, with the cause, and once when it closes', async () => {
  const { clock, log, take } = scene();
  const onBreaker = breakerLog({ name: 'hook', clock, log });
  const reason = 'the destination answered 401 Unauthorized';
  for (let probes = 0; probes < 100; probes += 1) {
    onBreaker('hook', 'open', { reason, code: 'HTTP_401' });
    await clock.advance(10_000);
    onBreaker('hook', 'half_open');
  }
  expect(take()).toMatchObject([
    { level: 'warn', state: 'open', code: 'HTTP_401', reason, remedy: expect.stringContaining('credentials') },
  ]);
  onBreaker('hook', 'closed');
  expect(take()).toMatchObject([{ level: 'info', state: 'closed', openForSeconds: 1_000 }]);
});

test.each(Object.keys(ERROR_TABLE).map((code) => [code]))('%s has a remedy that names what to change', (code) => {
  const isUnreadable = /^(HPE|WALPOST_UNASKED|UND_ERR_HEADERS_OVERFLOW|UND_ERR_RES_CONTENT)/.test(code);
  expect(destinationRemedy(code, 'hook')).toContain(isUnreadable ? 'Look at the receiver' : 'sinks.hook.');
});

test.each([301, 401, 404, 429, 500, 503])('so does an answer of %i', (status) => {
  expect(destinationRemedy(`HTTP_${status}`, 'hook')).toContain(status < 500 ? 'sinks.hook' : 'Look at the receiver');
});

test.each([
  ['NATS_NO_STREAM', 'sinks.x.subject'],
  ['NATS_10047', 'storage'],
  ['NATS_10077', 'limits of the stream'],
  ['RABBITMQ_UNROUTABLE', 'sinks.x.exchange'],
  ['RABBITMQ_BLOCKED', 'memory or disk'],
  ['RABBITMQ_403', 'sinks.x.url'],
  ['RABBITMQ_320', 'log of RabbitMQ'],
  ['KAFKA_UNKNOWN_TOPIC_OR_PARTITION', 'sinks.x.topic'],
  ['KAFKA_TOPIC_AUTHORIZATION_FAILED', 'sinks.x.sasl'],
  ['KAFKA_NOT_ENOUGH_REPLICAS', 'replicas'],
])('%s of a broker has a remedy that names %s', (code, what) => {
  expect(destinationRemedy(code, 'x')).toContain(what);
});
