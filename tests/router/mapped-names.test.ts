/** Names of walpost in a table of the application: a route has to name them, and they mean nothing. */
import { expect, test } from 'vitest';
import type { LaneRule } from '../../src/pipeline.ts';
import { event, Harness } from './harness.ts';

const laneRule: LaneRule = {
  lanesFor: ({ organizationId }) => [`endpoint of ${organizationId}`],
  laneAgain: (_event, before) => before,
  ownDestinations: true,
};

test.each(['walpost.endpoint.test', 'walpost.endpoint.disabled', 'walpost.verify', 'walpost.other'])(
  'an event of the type %s is a dead letter where no route names it',
  async (eventType) => {
    const harness = new Harness({ laneRule, isMapped: true });
    harness.router.accept(event('x', 'e1', { eventType }));
    await harness.clock.advance(1_000);
    expect(harness.sent).toEqual([]);
    expect(harness.letters.map(({ reason }) => reason)).toEqual(['unrouted']);
  },
);

test('it goes where a route names it', async () => {
  const config = { routes: [{ match: { event_type: 'walpost.endpoint.test' }, to: ['a'] }] };
  const harness = new Harness({ isMapped: true, config });
  harness.router.accept(event('x', 'e1', { eventType: 'walpost.endpoint.test' }));
  await harness.clock.advance(1_000);
  expect(harness.sent.map(({ events }) => events)).toEqual([['e1']]);
  expect(harness.letters).toEqual([]);
});

test('in the outbox a test goes to its endpoint alone, and our other events are left out', async () => {
  const harness = new Harness({ laneRule });
  for (const [n, name] of ['test', 'disabled'].entries()) {
    harness.router.accept(event('x', `e${n}`, { eventType: `walpost.endpoint.${name}` }));
  }
  await harness.clock.advance(1_000);
  expect(harness.sent.map(({ events }) => events)).toEqual([['e0']]);
  expect(harness.letters).toEqual([]);
});
