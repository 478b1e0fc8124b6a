import { describe, expect, test } from 'vitest';
import { joinAnswers, type GatheredStatus } from '../../src/cli/gather-status.ts';
import { bytesText, secondsText } from '../../src/cli/quantity-text.ts';
import { statusText } from '../../src/cli/status-view.ts';
import { sampleReport } from '../support/status-report.ts';

const answered = (report = sampleReport()): GatheredStatus => ({
  report,
  notes: [],
  process: 'answered',
  database: 'answered',
});

test('shows all there is, in plain text within 80 columns', () => {
  expect(statusText(answered(), false)).toBe(`role          leader, epoch 7, streaming from walpost_app
slot          walpost_app, reserved, active
confirmed     0/20
lag           0.3 s; unread 1 B, unconfirmed 2.0 KiB
WAL kept      5.0 MiB; before the slot is lost: no limit
lanes         2 gathering, 1 sending
buffered      4.0 KiB of 64.0 MiB, 3 open transactions
received      0.5 s ago
sink live     breaker closed
sink n8n      breaker open, 12 parked
parked        12
dead letters  3: 1 poison, 2 rejected (n8n)
jobs          none
`);
});

test('with colors it says the same', () => {
  const colored = statusText(answered(), true);
  expect(colored).toContain('\x1b[');
  expect(colored.replace(/\x1b\[\d+m/g, '')).toBe(statusText(answered(), false));
});

test('text from elsewhere cannot move the cursor', () => {
  const report = sampleReport({ leader: { role: 'leader', epoch: 1, detail: 'a\x1b[2J\nb\x07\x9b1m' } });
  const notes = ['x\x1b]0;title\x07'];
  expect(statusText({ ...answered(report), notes }, false)).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f]/);
});

describe('joining what the process and the database say', () => {
  const facts = {
    slot: { name: 's', walStatus: 'lost', active: false, restartLsn: null, confirmedLsn: '0/1' },
    lag: { unreadBytes: null, unconfirmedBytes: 10, retainedBytes: 20, safeBytes: 30 },
    deadLetters: [],
    parked: [{ sink: 'n8n', count: 5, oldestAgeSeconds: 1 }],
  };

  test('the database knows more of the slot, the process of itself', () => {
    const { report, notes } = joinAnswers({ kind: 'answered', report: sampleReport() }, { kind: 'answered', facts });
    expect(notes).toEqual([]);
    expect(report).toMatchObject({ slot: facts.slot, leader: { epoch: 7 }, deadLetters: [], parked: facts.parked });
    expect(report.lag).toEqual({ ...facts.lag, unreadBytes: 1, seconds: 0.25 });
  });

  test('without a process the slot is still shown', () => {
    const joined = joinAnswers({ kind: 'silent', reason: 'No process.' }, { kind: 'answered', facts });
    expect(joined).toMatchObject({ notes: ['No process.'], process: 'silent', database: 'answered' });
    expect(joined.report).toMatchObject({
      slot: facts.slot,
      leader: { role: 'unknown' },
      lanes: null,
      parked: facts.parked,
    });
  });

  test('without a database the process still tells', () => {
    const joined = joinAnswers({ kind: 'answered', report: sampleReport() }, { kind: 'silent', reason: 'Away.' });
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
])('%s seconds are %s', (seconds, expected) => {
  expect(secondsText(seconds)).toBe(expected);
});
