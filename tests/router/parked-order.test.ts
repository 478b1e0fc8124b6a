import { describe, expect, test } from 'vitest';
import { DELIVERED, type Verdicts } from '../../src/pipeline.ts';
import { DOWN, numbers, order, recording } from './deliveries.ts';
import { event, Harness, makeOrigin } from './harness.ts';
import { MemoryLot } from './memory-lot.ts';

describe('the order of a lane, when later events are in Postgres before earlier ones', () => {
  const position = (id: string, commitLsn: bigint) => event('x', id, { origin: makeOrigin({ commitLsn }) });
  const store = async (lot: MemoryLot, ...ids: string[]) => {
    lot.park(
      'a',
      ids.map((id) => position(id, BigInt(id))),
      () => undefined,
    );
    await new Promise<void>((resolve) => queueMicrotask(resolve));
  };

  test('a batch that comes back is stored before what waited behind it is read', async () => {
    const harness = new Harness({ config: { batching: { max_events: 1 } } });
    let answer: (verdicts: Verdicts) => void = () => undefined;
    harness.answer = () => new Promise((resolve) => (answer = resolve));
    harness.router.accept(position('1', 1n));
    harness.router.accept(position('2', 2n));
    await harness.clock.advance(11_000);
    expect(harness.lot.rows.map((row) => row.event.eventId)).toEqual(['2']);
    harness.lot.stalled = true;
    const delivered = recording(harness, () => true);
    answer({ kind: 'unavailable', reason: 'timeout', slow: true });
    await harness.clock.advance(5_000);
    expect(order(delivered)).toEqual([]);
    harness.lot.release();
    await harness.clock.advance(5_000);
    expect(order(delivered)).toEqual(['1', '2']);
  });

  test('rows of an earlier connection wait until the server has sent again what stands before them', async () => {
    const lot = new MemoryLot();
    await store(lot, '3', '4');
    const harness = new Harness({ lot });
    const delivered = recording(harness, () => true);
    harness.router.restore(lot.lanes(1n));
    await harness.clock.advance(5_000);
    for (const id of ['1', '2', '3']) harness.router.accept(position(id, BigInt(id)));
    harness.router.passed(4n);
    await harness.clock.advance(5_000);
    expect(order(delivered)).toEqual([]);
    harness.router.accept(position('4', 4n));
    lot.stalled = true;
    harness.router.passed(5n);
    await harness.clock.advance(5_000);
    expect(order(delivered)).toEqual([]);
    lot.release();
    await harness.clock.advance(5_000);
    expect(order(delivered)).toEqual(numbers(1, 5));
    expect(lot.rows).toEqual([]);
  });

  test('a lane does not wait for what another one waits for', async () => {
    const lot = new MemoryLot();
    lot.park('a', [event('y', '9', { origin: makeOrigin({ commitLsn: 9n }) })], () => undefined);
    await store(lot, '2');
    const harness = new Harness({ lot });
    const delivered = recording(harness, () => true);
    harness.router.restore(lot.lanes(1n));
    harness.router.passed(3n);
    await harness.clock.advance(1_000);
    expect(order(delivered)).toEqual(['2']);
    harness.router.passed(9n);
    await harness.clock.advance(1_000);
    expect(order(delivered)).toEqual(['2']);
    harness.router.passed(10n);
    await harness.clock.advance(1_000);
    expect(order(delivered)).toEqual(['2', '9']);
  });

  test('rows that stand before the cursor are read at once', async () => {
    const lot = new MemoryLot();
    await store(lot, '1', '2');
    const harness = new Harness({ lot });
    const delivered = recording(harness, () => true);
    harness.router.restore(lot.lanes(3n));
    await harness.clock.advance(100);
    expect(order(delivered)).toEqual(['1', '2']);
  });

  test('nothing is parked while the second event is probed: the probe would come back ahead of the first', async () => {
    const harness = new Harness({ config: { delivery: { breaker: { reset_after: '1s' } } } });
    let probed: (verdicts: Verdicts) => void = () => undefined;
    harness.answer = (batch) =>
      batch.events[0]?.eventId === '1'
        ? { kind: 'failed', reason: '422' }
        : new Promise<Verdicts>((resolve) => (probed = resolve));
    harness.accept('x', '1');
    await harness.clock.advance(8_000);
    harness.accept('x', '2');
    await harness.clock.advance(2_100);
    expect(harness.batches.at(-1)).toBe('x:2');
    const delivered = recording(harness, () => true);
    probed(DOWN);
    await harness.clock.advance(500);
    expect(harness.settled).toBe(2); // both, once it is back
    await harness.clock.advance(30_000);
    expect(order(delivered)).toEqual(['1', '2']);
    expect(harness.lot.rows).toEqual([]);
  });

  test('rows wait for what the server sent again as long as that is not visible, whatever else is parked', async () => {
    const lot = new MemoryLot();
    await store(lot, '5');
    const harness = new Harness({ lot, config: { delivery: { on_dead_letter: 'block' } } });
    let up = false;
    const delivered = recording(harness, () => up);
    harness.router.restore(lot.lanes(1n), [{ sink: 'a', organizationId: 'x', lane: '' }]);
    const hidden = makeOrigin({ commitLsn: 3n, visible: false });
    harness.router.accept(event('x', '3', { origin: hidden }));
    await harness.clock.advance(1_000);
    harness.router.passed(6n);
    harness.router.acceptAt(event('x', 'again', { origin: makeOrigin({ commitLsn: null, job: 'redrive-1' }) }), 'a');
    await harness.clock.advance(1_000);
    harness.router.unblock(harness.router.blocked(), []);
    await harness.clock.advance(20_000);
    expect(harness.lot.rows.map((row) => row.event.eventId)).toContain('again');
    harness.router.endJob('redrive-1');
    up = true;
    await harness.clock.advance(20_000);
    expect(order(delivered)).not.toContain('5');
    hidden.visible = true;
    harness.router.seen();
    await harness.clock.advance(20_000);
    expect(order(delivered).filter((id) => id !== 'again')).toEqual(['3', '5']);
  });

  test('nothing is read behind a dead letter among parked events before that is durable', async () => {
    const lot = new MemoryLot();
    await store(lot, '1', '2', '3', '4');
    const harness = new Harness({ lot, config: { batching: { max_events: 2 } } });
    harness.lettersStall = true;
    harness.answer = (batch) =>
      batch.events.map(({ eventId }) =>
        eventId === '1' ? { kind: 'rejected', reason: '410 gone' } : { kind: 'delivered' },
      );
    harness.router.restore(lot.lanes());
    await harness.clock.advance(60_000);
    expect(harness.batches).toEqual(['x:1,2']);
    expect(lot.rows.map((row) => row.event.eventId)).toEqual(['1', '3', '4']);
    for (const stored of harness.unstored.splice(0)) stored();
    await harness.clock.advance(1_000);
    expect(harness.batches).toEqual(['x:1,2', 'x:3,4']);
    expect(lot.rows).toEqual([]);
    expect(harness.settled).toBe(0); // they were settled when they were stored
  });

  test('a lane is not live again while something was stored during the read that found nothing', async () => {
    const harness = new Harness();
    let up = false;
    const delivered = recording(harness, () => up);
    harness.accept('x', '1');
    await harness.clock.advance(20_000);
    const slowly: (() => void)[] = [];
    const read = harness.lot.read.bind(harness.lot);
    harness.lot.read = async (...given) => {
      const page = await read(...given);
      const [, after] = given;
      if (after === null && page.events.length === 0) await new Promise<void>((resolve) => slowly.push(resolve));
      return page;
    };
    up = true;
    await harness.clock.advance(20_000);
    expect(slowly).toHaveLength(1);
    harness.accept('x', '2');
    await harness.clock.advance(300);
    expect(harness.lot.rows.map((row) => row.event.eventId)).toEqual(['2']);
    for (let turn = 0; turn < 10; turn += 1) {
      for (const resolve of slowly.splice(0)) resolve();
      await harness.clock.advance(100);
    }
    expect(order(delivered)).toEqual(['1', '2']);
    expect(harness.lot.rows).toEqual([]);
  });
});

describe('a job', () => {
  const replayed = (organization: string, id: string) =>
    event(organization, id, { ordinal: null, origin: makeOrigin({ commitLsn: null, job: 'replay-1' }) });

  test('leads the lanes that it touches: live events wait in Postgres until it is over', async () => {
    const harness = new Harness();
    harness.router.accept(replayed('x', 'r1'));
    await harness.clock.advance(250);
    harness.accept('x', 'live');
    harness.accept('y', 'other');
    await harness.clock.advance(1000);
    harness.router.accept(replayed('x', 'r2'));
    await harness.clock.advance(1000);
    expect(harness.batches).toEqual(['x:r1', 'y:other', 'x:r2']);
    expect(harness.lot.rows.map((row) => row.event.eventId)).toEqual(['live']);
    harness.router.endJob('replay-1');
    await harness.clock.advance(1000);
    expect(harness.batches.at(-1)).toBe('x:live');
    expect(harness.lot.rows).toEqual([]);
    expect(harness.router.state().lanes.parked).toBe(0);
  });

  test('that nothing waited behind leaves no trace and reads nothing', async () => {
    const harness = new Harness();
    harness.router.accept(replayed('x', 'r1'));
    await harness.clock.advance(1000);
    harness.router.endJob('replay-1');
    await harness.clock.advance(1000);
    expect(harness.lot.mostRowsRead).toBe(0);
    expect(Object.values(harness.router.state().lanes).every((count) => count === 0)).toBe(true);
  });

  test('is parked where a sink is away, and holds up neither itself nor the lanes of others', async () => {
    const harness = new Harness({ sinks: ['a', 'b'], config: { batching: { max_events: 2 } } });
    let up = false;
    harness.answer = (_batch, sink) => (up || sink === 'b' ? DELIVERED : DOWN);
    for (const id of ['r1', 'r2', 'r3']) harness.router.accept(replayed('x', id));
    await harness.clock.advance(20_000);
    expect(harness.settled).toBe(harness.held);
    harness.router.accept(replayed('x', 'r4'));
    await harness.clock.advance(20_000);
    expect(harness.settled).toBe(harness.held);
    harness.router.endJob('replay-1');
    harness.accept('x', 'live');
    await harness.clock.advance(1_000);
    const to = (sink: string) => harness.sent.filter((sent) => sent.sink === sink).flatMap((sent) => sent.events);
    expect(to('b')).toEqual(['r1', 'r2', 'r3', 'r4', 'live']);
    harness.sent.length = 0;
    up = true;
    await harness.clock.advance(60_000);
    expect(to('a')).toEqual(['r1', 'r2', 'r3', 'r4', 'live']);
    expect(harness.lot.rows).toEqual([]);
    expect(harness.router.state().lanes.parked).toBe(0);
  });

  test('keeps its order when its first batch hangs and comes back', async () => {
    const harness = new Harness({ config: { batching: { max_events: 1 } } });
    let answer: (verdicts: Verdicts) => void = () => undefined;
    harness.answer = () => new Promise((resolve) => (answer = resolve));
    for (const id of ['r1', 'r2', 'r3']) harness.router.accept(replayed('x', id));
    await harness.clock.advance(11_000);
    const delivered = recording(harness, () => true);
    answer({ kind: 'unavailable', reason: 'timeout', slow: true });
    await harness.clock.advance(30_000);
    expect(harness.parked).toBe(3);
    expect(order(delivered)).toEqual(['r1', 'r2', 'r3']);
  });

  test('is not held by an event of a blocked lane that was not visible when the lane was parked', async () => {
    const harness = new Harness({ config: { delivery: { on_dead_letter: 'block' } } });
    harness.answer = () => ({ kind: 'rejected', reason: '410 gone' });
    harness.accept('x', 'bad');
    const hidden = makeOrigin({ visible: false });
    harness.router.accept(event('x', 'hidden', { origin: hidden }));
    await harness.clock.advance(1_000);
    harness.router.acceptAt(replayed('x', 'again'), 'a');
    hidden.visible = true;
    harness.router.seen();
    await harness.clock.advance(20_000);
    expect(harness.settled).toBe(harness.held);
    expect(harness.batches).toEqual(['x:bad']);
  });

  test('keeps no live event in memory that waited before it', async () => {
    const harness = new Harness({ answer: () => DOWN });
    harness.accept('x', 'live');
    await harness.clock.advance(300);
    harness.router.accept(replayed('x', 'r1'));
    await harness.clock.advance(20_000);
    expect(harness.settled).toBe(2);
  });

  test('keeps its order when its lane is parked for load', async () => {
    const harness = new Harness({
      config: { memory: { budget: '1MiB' }, batching: { max_events: 1 } },
      concurrency: 1,
    });
    harness.answer = async () => {
      await new Promise<void>((resolve) => harness.clock.schedule(100, resolve));
      return DELIVERED;
    };
    const ids = Array.from({ length: 35 }, (_, index) => `r${index}`);
    const replay = (some: readonly string[]): void =>
      some.forEach((id) => harness.router.accept({ ...replayed('x', id), size: 10_000 }));
    replay(ids.slice(0, 30));
    for (let n = 0; n < 500; n += 1) harness.accept(`y${n}`, `l${n}`);
    expect(harness.pressure).toEqual([true]);
    await harness.clock.advance(1_000);
    replay(ids.slice(30));
    await harness.clock.advance(20_000);
    harness.router.endJob('replay-1');
    await harness.clock.advance(200_000);
    expect(harness.sent.filter((sent) => sent.organization === 'x').flatMap((sent) => sent.events)).toEqual(ids);
  });

  test('and rows that come from elsewhere meanwhile are taken up when it is over', async () => {
    const harness = new Harness();
    harness.router.accept(replayed('x', 'r1'));
    await harness.clock.advance(1_000);
    harness.lot.park('a', [event('x', 'moved')], () => undefined);
    await harness.settle();
    harness.router.wake({ sink: 'a', organizationId: 'x', lane: '' });
    await harness.clock.advance(1_000);
    harness.router.endJob('replay-1');
    await harness.clock.advance(1_000);
    expect(harness.batches).toEqual(['x:r1', 'x:moved']);
  });

  test('never shares a batch with live events', async () => {
    const harness = new Harness();
    harness.accept('x', 'live');
    harness.router.accept(replayed('x', 'r1'));
    await harness.clock.advance(1000);
    expect(harness.batches).toEqual(['x:live', 'x:r1']);
  });
});
