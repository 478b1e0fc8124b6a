/** What an earlier connection knew of a failing lane goes on: the number of the attempt, and since when. */
import { expect, test } from 'vitest';
import { DELIVERED, type FailingLane, type Verdict } from '../../src/pipeline.ts';
import { Harness } from './harness.ts';

const AWAY: Verdict = { kind: 'unavailable', reason: 'a is away' };
const failing = (change: Partial<FailingLane> = {}): FailingLane => ({
  sink: 'a',
  organizationId: 'x',
  lane: '',
  state: 'failing',
  since: -5_000,
  attempts: 7,
  reason: 'a was away',
  code: null,
  answer: null,
  nextTryAt: null,
  ...change,
});

/** A connection that has parked an event of x, and ended. */
async function parkedByAnother(): Promise<Harness['lot']> {
  const harness = new Harness({ answer: () => AWAY });
  harness.accept('x', '1');
  while (harness.lot.rows.length === 0) await harness.clock.advance(1_000);
  await harness.router.close();
  await harness.settle();
  return harness.lot;
}

test('attempts are counted on until something is delivered', async () => {
  let verdict: Verdict = AWAY;
  const harness = new Harness({ lot: await parkedByAnother(), answer: () => verdict });
  harness.router.restore(harness.lot.lanes(), [], [failing(), failing({ organizationId: 'y', attempts: 2 })]);
  await harness.clock.advance(0);
  expect(harness.sent.map(({ attempt }) => attempt)).toEqual([8]);
  expect([...harness.router.failing()]).toMatchObject([
    { organizationId: 'x', attempts: 8, since: -5_000, reason: 'a is away' },
    { organizationId: 'y', attempts: 2, reason: 'a was away' }, // not tried again yet
  ]);
  verdict = DELIVERED;
  await harness.clock.advance(30_000);
  expect(harness.sent.at(-1)).toMatchObject({ attempt: harness.sent.length + 7 });
  expect([...harness.router.failing()].map(({ organizationId }) => organizationId)).toEqual(['y']);
  verdict = AWAY;
  const before = harness.sent.length;
  harness.accept('x', '2');
  await harness.clock.advance(1_000);
  expect(harness.sent[before]).toMatchObject({ events: ['2'], attempt: 1 });
});

test('a lane that does not come back is forgotten after a minute', async () => {
  const harness = new Harness();
  harness.router.restore([], [], [failing()]);
  await harness.clock.advance(59_000);
  expect([...harness.router.failing()]).toHaveLength(1);
  await harness.clock.advance(1_000);
  expect([...harness.router.failing()]).toEqual([]);
  expect([...harness.router.failing()]).toEqual([]);
});
