import { describe, expect, test } from 'vitest';
import { DELIVERED, type Verdicts } from '../../src/pipeline.ts';
import { Expiry } from '../../src/router/lanes/expiry.ts';
import { POSTGRES_EPOCH_MICROS } from '../../src/pg-time.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { DOWN, recording } from './deliveries.ts';
import { event, Harness, type HarnessOptions, makeOrigin } from './harness.ts';

const REFUSED: Verdicts = { kind: 'failed', reason: 'status 422' };

/** One sink, which sends nothing that is older than a minute. */
function shortLived(options: HarnessOptions & { readonly delivery?: object } = {}): Harness {
  const { delivery = {}, ...rest } = options;
  return new Harness({ ...rest, config: { sinks: { a: { type: 'discard', max_age: '1m' } }, delivery } });
}

/** Events of one lane that were written so many milliseconds ago. */
function accept(harness: Harness, ages: Readonly<Record<string, number>>): void {
  const { clock, router } = harness;
  for (const [id, age] of Object.entries(ages)) {
    const createdAt = new Date(clock.wallTime() - age).toISOString();
    router.accept(event('x', id, { createdAt, origin: makeOrigin({ receivedAt: clock.now() }) }));
  }
}

const lettersOf = ({ letters }: Harness) =>
  letters.map(({ item, reason, attempts, blocks }) => ({ id: item.eventId, reason, attempts, blocks }));
const expired = (id: string, attempts = 0) => ({ id, reason: 'expired', attempts, blocks: false });

describe('max_age', () => {
  test('what is too old when its window closes is a dead letter, and the others leave in order', async () => {
    const harness = shortLived();
    accept(harness, { 1: 0, 2: 59_800, 3: 59_000, 4: 3_600_000, 5: 0 });
    await harness.clock.advance(250);
    expect(harness.batches).toEqual(['x:1,3,5']);
    expect(lettersOf(harness)).toEqual([expired('2'), expired('4')]);
    expect(harness.letters[0]?.detail).toBe('older than max_age, which is 60 s');
    expect(harness.settled).toBe(5);
    expect(harness.router.state().bufferedBytes).toBe(0);
  });

  test('a lane of which everything is too old sends nothing, and is let go of', async () => {
    const harness = shortLived();
    accept(harness, { 1: 60_000, 2: 60_000 });
    await harness.clock.advance(250);
    expect(harness.batches).toEqual([]);
    expect(lettersOf(harness)).toEqual([expired('1'), expired('2')]);
    expect(Object.values(harness.router.state().lanes).every((count) => count === 0)).toBe(true);
    await harness.router.drain();
  });

  test('at a retry: it counts as no failure, holds no lane even with block, and the young ones behind it arrive', async () => {
    const harness = shortLived({ delivery: { on_dead_letter: 'block' } });
    let up = false;
    const delivered = recording(harness, () => up);
    accept(harness, { old: 58_000, young: 0 });
    await harness.clock.advance(5_000);
    expect(lettersOf(harness)).toMatchObject([{ id: 'old', reason: 'expired', blocks: false }]);
    expect(harness.letters[0]?.attempts).toBeGreaterThan(0);
    expect(harness.sent.at(-1)?.events).toEqual(['young']);
    up = true;
    await harness.clock.advance(30_000);
    expect([...delivered.keys()]).toEqual(['young']);
    expect(harness.router.blocked()).toEqual([]);
    expect([...harness.router.failing()]).toEqual([]);
    expect(harness.settled).toBe(2);
  });

  test('a lane whose failing events are all too old does not fail any more', async () => {
    const harness = shortLived({ answer: () => DOWN });
    accept(harness, { 1: 0, 2: 0 });
    await harness.clock.advance(9_000);
    expect([...harness.router.failing()]).toHaveLength(1);
    await harness.clock.advance(120_000);
    expect([...harness.router.failing()]).toEqual([]);
    expect(harness.lot.rows).toEqual([]);
    const sent = harness.sent.length;
    await harness.clock.advance(600_000);
    expect(harness.sent.length).toBe(sent);
  });

  test('nor while their dead letters are not durable yet', async () => {
    const harness = shortLived({ answer: () => DOWN });
    harness.lettersStall = true;
    accept(harness, { 1: 59_000 });
    await harness.clock.advance(5_000);
    expect(harness.unstored).toHaveLength(1);
    expect([...harness.router.failing()]).toEqual([]);
    for (const stored of harness.unstored) stored();
    expect(Object.values(harness.router.state().lanes).every((count) => count === 0)).toBe(true);
  });

  test('when it leaves parking: its row is gone, and what is young is delivered', async () => {
    const harness = shortLived();
    let up = false;
    const delivered = recording(harness, () => up);
    accept(harness, { 1: 0, 2: 0 });
    await harness.clock.advance(30_000);
    expect(harness.lot.rows).toHaveLength(2);
    harness.closedFor = 1_000; // the breaker is open, so that nothing is read
    await harness.clock.advance(60_000);
    accept(harness, { 3: 0 });
    await harness.clock.advance(1_000);
    expect(harness.letters).toEqual([]);
    up = true;
    harness.closedFor = 0;
    await harness.clock.advance(30_000);
    expect(lettersOf(harness)).toEqual([
      expect.objectContaining({ id: '1', reason: 'expired' }),
      expect.objectContaining({ id: '2', reason: 'expired' }),
    ]);
    expect([...delivered.keys()]).toEqual(['3']);
    expect(harness.lot.rows).toEqual([]);
    expect(harness.settled).toBe(3);
  });

  test('one that is refused alone is no suspect any more once it is too old', async () => {
    const harness = shortLived({
      delivery: { max_attempts: 100 },
      answer: ({ events }) => (events.some((e) => e.eventId === 'bad') ? REFUSED : DELIVERED),
    });
    accept(harness, { bad: 50_000, good: 0 });
    await harness.clock.advance(250);
    await harness.clock.advance(65_000);
    expect(lettersOf(harness)).toMatchObject([{ id: 'bad', reason: 'expired' }]);
    const at = harness.sent.length;
    accept(harness, { next: 0 });
    await harness.clock.advance(250);
    expect(harness.batches.slice(at)).toEqual(['x:next']);
    expect(harness.sent.filter(({ events }) => events.includes('good'))).not.toEqual([]);
  });

  test('behind a refused event nothing is tried that is too old', async () => {
    const harness = shortLived({ answer: () => REFUSED, delivery: { backoff: ['1s'] } });
    accept(harness, { 1: 0, 2: 50_000, 3: 50_000, 4: 0 });
    await harness.clock.advance(20_000);
    const from = harness.sent.length;
    await harness.clock.advance(30_000);
    expect(harness.sent.slice(from).flatMap(({ events }) => events)).not.toContain('2');
    expect(harness.sent.slice(from).flatMap(({ events }) => events)).not.toContain('3');
    await harness.clock.advance(300_000);
    expect(new Set(lettersOf(harness).map(({ reason }) => reason))).toEqual(new Set(['expired']));
    expect(harness.letters).toHaveLength(4);
    expect(harness.refusals).toHaveLength(1);
    expect([harness.recoveries.length, harness.givenUp.length]).toEqual([0, 1]); // the destination has accepted nothing
  });

  test('a sink without it sends whatever is there', async () => {
    const harness = new Harness();
    accept(harness, { 1: 86_400_000 });
    await harness.clock.advance(250);
    expect(harness.batches).toEqual(['x:1']);
  });
});

describe('expires_at', () => {
  const at = (harness: Harness, ms: number): string => new Date(harness.clock.wallTime() + ms).toISOString();

  test('of an event holds for a sink without max_age, from that moment on', async () => {
    const harness = new Harness();
    const accepted = { 1: null, 2: at(harness, 250), 3: at(harness, 251), 4: at(harness, -3_600_000) };
    for (const [id, expiresAt] of Object.entries(accepted)) harness.router.accept(event('x', id, { expiresAt }));
    await harness.clock.advance(250);
    expect(harness.batches).toEqual(['x:1,3']);
    expect(lettersOf(harness)).toEqual([expired('2'), expired('4')]);
    expect(harness.letters[0]?.detail).toBe('its expires_at has passed');
    expect(harness.settled).toBe(4);
  });

  test('passes while the sink is away: the event leaves the parked lane as a dead letter, with its tries', async () => {
    const harness = new Harness();
    let up = false;
    const delivered = recording(harness, () => up);
    harness.router.accept(event('x', 'brief', { expiresAt: at(harness, 60_000) }));
    harness.router.accept(event('x', 'lasting', { expiresAt: at(harness, 3_600_000) }));
    await harness.clock.advance(120_000);
    up = true;
    await harness.clock.advance(60_000);
    expect([...delivered.keys()]).toEqual(['lasting']);
    expect(lettersOf(harness)).toMatchObject([{ id: 'brief', reason: 'expired' }]);
    expect(harness.letters[0]?.attempts).toBeGreaterThan(0);
  });

  test('and max_age hold together, and the reason says which', async () => {
    const harness = shortLived();
    harness.router.accept(event('x', '1', { expiresAt: at(harness, 3_600_000), createdAt: at(harness, -60_001) }));
    harness.router.accept(event('x', '2', { expiresAt: at(harness, 0), createdAt: at(harness, 0) }));
    await harness.clock.advance(250);
    expect(harness.letters.map(({ detail }) => detail)).toEqual([
      'older than max_age, which is 60 s',
      'its expires_at has passed',
    ]);
  });
});

describe('the age of an event', () => {
  const clock = new ManualClock();
  const now = clock.wallTime();
  const micros = (ms: number): bigint => BigInt(ms) * 1000n - POSTGRES_EPOCH_MICROS;
  const origin = (ageMs: number | null) =>
    makeOrigin({ committedAtMicros: ageMs === null ? null : micros(now - ageMs), receivedAt: clock.now() });
  const created = (ageMs: number): string => new Date(now - ageMs).toISOString().replace('Z', '999Z');

  test.each([
    [
      'counts from created_at, also where the commit came much later',
      event('x', '1', { createdAt: created(2_000), origin: origin(0) }),
      true,
    ],
    [
      'and where the row is young, from nothing else',
      event('x', '1', { createdAt: created(500), origin: origin(2_000) }),
      false,
    ],
    ['without created_at from the commit', event('x', '1', { origin: origin(2_000) }), true],
    ['without either from when it was received', event('x', '1', { origin: origin(null) }), false],
  ])('%s', (_, given, isExpired) => {
    expect(new Expiry(1_000, clock).isExpired(given)).toBe(isExpired);
  });
});
