/** A lane whose destination has ended stays one that the router has, until nothing more is sent to it. */
import { expect, test } from 'vitest';
import { DELIVERED, type LaneRule, type Verdicts } from '../../src/pipeline.ts';
import { event, Harness, makeOrigin } from './harness.ts';

const laneRule: LaneRule = {
  lanesFor: ({ organizationId }) => [`endpoint of ${organizationId}`],
  laneAgain: (_event, before) => before,
  ownDestinations: true,
};
const X = { sink: 'a', organizationId: 'x', lane: 'endpoint of x' };

test('also when it is parked for want of a turn, which settles what it holds', async () => {
  const harness: Harness = new Harness({
    laneRule,
    concurrency: 1,
    config: { delivery: { park_after: '1s', timeout: '15s' } },
    answer: () => new Promise<Verdicts>((resolve) => harness.clock.schedule(99, () => resolve(DELIVERED))),
  });
  for (let n = 0; n < 60; n++) harness.accept(`o${n}`, `of o${n}`);
  let settled = 0;
  const origin = makeOrigin({ receivedAt: harness.clock.now(), settle: () => void (settled += 1) });
  harness.router.accept(event('x', 'last', { origin }));
  await harness.clock.advance(400);
  harness.router.endLane(X, { at: 1_000_000n, dropped: () => undefined });
  await harness.clock.advance(2_000);
  const isSent = (): boolean => harness.sent.some(({ organization }) => organization === 'x');
  expect({ settled, sent: isSent(), kept: harness.router.hasLane(X) }).toEqual({ settled: 1, sent: false, kept: true });
  await harness.clock.advance(20_000);
  expect({ sent: isSent(), kept: harness.router.hasLane(X) }).toEqual({ sent: true, kept: false });
});
