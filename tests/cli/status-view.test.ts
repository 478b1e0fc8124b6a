import { stripVTControlCharacters } from 'node:util';
import { describe, expect, test } from 'vitest';
import { joinAnswers, type GatheredStatus } from '../../src/cli/gather-status.ts';
import { bytesText, secondsText } from '../../src/cli/quantity-text.ts';
import { statusChanges } from '../../src/cli/status-changes.ts';
import { joinAlerts } from '../../src/relay/status/alerts.ts';
import { statusText } from '../../src/cli/status-view.ts';
import { oldestSeconds, type StatusReport } from '../../src/observe/status-report.ts';
import { UNKNOWN_BUDGET } from '../../src/observe/wal-status.ts';
import { sampleReport } from '../support/status-report.ts';

const answered = (report = sampleReport()): GatheredStatus => ({
  report,
  notes: [],
  process: 'answered',
  database: 'answered',
  allAlerts: true,
});

test('shows all there is, in plain text', () => {
  expect(statusText(answered(), { color: false })).toBe(`role          leader, epoch 7, streaming from walpost_app
processes     leader server process 11 from 127.0.0.1; no standby (a second \`walpost run\` stands by)
slot          walpost_app, reserved, active
confirmed     0/20
lag           0.3 s; unread 1 B, unconfirmed 2.0 KiB
oldest        waits for 60 s, parked
WAL kept      5.0 MiB; no limit of the server, walpost warns at 4.0 GiB
WAL left      4.0 GiB; 68 min at 1.0 MiB a second
held by       nothing
lanes         2 gathering, 1 sending
buffered      4.0 KiB of 64.0 MiB, 3 open transactions
received      0.5 s ago
sink live     breaker closed
sink n8n      breaker open, 12 parked
parked        12
dead letters  3: 1 poison, 2 rejected (n8n)
jobs          none
alerts        none
`);
});

test('a sink with a long name leaves room for what is said of it', () => {
  const sink = 'notifications-of-the-customer-portal';
  const report = sampleReport({ breakers: [{ sink, state: 'closed' }], parked: [] });
  const lines = statusText(answered(report), { color: false, width: 60 }).split('\n');
  const at = lines.indexOf(`sink ${sink}`);
  expect(lines.slice(at, at + 2)).toEqual([`sink ${sink}`, '              breaker closed']);
  expect(lines[0]).toBe('role          leader, epoch 7, streaming from walpost_app');
  const piped = statusText(answered(report), { color: false }).split('\n');
  expect(piped).toContainEqual(expect.stringMatching(new RegExp(`^sink ${sink}  breaker closed$`)));
});

test('with colors it says the same', () => {
  const colored = statusText(answered(), { color: true });
  expect(colored).toContain('\x1b[');
  expect(colored.replace(/\x1b\[\d+m/g, '')).toBe(statusText(answered(), { color: false }));
});

test('text from elsewhere cannot move the cursor', () => {
  const report = sampleReport({ leader: { role: 'leader', epoch: 1, detail: 'a\x1b[2J\nb\x07\x9b1m' } });
  const notes = ['x\x1b]0;title\x07'];
  expect(statusText({ ...answered(report), notes }, { color: false })).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f]/);
});

test('what is not known of a slot is unknown, and not without limit', () => {
  const { lag } = sampleReport();
  const limited = { lag: { ...lag, retainedBytes: null, unlimited: null }, wal: UNKNOWN_BUDGET };
  const text = statusText(answered(sampleReport(limited)), { color: false });
  expect(text).toMatch(/^WAL kept +unknown; limit unknown$/m);
  expect(text).toMatch(/^WAL left +unknown; time unknown: the rate is not measured yet$/m);
  const away = sampleReport({ openTransactions: null, lastReceivedAgeSeconds: null });
  expect(statusText(answered(away), { color: false })).toMatch(/, unknown open transactions$/m);
  expect(statusText(answered(away), { color: false })).toMatch(/^received +unknown$/m);
});

test('the oldest event is told beside the lag, which has none that is parked', () => {
  const { lag } = sampleReport();
  const told = (changes: Partial<StatusReport['lag']>): string | undefined =>
    /^oldest +(.+)$/m.exec(statusText(answered(sampleReport({ lag: { ...lag, ...changes } })), { color: false }))?.[1];
  expect(told({ seconds: 0, oldestSeconds: 0 })).toBe('no event waits');
  expect(told({ seconds: 3, oldestSeconds: 3 })).toBe('waits for 3.0 s');
  expect(told({ seconds: 0, oldestSeconds: 52 })).toBe('waits for 52 s, parked');
  expect(told({ seconds: null, oldestSeconds: 52 })).toBe('waits for 52 s, parked');
  expect(told({ seconds: null, oldestSeconds: null })).toBe('unknown');
  expect(oldestSeconds(0, [])).toBe(0);
  expect(oldestSeconds(null, [])).toBeNull(); // what is not parked is not known
  expect(oldestSeconds(0, null)).toBeNull();
  expect(oldestSeconds(90, [{ sink: 'n8n', count: 1, oldestAgeSeconds: 60 }])).toBe(90);
});

const LANE = {
  sink: 'n8n',
  organizationId: '6f1c2a52-8c0e-4d6e-9a50-0d5d2f2f5f11',
  lane: '',
  since: '2026-11-20T14:00:03.000000Z',
  parked: 12,
  state: 'failing',
  attempts: 4,
  code: 'HTTP_503',
  reason: 'HTTP 503',
  nextTryAt: '2026-11-20T14:05:00.000000Z',
  waitsFor: 'its next try',
};

test('lanes that wait say for what, and where the list is cut how many more there are', () => {
  const text = statusText(answered(sampleReport({ waiting: { total: 29, first: [LANE] } })), { color: false });
  expect(text).toContain(
    'n8n, organization 6f1c2a52-8c0e-4d6e-9a50-0d5d2f2f5f11: 12 parked, since 2026-11-20 14:00:03 UTC, 4 failed, ' +
      'waits for its next try (2026-11-20 14:05:00 UTC): HTTP 503\n              and 28 more lanes that wait\n' +
      'remedy        sink n8n: Look at the receiver and its log. Delivery then goes on by itself',
  );
  for (const width of [60, 80, 160]) {
    const fitted = statusText(answered(sampleReport({ waiting: { total: 29, first: [LANE] } })), {
      color: true,
      width,
    });
    expect(Math.max(...fitted.split('\n').map((line) => stripVTControlCharacters(line).length))).toBeLessThanOrEqual(
      width,
    );
  }
});

test('what mends a destination is said once for each cause, and of an endpoint, or one that refuses all, something else', () => {
  const closed = { sink: 'n8n', state: 'closed' as const };
  const first = [
    LANE,
    { ...LANE, organizationId: 'b0a4d6c1-52e1-4f8a-90d1-3c3e7a107c3e' },
    { ...LANE, code: 'BREAKER_OPEN', reason: 'the breaker of n8n is open' },
    { ...LANE, code: 'HTTP_422', state: 'refusing' },
    { ...LANE, sink: 'customers', lane: '01a22a59-5c13-72d9-9798-780dc5bab437' },
    { ...LANE, state: 'paused', code: 'HTTP_404' },
  ];
  const report = sampleReport({ breakers: [closed], waiting: { total: first.length, first } });
  const text = statusText(answered(report), { color: false, endpointSinks: new Set(['customers']) });
  expect(text.match(/^remedy .*$/gm)).toEqual([
    expect.stringContaining('sink n8n: Look at the receiver and its log.'),
    expect.stringContaining('sink n8n: Find out why the receiver refuses them and mend it'),
    expect.stringContaining('sink customers: An endpoint that fails alone is for its customer to mend'),
  ]);
  expect(text).toContain(', endpoint 01a22a59-5c13-72d9-9798-780dc5bab437: 12 parked');
});

test('whether a lane is an endpoint is asked of the configuration: without a process too, and of a removed sink it is not', () => {
  const lane = '01a22a59-5c13-72d9-9798-780dc5bab437';
  const first = [
    { ...LANE, sink: 'customers', lane, code: 'HTTP_401' },
    { ...LANE, sink: 'removed', lane: 'order-7', code: 'HTTP_401' },
  ];
  const refused = { since: LANE.since, events: 1, eventIds: ['a'], eventTypes: 1, reason: 'HTTP 422' };
  const refusing = first.map(({ sink, organizationId, lane: name }) => ({
    ...refused,
    sink,
    organizationId,
    lane: name,
  }));
  for (const breakers of [null, []]) {
    const report = sampleReport({ breakers, refusing, waiting: { total: 2, first } });
    const text = statusText(answered(report), { color: false, endpointSinks: new Set(['customers']) });
    expect(text.match(/^refusing .*, endpoint 01a22a59.*refused/gm)).toHaveLength(1);
    expect(text.match(/^waiting .*, endpoint 01a22a59.* parked/gm)).toHaveLength(1);
    expect(text).not.toContain('endpoint order-7');
    expect(text.match(/^remedy .*$/gm)).toEqual([
      expect.stringContaining('sink customers: An endpoint that fails alone'),
      expect.stringContaining('sinks.removed'),
    ]);
  }
});

test('a lane has a next try only where one comes', () => {
  const first = [{ ...LANE, waitsFor: 'a relay: none streams from the slot' }];
  const text = statusText(answered(sampleReport({ waiting: { total: 1, first } })), { color: false });
  expect(text).toContain('waits for a relay: none streams from the slot: HTTP 503\n');
});

test('alerts come last, the most severe first; what holds the slot is said once, and fits every terminal', () => {
  const organization = '6f1c2a52-8c0e-4d6e-9a50-0d5d2f2f5f11';
  const message = `walpost itself: sink hook, organization ${organization} waits for its next try (HTTP 503)`;
  const subject = `sink hook, organization ${organization}`;
  const held = { kind: 'lane' as const, subject, since: null, message, remedy: 'Wait.' };
  const own = { name: 'held_by_lane', severity: 'warning' as const, subject, message, remedy: 'Wait.' };
  const lost = {
    name: 'slot_lost',
    severity: 'critical' as const,
    subject: 's',
    message: 'It is gone.',
    remedy: 'Start.',
  };
  const young = { ...held, kind: 'slot' as const, subject: 'cdc', message: 'slot cdc keeps WAL', remedy: 'Drop it.' };
  const report = sampleReport({ heldBy: [held, young], alerts: joinAlerts([own], [lost, own]) });
  const text = statusText(answered(report), { color: false });
  expect(text.split('\n').slice(-4)).toEqual([
    'jobs          none',
    'critical      slot_lost, s: It is gone. Start.',
    `warning       held_by_lane, ${subject}: see \`held by\`. Wait.`,
    '',
  ]);
  expect(text).toContain(`held by       ${message}\nheld by       slot cdc keeps WAL. Drop it.\n`);
  for (const width of [60, 80, 160]) {
    const fitted = statusText(answered(report), { color: true, width });
    const lines = stripVTControlCharacters(fitted).split('\n');
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(width);
    expect(lines.filter((line) => line.includes(organization)).length).toBeGreaterThanOrEqual(2);
  }
});

test('a watch shows what changed, and what is not known as unknown', () => {
  const before = sampleReport();
  const now = sampleReport({ counts: { received: 50, delivered: 30 }, parked: [], deadLetters: null });
  const changes = statusChanges(before, now, 2);
  expect(changes).toEqual({
    seconds: 2,
    receivedPerSecond: 10,
    deliveredPerSecond: 5,
    writtenBytesPerSecond: 1024 ** 2,
    parked: -12,
    deadLetters: null,
    unconfirmedBytes: 0,
    retainedBytes: 0,
  });
  const text = statusText(answered(now), { color: false, changes });
  expect(text).toContain('a second      10.0 received, 5.0 delivered, WAL 1.0 MiB\n');
  expect(text).toContain('in 2.0 s      parked -12, dead letters unknown, unconfirmed +0 B, WAL kept +0 B\n');
  // A process that was started anew counts from 0.
  expect(statusChanges(now, before, 2)).toMatchObject({ receivedPerSecond: null, deliveredPerSecond: null });
});

describe('joining what the process and the database say', () => {
  const facts = {
    slot: { name: 's', walStatus: 'lost', active: false, restartLsn: null, confirmedLsn: '0/1' },
    lag: { unreadBytes: null, unconfirmedBytes: 10, retainedBytes: 20, safeBytes: null, unlimited: null },
    paused: [],
    waiting: { total: 0, first: [] },
    deadLetters: [],
    parked: [{ sink: 'n8n', count: 5, oldestAgeSeconds: 1 }],
    jobs: [{ id: '7', kind: 'replay', state: 'queued', scanned: 0, settled: 0, reason: null }],
    alerts: [],
    heldBy: [],
    sessions: null,
    walEnd: null,
  };
  const options = { walWarn: 4 * 1024 ** 3, measured: null };

  test('the database knows more of the slot, the process of itself', () => {
    const { report, notes } = joinAnswers(
      { kind: 'answered', report: sampleReport() },
      { kind: 'answered', facts, notes: [] },
      options,
    );
    expect(notes).toEqual([]);
    expect(report).toMatchObject({ slot: facts.slot, leader: { epoch: 7 }, deadLetters: [], parked: facts.parked });
    expect(report.lag).toEqual({ ...facts.lag, unreadBytes: 1, seconds: 0.25, oldestSeconds: 1 });
  });

  test('without a process the slot is still shown', () => {
    const joined = joinAnswers(
      { kind: 'silent', reason: 'No process.' },
      { kind: 'answered', facts, notes: [] },
      options,
    );
    expect(joined).toMatchObject({ notes: ['No process.'], process: 'silent', database: 'answered' });
    expect(joined.report).toMatchObject({
      slot: facts.slot,
      leader: { role: 'unknown' },
      lanes: null,
      parked: facts.parked,
      jobs: facts.jobs,
    });
    expect(statusText(joined, { color: false })).toMatch(/^WAL kept +20 B$/m); // of a lost slot nothing is left to say
    expect(statusText(joined, { color: false })).toMatch(
      /^jobs +replay 7 queued, 0 scanned, 0 sent, waits for a relay$/m,
    );
  });

  test('what nobody could tell is unknown, and not 0 or none', () => {
    const silent = { kind: 'silent', reason: 'Away.' } as const;
    const { report } = joinAnswers(silent, silent, options);
    const { parked, deadLetters, jobs, refusing, breakers, stalls } = report;
    expect([parked, deadLetters, jobs, refusing, breakers, stalls]).toEqual(Array(6).fill(null));
    expect(statusText({ ...answered(report), notes: [] }, { color: false }))
      .toBe(`role          unknown, no process answered
processes     unknown
slot          unknown
oldest        unknown
held by       unknown
parked        unknown
dead letters  unknown
jobs          unknown
alerts        unknown
`);
    expect(report.alerts).toBeNull();
  });

  test('what this role may not read is as the process says', () => {
    const unreadable = {
      ...facts,
      deadLetters: null,
      parked: null,
      paused: null,
      waiting: null,
      jobs: null,
      alerts: null,
      heldBy: null,
    };
    const breakerOpen = {
      name: 'breaker_open',
      severity: 'warning',
      subject: 'sink n8n',
      message: 'open',
      remedy: 'x',
    } as const;
    const { report } = joinAnswers(
      { kind: 'answered', report: sampleReport({ alerts: [breakerOpen] }) },
      { kind: 'answered', facts: unreadable, notes: [] },
      options,
    );
    expect(report).toMatchObject({ jobs: [], parked: sampleReport().parked, waiting: { total: 0 } });
    expect(report.alerts?.map(({ name, subject }) => `${name} ${subject}`)).toEqual([
      'slot_lost s',
      'breaker_open sink n8n',
    ]);
    const alone = joinAnswers(
      { kind: 'silent', reason: '' },
      { kind: 'answered', facts: unreadable, notes: [] },
      options,
    );
    expect(statusText(alone, { color: false })).toMatch(/^jobs +unknown$/m);
  });

  test('what the process alone knows stays when all else was looked at again, and a breaker that it does not tell of is none', () => {
    const told = ['no_replication_role', 'breaker_open', 'stalled'].map((name) => ({
      name,
      severity: 'warning' as const,
      subject: name,
      message: 'as the process had it',
      remedy: 'x',
    }));
    const looked = { ...facts, sessions: { leader: null, standbys: [], stranger: undefined } };
    const alertsOf = (alerts: typeof told) =>
      joinAnswers(
        { kind: 'answered', report: sampleReport({ alerts }) },
        { kind: 'answered', facts: looked, notes: [] },
        options,
      ).report.alerts?.map(({ name }) => name);
    expect(sampleReport().breakers).toContainEqual({ sink: 'n8n', state: 'open' });
    expect(alertsOf(told)).toEqual(['slot_lost', 'no_replication_role', 'breaker_open']);
    expect(alertsOf([])).toEqual(['slot_lost']); // one that stands by: its breakers are as they were when it led
  });

  test('without a database the process still tells', () => {
    const joined = joinAnswers(
      { kind: 'answered', report: sampleReport() },
      { kind: 'silent', reason: 'Away.' },
      options,
    );
    expect(joined.report).toEqual(sampleReport());
    expect(joined.notes).toEqual(['Away.']);
  });
});

test.each([
  [null, 'unknown'],
  [0, '0 B'],
  [1023, '1023 B'],
  [1024, '1.0 KiB'],
  [150 * 1024, '150 KiB'],
  [5 * 1024 ** 4, '5.0 TiB'],
  [5000 * 1024 ** 4, '5000 TiB'],
])('%s bytes are %s', (bytes, expected) => {
  expect(bytesText(bytes)).toBe(expected);
});

test.each([
  [null, 'unknown'],
  [0.04, '0.0 s'],
  [12.3, '12 s'],
  [119, '119 s'],
  [600, '10 min'],
  [9000, '2.5 h'],
  [172_799, '48.0 h'],
  [532_000, '6.2 days'],
])('%s seconds are %s', (seconds, expected) => {
  expect(secondsText(seconds)).toBe(expected);
});
