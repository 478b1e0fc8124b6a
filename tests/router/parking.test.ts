import { describe, expect, test } from 'vitest';
import { DELIVERED, type Verdicts } from '../../src/pipeline.ts';
import { footprint } from '../../src/router/memory-budget.ts';
import { DOWN, numbers, order, recording } from './deliveries.ts';
import { event, Harness, makeOrigin } from './harness.ts';
import { MemoryLot } from './memory-lot.ts';
import { settleMicrotasks } from '../support/manual-clock.ts';

const HANG = (): Promise<Verdicts> => new Promise(() => undefined);

describe('a sink that is away', () => {
  test('has its events parked after park_after, settles them, and delivers all in order when it is back', async () => {
    const harness = new Harness();
    let up = false;
    const delivered = recording(harness, () => up);
    for (let i = 0; i < 600; i += 1) {
      harness.accept('x', `${i}`);
      await harness.clock.advance(100);
    }
    expect(harness.settled).toBeGreaterThan(550);
    expect(harness.router.state().bufferedBytes).toBeLessThan(20 * footprint(event('x', '0')));
    up = true;
    await harness.clock.advance(30_000);
    expect(order(delivered)).toEqual(numbers(0, 600));
    expect(harness.settled).toBe(600);
    expect(harness.lot.rows).toEqual([]);
    expect(harness.router.state().lanes.parked).toBe(0);
    expect(harness.letters).toEqual([]);
  });

  test('is live again afterwards: what comes then is not parked', async () => {
    const harness = new Harness();
    let up = false;
    recording(harness, () => up);
    harness.accept('x', '1');
    await harness.clock.advance(20_000);
    up = true;
    await harness.clock.advance(20_000);
    const parked = harness.parked;
    harness.accept('x', '2');
    await harness.clock.advance(250);
    expect(harness.batches.at(-1)).toBe('x:2');
    expect(harness.parked).toBe(parked);
  });

  test('is not read from Postgres while its breaker is open', async () => {
    const harness = new Harness();
    recording(harness, () => false);
    harness.accept('x', '1');
    await harness.clock.advance(20_000);
    harness.closedFor = 5000;
    const before = harness.sent.length;
    harness.lot.mostRowsRead = 0;
    await harness.clock.advance(60_000);
    expect(harness.lot.mostRowsRead).toBe(0);
    expect(harness.sent.length).toBe(before);
  });

  test('is tried when its breaker lets a batch through, if a person has asked for it, whatever it said of the wait', async () => {
    const harness = new Harness();
    let up = false;
    harness.answer = () => (up ? DELIVERED : { kind: 'unavailable', reason: 'down', retryAfter: 3_600_000 });
    harness.accept('x', '1');
    await harness.clock.advance(20_000);
    harness.closedFor = 5_000;
    up = true;
    harness.router.wake({ sink: 'a' });
    await harness.clock.advance(4_000);
    expect(harness.batches).toEqual(['x:1']);
    harness.closedFor = 0;
    await harness.clock.advance(2_000);
    expect(harness.batches).toEqual(['x:1', 'x:1']);
  });

  test('gives up what has waited for unavailable_for, and only that', async () => {
    const harness = new Harness({ config: { delivery: { unavailable_for: '1h' } } });
    recording(harness, () => false);
    harness.accept('x', 'old');
    await harness.clock.advance(1_800_000);
    harness.accept('x', 'young');
    await harness.clock.advance(1_900_000);
    expect(harness.letters.map(({ reason, item }) => [reason, item.eventId])).toEqual([['unavailable', 'old']]);
    expect(harness.lot.rows.map((row) => row.event.eventId)).toEqual(['young']);
  });

  test('gives up nothing that is merely old: the destination has to have been away for so long', async () => {
    const lot = new MemoryLot();
    const receivedAt = -48 * 3_600_000;
    lot.park('a', [event('x', 'old', { origin: makeOrigin({ receivedAt }) })], () => undefined);
    const harness = new Harness({ lot });
    await harness.settle();
    recording(harness, () => false);
    harness.router.restore(lot.lanes());
    await harness.clock.advance(23 * 3_600_000);
    expect(harness.letters).toEqual([]);
    await harness.clock.advance(2 * 3_600_000);
    expect(harness.letters.map(({ item }) => item.eventId)).toEqual(['old']);
    expect(harness.router.state().lanes).toMatchObject({ parked: 0, backing_off: 0, idle: 0 });
  });

  test('gives up the next at once when its time comes, and an accepted event starts the time anew', async () => {
    const harness = new Harness({ config: { delivery: { unavailable_for: '1h' }, batching: { max_events: 1 } } });
    harness.answer = () => DOWN;
    harness.accept('x', '1');
    await harness.clock.advance(60_000);
    harness.accept('x', '2');
    await harness.clock.advance(3_600_000);
    expect(harness.letters.map(({ item }) => item.eventId)).toEqual(['1']);
    await harness.clock.advance(60_000);
    expect(harness.letters.map(({ item }) => item.eventId)).toEqual(['1', '2']);
    harness.accept('x', '3');
    await harness.clock.advance(3_000_000);
    harness.accept('x', '4');
    harness.answer = (batch) => (batch.events[0]?.eventId === '3' ? DELIVERED : DOWN);
    await harness.clock.advance(3_000_000);
    expect(harness.letters.length).toBe(2);
    await harness.clock.advance(700_000);
    expect(harness.letters.map(({ item }) => item.eventId)).toEqual(['1', '2', '4']);
  });

  test('gives up only what is visible', async () => {
    const harness = new Harness({ config: { delivery: { unavailable_for: '1h' } } });
    harness.answer = () => DOWN;
    harness.accept('x', 'seen');
    harness.router.accept(event('x', 'awaiting_visibility', { origin: makeOrigin({ visible: false }) }));
    await harness.clock.advance(2 * 3_600_000);
    expect(harness.letters.map(({ item, reason }) => [item.eventId, reason])).toEqual([['seen', 'unavailable']]);
  });
});

describe('an organization that hangs', () => {
  test('has what waits behind the hanging batch parked, the batch too when it comes back, in order', async () => {
    const harness = new Harness({ config: { batching: { max_events: 2 } } });
    let answer: (verdicts: Verdicts) => void = () => undefined;
    harness.answer = () => new Promise((resolve) => (answer = resolve));
    harness.accept('x', '0', '1', '2', '3', '4');
    await harness.clock.advance(11_000);
    expect(harness.lot.rows.map((row) => row.event.eventId)).toEqual(['2', '3', '4']);
    const delivered = recording(harness, () => true);
    answer({ kind: 'unavailable', reason: 'timeout', slow: true });
    await harness.clock.advance(30_000);
    expect(order(delivered)).toEqual(numbers(0, 5));
    expect(harness.lot.rows).toEqual([]);
  });

  test('takes only a small part of the concurrency once it has timed out', async () => {
    const harness = new Harness({ concurrency: 8 });
    const hanging = new Set(numbers(0, 20).map((id) => `hang${id}`));
    let open = 0;
    harness.answer = async (batch) => {
      if (!hanging.has(batch.organizationId)) return DELIVERED;
      open += 1;
      await new Promise<void>((resolve) => harness.clock.schedule(10_000, resolve));
      open -= 1;
      return { kind: 'unavailable', reason: 'timeout', slow: true };
    };
    for (const id of hanging) harness.accept(id, id);
    await harness.clock.advance(60_000);
    const most: number[] = [];
    for (let i = 0; i < 100; i += 1) {
      harness.accept('well', `${i}`);
      await harness.clock.advance(300);
      most.push(open);
    }
    expect(Math.max(...most)).toBe(1);
    expect(harness.sent.filter((sent) => sent.organization === 'well')).toHaveLength(100);
  });
});

describe('memory', () => {
  const small = { memory: { budget: '1MiB' }, batching: { max_events: 50 } };

  test('a flood of one organization is parked for load, others go on, and it is read back at once', async () => {
    const harness = new Harness({ config: small });
    const release: (() => void)[] = [];
    const delivered: string[] = [];
    harness.answer = async (batch) => {
      if (batch.organizationId === 'flood') await new Promise<void>((resolve) => release.push(resolve));
      delivered.push(...batch.events.map((each) => each.eventId));
      return DELIVERED;
    };
    const most = Math.ceil(1024 ** 2 / footprint(event('x', '0')));
    harness.accept('calm', 'c0');
    harness.accept('flood', ...numbers(0, most));
    await harness.settle();
    expect(harness.pressure).toEqual([true, false]);
    harness.accept('calm', 'c1');
    await harness.clock.advance(300);
    expect(delivered).toEqual(['c0', 'c1']);
    for (let i = 0; i < 100; i += 1) {
      for (const next of release.splice(0)) next();
      await harness.clock.advance(50);
    }
    expect(delivered.filter((id) => !id.startsWith('c'))).toEqual(numbers(0, most));
    expect(harness.lot.rows).toEqual([]);
  });

  test('alone, an organization is not parked for load: the slot waits', async () => {
    const harness = new Harness({ config: small });
    const most = Math.ceil(1024 ** 2 / footprint(event('x', '0')));
    harness.answer = HANG;
    harness.accept('x', ...numbers(0, most));
    await harness.settle();
    expect(harness.pressure).toEqual([true]);
    expect(harness.parked).toBe(0);
  });

  test('a sink that hangs gives its memory to the others', async () => {
    const harness = new Harness({ sinks: ['a', 'b'], config: small });
    harness.answer = (_batch, sink) => (sink === 'a' ? HANG() : DELIVERED);
    for (let i = 0; i < 3000; i += 1) {
      harness.accept(`organization ${i % 40}`, `${i}`);
      if (i % 50 === 49) await harness.clock.advance(250);
    }
    await harness.clock.advance(20_000);
    const toB = harness.sent.filter((sent) => sent.sink === 'b').flatMap((sent) => sent.events);
    expect(toB).toHaveLength(3000);
    expect(harness.router.state().bufferedBytes).toBeLessThan(1024 ** 2);
    expect(harness.pressure.at(-1)).not.toBe(true);
  });

  test('and at once, where each of its lanes holds little', async () => {
    const harness = new Harness({ sinks: ['a', 'b'], config: small });
    harness.answer = (_batch, sink) => (sink === 'a' ? HANG() : DELIVERED);
    for (let i = 0; harness.pressure.length === 0; i += 1) {
      harness.accept(`organization ${i % 100}`, `${i}`);
      if (i % 50 === 49) await harness.clock.advance(250);
    }
    await harness.settle();
    expect(harness.clock.now()).toBeLessThan(10_000); // park_after
    expect(harness.parked).toBeGreaterThan(100);
    expect(harness.pressure).toEqual([true, false]);
  });

  test('1,000 parked lanes read only as many batches at once as may be in flight', async () => {
    const lot = new MemoryLot();
    const first = new Harness({ lot });
    for (let i = 0; i < 1000; i += 1) {
      lot.park(
        'a',
        numbers(0, 50).map((id) => event(`organization ${i}`, `${i}-${id}`)),
        () => undefined,
      );
    }
    await first.settle();
    let most = 0;
    first.answer = () => {
      most = Math.max(most, first.router.state().bufferedBytes);
      return DELIVERED;
    };
    first.router.restore(lot.lanes());
    await first.clock.advance(60_000);
    expect(lot.rows).toEqual([]);
    expect(first.sent.flatMap((sent) => sent.events)).toHaveLength(50_000);
    expect(most).toBeLessThanOrEqual(4 * 100 * footprint(event('x', '0')));
  });
});

describe('parking itself', () => {
  test('reads no more while many delivered rows wait to be removed', async () => {
    const lot = new MemoryLot();
    for (let i = 0; i < 20; i += 1) {
      lot.park(
        'a',
        numbers(0, 1_000).map((id) => event(`organization ${i}`, `${i}-${id}`)),
        () => undefined,
      );
    }
    const harness = new Harness({ lot });
    await harness.settle();
    harness.router.restore(lot.lanes());
    lot.stalled = true;
    await harness.clock.advance(60_000);
    const delivered = (): number => harness.sent.reduce((sum, { events }) => sum + events.length, 0);
    expect(delivered()).toBeGreaterThan(4_000);
    expect(delivered()).toBeLessThan(6_000);
    lot.release();
    await harness.clock.advance(60_000);
    expect(delivered()).toBe(20_000);
    expect(lot.rows).toEqual([]);
  });

  test('settles nothing before the rows are durable', async () => {
    const harness = new Harness();
    recording(harness, () => false);
    harness.lot.stalled = true;
    harness.accept('x', '1', '2');
    await harness.clock.advance(60_000);
    expect(harness.settled).toBe(0);
    harness.lot.release();
    expect(harness.settled).toBe(2);
  });

  test('waits until the events are visible', async () => {
    const harness = new Harness();
    recording(harness, () => false);
    harness.accept('x', '1');
    await harness.clock.advance(1000);
    const hidden = makeOrigin({ visible: false, receivedAt: harness.clock.now() });
    harness.router.accept(event('x', '2', { origin: hidden }));
    await harness.clock.advance(60_000);
    expect(harness.lot.rows).toEqual([]);
    hidden.visible = true;
    harness.router.seen();
    await harness.settle();
    expect(harness.lot.rows.map((row) => row.event.eventId)).toEqual(['1', '2']);
  });

  test('a poison event among parked ones is found, buried and removed', async () => {
    const harness = new Harness();
    let up = false;
    harness.answer = (batch) => {
      if (!up) return DOWN;
      return batch.events.some((each) => each.eventId === '37') ? { kind: 'failed', reason: '422' } : DELIVERED;
    };
    harness.accept('x', ...numbers(0, 100));
    await harness.clock.advance(20_000);
    expect(harness.lot.rows).toHaveLength(100);
    up = true;
    await harness.clock.advance(3_600_000);
    expect(harness.letters.map(({ reason, item }) => [reason, item.eventId])).toEqual([['failed', '37']]);
    expect(harness.lot.rows).toEqual([]);
  });
});

test('while delivered rows wait to be removed, thousands of parked lanes wait together and not each by itself', async () => {
  const lot = new MemoryLot();
  const lanes = Array.from({ length: 6_000 }, (_, n) => `x${n}`);
  for (const lane of lanes) lot.park('a', [event(lane, lane)], () => undefined);
  await settleMicrotasks();
  const harness = new Harness({ lot });
  let looks = 0;
  Object.defineProperty(harness, 'closedFor', { get: () => ((looks += 1), 0) });
  lot.stalled = true;
  harness.router.restore(lot.lanes());
  await harness.clock.advance(500);
  const sent = harness.sent.length;
  expect(sent).toBeGreaterThanOrEqual(5_000); // so many may wait
  expect(sent).toBeLessThan(5_010);
  looks = 0;

  await harness.clock.advance(1_000);

  expect(looks).toBe(0);
  lot.release();
  await harness.clock.advance(1_000);
  expect(new Set(harness.batches).size).toBe(6_000);
  expect(harness.sent.length).toBe(6_000);
});
