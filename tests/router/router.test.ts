import { describe, expect, test } from 'vitest';
import { DELIVERED } from '../../src/pipeline.ts';
import { footprint } from '../../src/router/memory-budget.ts';
import { event, Harness, makeOrigin } from './harness.ts';

describe('windows of a lane', () => {
  test('the events of one organization gather for 250 ms, then leave together in order', async () => {
    const harness = new Harness();
    harness.accept('x', '1');
    await harness.clock.advance(100);
    harness.accept('x', '2');
    harness.accept('y', '3');
    await harness.clock.advance(149);
    expect(harness.sent).toEqual([]);
    await harness.clock.advance(1);
    expect(harness.batches).toEqual(['x:1,2']);
    await harness.clock.advance(100);
    expect(harness.batches).toEqual(['x:1,2', 'y:3']);
    expect(harness.settled).toBe(3);
    expect(Object.values(harness.router.state().lanes).every((count) => count === 0)).toBe(true);
  });

  test('a full batch leaves at once, by count and by bytes', async () => {
    const harness = new Harness({ config: { batching: { max_events: 3, max_bytes: '1KiB' } } });
    harness.accept('x', '1', '2', '3', '4');
    harness.router.accept(event('y', 'big', { size: 2000 }));
    await harness.settle();
    expect(harness.batches).toEqual(['x:1,2,3', 'y:big']);
  });

  test('with leading_edge a quiet organization does not wait, a busy one gathers', async () => {
    const harness = new Harness({ config: { batching: { leading_edge: true } } });
    harness.accept('x', '1');
    await harness.settle();
    expect(harness.batches).toEqual(['x:1']);
    harness.accept('x', '2');
    await harness.clock.advance(100);
    harness.accept('x', '3');
    await harness.clock.advance(149);
    expect(harness.batches).toEqual(['x:1']);
    await harness.clock.advance(1);
    expect(harness.batches).toEqual(['x:1', 'x:2,3']);
    await harness.clock.advance(1000);
    harness.accept('x', '4');
    await harness.settle();
    expect(harness.batches.at(-1)).toBe('x:4');
    await harness.clock.advance(1000);
    expect(Object.values(harness.router.state().lanes).every((count) => count === 0)).toBe(true);
  });

  test('10,000 organizations with open windows take one timer', () => {
    const harness = new Harness();
    const patrol = harness.clock.pending;
    for (let i = 0; i < 10_000; i += 1) harness.accept(`organization ${i}`, `${i}`);
    expect(harness.router.state().openWindows).toBe(10_000);
    expect(harness.clock.pending - patrol).toBe(1);
  });
});

describe('order and turns', () => {
  test('one batch of a lane is in flight at a time; what arrives meanwhile waits', async () => {
    const harness = new Harness({ config: { batching: { max_events: 2 } } });
    const releases: (() => void)[] = [];
    harness.answer = () => new Promise((resolve) => releases.push(() => resolve(DELIVERED)));
    harness.accept('x', '1', '2', '3', '4', '5');
    await harness.clock.advance(500);
    expect(harness.batches).toEqual(['x:1,2']);
    releases.shift()?.();
    await harness.settle();
    expect(harness.batches).toEqual(['x:1,2', 'x:3,4']);
    releases.shift()?.();
    await harness.settle();
    expect(harness.batches.at(-1)).toBe('x:5');
  });

  test('lanes take turns: a backlog of one organization gives way after each batch', async () => {
    const harness = new Harness({ concurrency: 1, config: { batching: { max_events: 2 } } });
    let open = false;
    const releases: (() => void)[] = [];
    harness.answer = () => (open ? DELIVERED : new Promise((resolve) => releases.push(() => resolve(DELIVERED))));
    harness.accept('big', '1', '2', '3', '4', '5', '6');
    harness.accept('a', 'a1', 'a2');
    harness.accept('b', 'b1', 'b2');
    open = true;
    for (const release of releases.splice(0)) release();
    await harness.clock.advance(300);
    expect(harness.batches).toEqual(['big:1,2', 'a:a1,a2', 'b:b1,b2', 'big:3,4', 'big:5,6']);
  });

  test('a sink that hangs does not hold up another', async () => {
    const harness = new Harness({ sinks: ['a', 'b'], concurrency: 1 });
    harness.answer = (_batch, sink) => (sink === 'a' ? new Promise(() => undefined) : DELIVERED);
    for (let i = 0; i < 5; i += 1) {
      harness.accept('x', `${i}`);
      await harness.clock.advance(250);
    }
    expect(harness.sent.filter((sent) => sent.sink === 'b')).toHaveLength(5);
    expect(harness.settled).toBe(5);
  });
});

describe('routing', () => {
  const routes = [
    { match: { topic: 'cataloging' }, to: ['a', 'b'] },
    { match: { event_type: 'job.*' }, to: ['b', 'c'] },
  ];

  test('two routes to one sink deliver once, each sink gets its own copy', async () => {
    const harness = new Harness({ sinks: ['a', 'b', 'c'], config: { routes } });
    harness.router.accept(event('x', '1', { topic: 'cataloging' }));
    await harness.clock.advance(250);
    expect(harness.sent.map((sent) => sent.sink)).toEqual(['a', 'b', 'c']);
    expect(harness.held).toBe(3);
    expect(harness.settled).toBe(3);
  });

  test('an event that no route matches is a dead letter, or dropped and counted', async () => {
    const harness = new Harness({ sinks: ['a', 'b', 'c'], config: { routes } });
    harness.router.accept(event('x', '1', { eventType: 'user.created' }));
    expect(harness.letters.map((letter) => letter.reason)).toEqual(['unrouted']);
    expect(harness.held).toBe(1);
    expect(harness.settled).toBe(1);
    const dropping = new Harness({
      config: { routes: [{ match: { topic: 'z' }, to: ['a'] }], delivery: { unrouted: 'drop' } },
    });
    dropping.accept('x', '1');
    expect(dropping.dropped).toBe(1);
    expect(dropping.held).toBe(0);
  });
});

describe('visibility', () => {
  test('a batch holds only what a snapshot has seen, and asks for the rest', async () => {
    const harness = new Harness();
    const hidden = makeOrigin({ visible: false });
    harness.router.accept(event('x', '1'));
    harness.router.accept(event('x', '2', { origin: hidden }));
    harness.router.accept(event('x', '3'));
    await harness.clock.advance(250);
    expect(harness.batches).toEqual(['x:1']);
    expect(harness.asked).toBe(1);
    hidden.visible = true;
    harness.router.seen();
    await harness.settle();
    expect(harness.batches).toEqual(['x:1', 'x:2,3']);
  });
});

describe('memory', () => {
  test('a full budget presses back until three quarters are left', async () => {
    const harness = new Harness({
      config: { memory: { budget: '1MiB' }, batching: { max_events: 10_000, max_bytes: '64MiB' } },
    });
    const each = footprint(event('x', '0'));
    const most = Math.ceil(1024 ** 2 / each);
    for (let i = 0; i < most; i += 1) harness.accept('x', `${i}`);
    expect(harness.pressure).toEqual([true]);
    await harness.clock.advance(250);
    expect(harness.pressure).toEqual([true, false]);
    expect(harness.router.state().bufferedBytes).toBe(0);
  });
});

describe('ending', () => {
  test('drain sends what windows hold, and does not wait for lanes that rest', async () => {
    const harness = new Harness({
      answer: (batch) => (batch.organizationId === 'sick' ? { kind: 'unavailable', reason: 'down' } : DELIVERED),
    });
    harness.accept('well', '1');
    harness.accept('sick', '2');
    await harness.router.drain();
    expect(harness.batches.toSorted()).toEqual(['sick:2', 'well:1']);
    expect(harness.settled).toBe(1);
  });

  test('close waits for what is in flight and leaves no timer', async () => {
    const harness = new Harness();
    const releases: (() => void)[] = [];
    harness.answer = () => new Promise((resolve) => releases.push(() => resolve(DELIVERED)));
    harness.accept('x', '1');
    harness.accept('y', '2');
    await harness.clock.advance(250);
    let closed = false;
    const closing = harness.router.close().then(() => (closed = true));
    releases[0]?.();
    await harness.settle();
    expect(closed).toBe(false);
    releases[1]?.();
    await closing;
    expect(harness.clock.pending).toBe(0);
  });
});
