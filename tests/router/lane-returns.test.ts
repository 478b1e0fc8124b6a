import { expect, test } from 'vitest';
import { Lane, type BatchLimits } from '../../src/router/lane.ts';
import { LaneReturns } from '../../src/router/lane-returns.ts';
import { newBlock } from '../../src/router/lane-blocking.ts';
import { event, makeOrigin } from './harness.ts';

/** Takes are counted, since a loop that takes nothing would never end. */
class CountingLane extends Lane {
  takes = 0;

  override take(limits: BatchLimits): ReturnType<Lane['take']> {
    this.takes += 1;
    if (this.takes > 100) throw new Error('it takes without end');
    return super.take(limits);
  }
}

test('a redrive that gives up leaves what is not visible yet where it is', () => {
  const lane = new CountingLane('a');
  lane.blocked = { ...newBlock(), passing: 'redrive-1' };
  lane.heldBy = 'redrive-1';
  const redriven = ['1', '2'].map((id) => event('a', id, { origin: makeOrigin({ job: 'redrive-1' }) }));
  const unseen = event('a', '3', { origin: makeOrigin({ visible: false }) });
  lane.push(unseen);
  const buried: string[] = [];
  const next: string[] = [];
  const returns = new LaneReturns({
    sink: 'hook',
    policy: { quickRetries: 0, maxAttempts: 3, backoff: [1000], parkAfter: 0, unavailableFor: 0, longestWait: 60_000 },
    blocks: true,
    parking: { park: () => undefined, remove: () => undefined },
    now: () => 0,
    random: () => 1,
    onDelivered: () => undefined,
    onRejected: ({ eventId }, _given, stored) => {
      buried.push(eventId);
      stored();
    },
    go: () => next.push('go'),
    again: () => next.push('again'),
    rest: () => next.push('rest'),
    buried: () => undefined,
  });
  returns.returned(lane, redriven, { kind: 'unavailable', reason: 'away' });
  expect(buried).toEqual(['1', '2']);
  expect(lane.first).toBe(unseen);
  expect(next).toEqual(['go']);
});
