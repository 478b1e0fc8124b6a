import { expect, test } from 'vitest';
import { OWN_LANE } from '../../src/pipeline.ts';
import { EarlierFailures } from '../../src/router/lanes/earlier-failures.ts';
import { Lane } from '../../src/router/lanes/lane.ts';
import type { BatchLimits } from '../../src/router/lanes/lane-queue.ts';
import { Expiry } from '../../src/router/lanes/expiry.ts';
import { LaneResults } from '../../src/router/lanes/results.ts';
import { ManualClock } from '../support/manual-clock.ts';
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
  const lane = new CountingLane('a', OWN_LANE);
  lane.blockBy().letPass('redrive-1');
  lane.leadBy('redrive-1');
  const redriven = ['1', '2'].map((id) => event('a', id, { origin: makeOrigin({ job: 'redrive-1' }) }));
  const unseen = event('a', '3', { origin: makeOrigin({ visible: false }) });
  lane.push(unseen);
  const given: string[] = [];
  const next: string[] = [];
  const results = new LaneResults({
    sink: 'hook',
    policy: { quickRetries: 0, maxAttempts: 3, backoff: [1000], parkAfter: 0, unavailableFor: 0, longestWait: 60_000 },
    blocks: true,
    expiry: new Expiry(undefined, new ManualClock()),
    rule: {},
    parking: {
      park: () => undefined,
      remove: () => undefined,
      letGo: () => undefined,
      readOne: async () => ({ events: [], last: null }),
    },
    clock: new ManualClock(),
    random: () => 1,
    accounts: {
      deadLettered: ({ eventId }, _rejection, stored) => {
        given.push(eventId);
        stored();
      },
      delivered: () => undefined,
      parked: () => undefined,
      isHalfFree: true,
      reserve: () => undefined,
      read: () => undefined,
      released: () => undefined,
      dropped: () => undefined,
    },
    apart: undefined,
    earlier: new EarlierFailures(new ManualClock()),
    scheduler: {
      proceed: () => next.push('proceed'),
      requeue: () => next.push('requeue'),
      backOff: () => next.push('backOff'),
      awaitVisible: () => undefined,
      release: () => undefined,
      drop: () => undefined,
      openWindow: () => 0,
    },
    watcher: { refusing: () => undefined, refusingOver: () => undefined, windowWait: () => undefined },
  });
  results.returned(lane, redriven, { kind: 'unavailable', reason: 'away' });
  expect(given).toEqual(['1', '2']);
  expect(lane.first).toBe(unseen);
  expect(next).toEqual(['proceed']);
});
