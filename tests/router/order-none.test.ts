/** `order: none`: an event that fails alone goes on in a lane of its own, and holds up nobody. */
import { describe, expect, test } from 'vitest';
import { type Batch, DELIVERED, type Verdict, type Verdicts } from '../../src/pipeline.ts';
import { DOWN, numbers } from './deliveries.ts';
import { event, Harness, type HarnessOptions, makeOrigin } from './harness.ts';

const REFUSED: Verdict = { kind: 'failed', reason: '451 greylisted' };
const BROKEN: Verdict = { kind: 'unavailable', reason: 'status 500', answered: true };
const SINK = { type: 'discard', order: 'none' };

const unordered = ({ config, ...options }: HarnessOptions = {}): Harness =>
  new Harness({ ...options, config: { sinks: { a: SINK }, ...config } });
const isBad = ({ eventId }: Batch['events'][number]): boolean => eventId.startsWith('bad');

/** One verdict for each event, up to the first that is not taken. */
function eachAlone({ events }: Batch): Verdicts {
  const first = events.findIndex(isBad);
  if (first < 0) return DELIVERED;
  return events.map((_, at) =>
    at < first ? DELIVERED : at === first ? REFUSED : { kind: 'unavailable', reason: 'not sent', unsent: true },
  );
}
/** One verdict for the whole batch. */
const asWhole = ({ events }: Batch): Verdicts => (events.some(isBad) ? REFUSED : DELIVERED);

const requests = ({ sent }: Harness): string[] => sent.map(({ lane = '', events }) => `${lane}:${events.join(',')}`);
/** Of the lane of the organization. */
const ofAll = (harness: Harness): string[] => requests(harness).filter((request) => request.startsWith(':'));
const rows = ({ lot }: Harness): string[] => lot.rows.map(({ lane, event: { eventId } }) => `${lane}:${eventId}`);
const everyId = ({ sent }: Harness): string[] => sent.flatMap(({ events }) => events);

test('a refused event leaves; those behind it go on at once', async () => {
  const harness = unordered({ answer: eachAlone });
  harness.accept('x', '1', 'bad', '2', '3');
  await harness.clock.advance(250);
  expect(requests(harness)).toEqual([':1,bad,2,3', ':2,3']);
  harness.accept('x', '4');
  await harness.clock.advance(250);
  expect(ofAll(harness).slice(2)).toEqual([':4']);
});

test('it backs off, is parked and given up in its own lane', async () => {
  const harness = unordered({ answer: eachAlone });
  harness.accept('x', '1', 'bad', '2');
  await harness.clock.advance(1_000);
  expect(requests(harness)).toEqual([':1,bad,2', ':2', 'bad:bad']); // tried again soon, as nothing was proven yet
  expect(rows(harness)).toEqual(['bad:bad']); // its backoff is longer than park_after
  expect(harness.settled).toBe(3);
  expect([...harness.router.failing()]).toMatchObject([{ lane: 'bad', reason: '451 greylisted' }]);
  for (let minute = 0; minute < 3; minute += 1) {
    harness.accept('x', `${minute}`);
    await harness.clock.advance(60_000);
  }
  expect(harness.sent.filter(({ lane }) => lane === 'bad')).toHaveLength(2);
  expect(harness.letters).toMatchObject([{ lane: 'bad', reason: 'failed', attempts: 3 }]);
  expect(rows(harness)).toEqual([]);
  expect(Object.values(harness.router.state().lanes).every((count) => count === 0)).toBe(true);
  expect(harness.router.state().bufferedBytes).toBe(0);
});

test('an address that works again gets its mail', async () => {
  let up = false;
  const harness = unordered({ answer: (batch) => (up ? DELIVERED : eachAlone(batch)) });
  harness.accept('x', '1', 'bad', '2');
  await harness.clock.advance(1_000);
  up = true;
  await harness.clock.advance(120_000);
  expect(requests(harness)).toEqual([':1,bad,2', ':2', 'bad:bad', 'bad:bad']);
  expect([rows(harness), harness.letters, harness.settled]).toEqual([[], [], 3]);
});

test('a batch that is refused as a whole is halved until the culprits have left', async () => {
  const harness = unordered({ answer: asWhole });
  harness.accept('x', '1', '2', 'bad1', '3', '4', 'bad2', '5', '6');
  await harness.clock.advance(5_000);
  const delivered = harness.sent.filter(({ events }) => !events.some((id) => id.startsWith('bad')));
  expect(delivered.flatMap(({ events }) => events)).toEqual(numbers(1, 7));
  expect(rows(harness).toSorted()).toEqual(['bad1:bad1', 'bad2:bad2']);
});

test('what was parked in the lane of the organization moves to its own', async () => {
  let up = false;
  const harness = unordered({ answer: (batch) => (up ? eachAlone(batch) : DOWN) });
  harness.accept('x', '1', 'bad', '2', '3');
  await harness.clock.advance(30_000);
  expect(rows(harness)).toEqual([':1', ':bad', ':2', ':3']);
  up = true;
  const before = harness.sent.length;
  await harness.clock.advance(15_000);
  expect(requests(harness).slice(before)).toEqual([':1,bad,2,3', ':2,3', 'bad:bad']);
  expect(rows(harness)).toEqual(['bad:bad']);
  harness.answer = () => DELIVERED;
  await harness.clock.advance(120_000);
  expect([requests(harness).at(-1), rows(harness)]).toEqual(['bad:bad', []]);
  expect(harness.router.state().bufferedBytes).toBe(0);
});

test('it is not read again from there while it moves', async () => {
  let up = false;
  const harness = unordered({ answer: (batch) => (up ? eachAlone(batch) : DOWN) });
  harness.accept('x', 'bad');
  await harness.clock.advance(30_000);
  harness.lot.stalled = true;
  up = true;
  harness.sent.length = 0;
  await harness.clock.advance(60_000);
  expect(ofAll(harness)).toEqual([':bad']);
  harness.lot.release();
  await harness.clock.advance(1_000);
  expect([ofAll(harness), rows(harness)]).toEqual([[':bad'], ['bad:bad']]);
});

test('while nothing else is accepted it is tried after the last wait of backoff, and never given up', async () => {
  const harness = unordered({ answer: eachAlone });
  harness.accept('x', 'bad');
  await harness.clock.advance(3_600_000);
  expect(harness.letters).toEqual([]);
  expect(harness.sent.length).toBeGreaterThan(10);
  expect(harness.sent.length).toBeLessThan(20);
  expect(harness.refusals).toEqual([]);
  harness.accept('x', '1');
  await harness.clock.advance(240_000);
  harness.accept('x', '2');
  await harness.clock.advance(240_000);
  expect(harness.letters).toMatchObject([{ lane: 'bad', reason: 'failed' }]);
});

test('after a restart it is in its lane, and joins it when the slot sends it again', async () => {
  const first = unordered({ answer: eachAlone });
  const [good, bad] = ['1', 'bad'].map((id) => event('x', id));
  for (const each of [good, bad]) if (each) first.router.accept(each);
  await first.clock.advance(1_000);
  await first.router.close();

  const next = unordered({ lot: first.lot });
  next.router.restore(next.lot.lanes().map((lane) => ({ ...lane, redeliveredUntil: bad?.origin.commitLsn ?? null })));
  for (const each of [good, bad]) if (each) next.router.accept({ ...each, origin: { ...each.origin } });
  await next.clock.advance(1_000);
  expect(requests(next)).toEqual([':1']);
  next.router.passed((bad?.origin.commitLsn ?? 0n) + 1n);
  await next.clock.advance(1_000);
  expect(requests(next)).toEqual([':1', 'bad:bad']);
  expect(rows(next)).toEqual([]);
});

test('an outage of the destination holds the lane as a whole, in order', async () => {
  const harness = unordered({ answer: () => DOWN });
  harness.accept('x', ...numbers(0, 5));
  await harness.clock.advance(60_000);
  expect(new Set(harness.sent.map(({ lane = '' }) => lane))).toEqual(new Set(['']));
  harness.answer = () => DELIVERED;
  const before = harness.sent.length;
  await harness.clock.advance(15_000);
  expect(everyId({ sent: harness.sent.slice(before) } as Harness)).toEqual(numbers(0, 5));
});

test('an event that meets an error of the destination again and again leaves too', async () => {
  const harness = unordered({ answer: ({ events }) => (events.some(isBad) ? BROKEN : DELIVERED) });
  harness.accept('x', 'bad');
  await harness.clock.advance(250);
  harness.accept('x', '1');
  await harness.clock.advance(30_000);
  expect(requests(harness)).toContain(':1');
});

describe('a destination that refuses everything', () => {
  test('gets sixteen events alone, and not each one; nothing is given up, and all arrive when it works again', async () => {
    let up = false;
    const harness = unordered({ concurrency: 64, answer: () => (up ? DELIVERED : REFUSED) });
    harness.accept('x', ...numbers(0, 100));
    await harness.clock.advance(600_000);
    const alone = new Set(harness.sent.flatMap(({ lane }) => lane ?? []));
    expect(alone.size).toBe(16);
    expect(harness.letters).toEqual([]);
    up = true;
    harness.sent.length = 0;
    await harness.clock.advance(600_000);
    expect(new Set(everyId(harness))).toEqual(new Set(numbers(0, 100)));
    expect(rows(harness)).toEqual([]);
  });

  test('those that leave are counted anew when it has accepted something', async () => {
    const harness = unordered({ answer: eachAlone });
    for (const n of numbers(0, 40)) {
      harness.accept('x', `bad ${n}`, n);
      await harness.clock.advance(250);
    }
    await harness.clock.advance(1_000);
    expect(rows(harness)).toHaveLength(40);
    expect(everyId(harness).filter((id) => !id.startsWith('bad')).length).toBeGreaterThanOrEqual(40);
  });

  test('an organization has at most 1,000 of them, and others are not concerned', async () => {
    const harness = unordered({ answer: eachAlone });
    for (const n of numbers(0, 1_010)) {
      harness.accept('x', `bad ${n}`);
      harness.accept('y', n);
      await harness.clock.advance(20);
    }
    harness.accept('y', 'bad of y', 'last');
    await harness.clock.advance(1_000);
    expect(harness.lot.rows.filter(({ lane }) => lane.startsWith('bad '))).toHaveLength(1_001);
    expect(everyId(harness)).toContain('last');
  });
});

test('of an organization that is paused nothing is sent, and each event waits in its lane', async () => {
  const releases: (() => void)[] = [];
  const harness = unordered({
    answer: (batch) => new Promise((resolve) => releases.push(() => resolve(eachAlone(batch)))),
  });
  harness.accept('x', '1', 'bad', '2');
  await harness.clock.advance(250);
  harness.router.pause([{ sink: 'a', organizationId: 'x' }]);
  releases[0]?.();
  await harness.clock.advance(120_000);
  expect(harness.sent).toHaveLength(1);
  expect(rows(harness).toSorted()).toEqual([':2', 'bad:bad']);
  harness.router.pause([]);
  await harness.clock.advance(10);
  expect(requests(harness).slice(1).toSorted()).toEqual([':2', 'bad:bad']);
});

test('a job ends although one of its events is refused', async () => {
  const harness = unordered({ answer: eachAlone });
  const origin = makeOrigin({ commitLsn: null, job: 'replay-1', receivedAt: 0 });
  for (const id of ['1', 'bad', '2']) harness.router.acceptOfJob(event('x', id, { origin, ordinal: null, jobRow: id }));
  await harness.clock.advance(1_000);
  expect(harness.settled).toBe(3);
  harness.router.endJob('replay-1');
  harness.accept('x', '3');
  await harness.clock.advance(1_000);
  expect(ofAll(harness)).toEqual([':1,bad,2', ':2', ':3']);
});

test('a dead letter blocks nothing, also one from before', async () => {
  const config = { delivery: { on_dead_letter: 'block' } };
  const harness = unordered({ config, answer: ({ events }) => events.map((each) => (isBad(each) ? { kind: 'rejected', reason: '550' } : DELIVERED)) }); // prettier-ignore
  harness.router.restore([], [{ sink: 'a', organizationId: 'x', lane: '' }]);
  harness.accept('x', 'bad', '1');
  await harness.clock.advance(250);
  harness.accept('x', '2');
  await harness.clock.advance(250);
  expect(requests(harness)).toEqual([':bad,1', ':2']);
  expect(harness.letters).toMatchObject([{ blocks: false }]);
  expect(harness.router.blocked()).toEqual([]);
});
