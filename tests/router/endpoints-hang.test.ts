/**
 * Endpoints that hang, all at once, beside many that answer: a hundredth of what `npm run bench:endpoints` does on a real relay,
 * on a clock of its own, so that the waiting for turns is all that is measured.
 */
import { expect, test } from 'vitest';
import { type Batch, DELIVERED, type LaneRule, type Verdicts } from '../../src/pipeline.ts';
import { event, Harness, makeOrigin } from './harness.ts';

const CUSTOMERS = 200;
const EACH = 5;
const ONE_IN = 20;
const TIMEOUT_MS = 5_000;
const ANSWER_MS = 5;
const WINDOW_MS = 250;
const TICK = { ms: 50, events: 2 };

const endpointsOf: LaneRule = {
  lanesFor: ({ organizationId }) => Array.from({ length: EACH }, (_, n) => String(Number(organizationId) * EACH + n)),
  laneAgain: (_event, before) => before,
  ownDestinations: true,
};
const isSick = (lane = ''): boolean => Number(lane) % ONE_IN === 0;

/** Twenty seconds of events; how long each waited for each endpoint that answers, in milliseconds, and the most in flight. */
async function waits(
  concurrency: number,
): Promise<{ readonly longest: number; readonly sent: number; readonly most: number }> {
  const committed = new Map<string, number>();
  let [longest, sent, inFlight, most] = [0, 0, 0, 0];
  const answer = ({ lane, events }: Batch): Promise<Verdicts> =>
    new Promise((resolve) => {
      most = Math.max(most, ++inFlight);
      const back = (verdicts: Verdicts): void => {
        inFlight -= 1;
        resolve(verdicts);
      };
      if (isSick(lane)) {
        harness.clock.schedule(TIMEOUT_MS, () => back({ kind: 'unavailable', reason: 'it hangs', slow: true }));
        return;
      }
      for (const { eventId } of events)
        longest = Math.max(longest, harness.clock.now() - (committed.get(eventId) ?? 0));
      sent += events.length;
      harness.clock.schedule(ANSWER_MS, () => back(DELIVERED));
    });
  const harness: Harness = new Harness({
    laneRule: endpointsOf,
    concurrency,
    config: { delivery: { park_after: '5s', timeout: `${TIMEOUT_MS}ms` } },
    answer,
  });
  let written = 0;
  for (let now = 0; now < 20_000; now += TICK.ms) {
    for (let n = 0; n < TICK.events; n++) {
      const receivedAt = harness.clock.now();
      const eventId = String(written);
      committed.set(eventId, receivedAt);
      harness.router.accept(event(String(written++ % CUSTOMERS), eventId, { origin: makeOrigin({ receivedAt }) }));
    }
    await harness.clock.advance(TICK.ms);
  }
  await harness.clock.advance(60_000);
  return { longest, sent, most };
}

const SENT = 20 * 40 * EACH - (20 * 40 * EACH) / ONE_IN;
const HANGING = (CUSTOMERS * EACH) / ONE_IN;

test('nobody waits for them while fewer hang than there are turns', async () => {
  const found = await waits(2 * HANGING);
  expect(found).toMatchObject({ longest: WINDOW_MS, sent: SENT });
  expect(found.most).toBeLessThanOrEqual(2 * HANGING);
});

test('where more hang at once than there are turns, those that last are lent to the others', async () => {
  const found = await waits(8);
  expect(found.sent).toBe(SENT);
  expect(found.longest).toBeLessThan(WINDOW_MS + 1_000); // and not for a timeout of 5 s
  expect(found.most).toBeLessThanOrEqual(8 + HANGING);
});

/** How many attempts are under way when each of so many endpoints hangs, of 16 turns and a budget of 1 MiB. */
async function underWay(endpoints: number, isSerial = false): Promise<number> {
  let inFlight = 0;
  const harness = new Harness({
    laneRule: { lanesFor: () => ['hook'], laneAgain: (_event, before) => before, ownDestinations: true },
    concurrency: 16,
    config: { memory: { budget: '1MiB' }, delivery: { park_after: '5m', timeout: '60s' } },
    answer: () => new Promise(() => (inFlight += 1)),
  });
  harness.isSerial = isSerial;
  for (let n = 0; n < endpoints; n++) {
    harness.router.accept(event(`customer-${n}`, String(n), { origin: makeOrigin({ receivedAt: 0 }), size: 500 }));
  }
  await harness.clock.advance(10_000);
  return inFlight;
}

test('turns are lent while half of the memory is free, and not while batches wait for each other', async () => {
  expect(await underWay(200)).toBe(200);
  expect(await underWay(400)).toBe(16); // they hold 760 KB, and what is under way cannot be parked
  expect(await underWay(200, true)).toBe(16);
});
