import { describe, expect, test } from 'vitest';
import { type Batch, DELIVERED, type Verdict, type Verdicts } from '../../src/pipeline.ts';
import { event, Harness, makeOrigin } from './harness.ts';

const DOWN: Verdict = { kind: 'unavailable', reason: 'away' };
const REJECTED: Verdict = { kind: 'rejected', reason: '410 gone' };
const SINK = { sink: 'a', organizationId: null };
const X = { sink: 'a', organizationId: 'x' };

const sentOf = (harness: Harness, organization: string): string[] =>
  harness.sent.filter((sent) => sent.organization === organization).flatMap((sent) => sent.events);
const rowsOf = (harness: Harness): string[] => harness.lot.rows.map((row) => row.event.eventId);

describe('a sink that is paused', () => {
  test('gets nothing, all of it is parked in order, and the slot moves on', async () => {
    const harness = new Harness({ sinks: ['a', 'b'] });
    harness.accept('x', '1');
    harness.router.pause([SINK]);
    harness.accept('x', '2');
    harness.accept('y', '3');
    await harness.clock.advance(60_000);
    expect(harness.sent.filter(({ sink }) => sink === 'a')).toEqual([]);
    expect(harness.sent.filter(({ sink }) => sink === 'b').flatMap(({ events }) => events)).toEqual(['1', '2', '3']);
    expect(rowsOf(harness)).toEqual(['1', '2', '3']);
    expect(harness.settled).toBe(6);
    expect(harness.router.state().lanes).toMatchObject({ paused: 2, blocked: 0, parked: 0 });
  });

  test('goes on in order when it is resumed, and is live again', async () => {
    const harness = new Harness();
    harness.router.pause([SINK]);
    harness.accept('x', '1', '2');
    await harness.clock.advance(10_000);
    harness.accept('x', '3');
    harness.router.pause([]);
    harness.accept('x', '4');
    await harness.clock.advance(10_000);
    expect(sentOf(harness, 'x')).toEqual(['1', '2', '3', '4']);
    expect(harness.lot.rows).toEqual([]);
    harness.accept('x', '5');
    await harness.clock.advance(1_000);
    expect(sentOf(harness, 'x').at(-1)).toBe('5');
    expect(harness.parked).toBe(4);
    expect(harness.failure.signal.aborted).toBe(false);
  });

  test('lets a batch in flight finish', async () => {
    let answer: ((verdicts: Verdicts) => void) | undefined;
    const harness = new Harness({ answer: () => new Promise<Verdicts>((resolve) => (answer = resolve)) });
    harness.accept('x', '1');
    await harness.clock.advance(300);
    harness.router.pause([SINK]);
    harness.accept('x', '2');
    answer?.(DELIVERED);
    await harness.clock.advance(10_000);
    expect(sentOf(harness, 'x')).toEqual(['1']);
    expect(rowsOf(harness)).toEqual(['2']);
    expect(harness.settled).toBe(2);
  });

  test('forgets a failure: what failed is parked, is not called failing, and begins anew', async () => {
    const harness = new Harness({ answer: () => DOWN });
    harness.accept('x', '1');
    await harness.clock.advance(30_000);
    expect([...harness.router.failing()]).toHaveLength(1);
    harness.router.pause([SINK]);
    const before = harness.sent.length;
    await harness.clock.advance(3_600_000);
    expect(harness.sent.length).toBe(before);
    expect([...harness.router.failing()]).toEqual([]);
    harness.answer = () => DELIVERED;
    harness.router.pause([]);
    await harness.clock.advance(10);
    expect(harness.sent.slice(before)).toMatchObject([{ events: ['1'], attempt: 1 }]);
  });

  test('and resumed at once while its lanes stand in the queue sends each event once', async () => {
    const answers: ((_: Verdicts) => void)[] = [];
    const harness = new Harness({
      concurrency: 1,
      answer: () => new Promise<Verdicts>((resolve) => answers.push(resolve)),
    });
    harness.accept('x', '1');
    harness.accept('y', '2');
    await harness.clock.advance(300);
    harness.router.pause([SINK]);
    await harness.clock.advance(300);
    harness.router.pause([]);
    harness.accept('y', '3');
    for (let turn = 0; turn < 10; turn += 1) {
      answers.shift()?.(DELIVERED);
      await harness.clock.advance(1_000);
    }
    expect(sentOf(harness, 'x')).toEqual(['1']);
    expect(sentOf(harness, 'y')).toEqual(['2', '3']);
    expect(harness.failure.signal.aborted).toBe(false);
  });

  test('and resumed many times has one place in the queue, not one for each time', async () => {
    const answers: ((_: Verdicts) => void)[] = [];
    const harness = new Harness({
      concurrency: 1,
      config: { batching: { max_events: 1 } },
      answer: () => new Promise<Verdicts>((resolve) => answers.push(resolve)),
    });
    harness.accept('x', '1');
    await harness.clock.advance(300);
    harness.accept('y', 'y1', 'y2', 'y3', 'y4');
    harness.accept('z', 'z1', 'z2', 'z3', 'z4');
    await harness.clock.advance(300);
    for (let time = 0; time < 5; time += 1) {
      harness.router.pause([{ sink: 'a', organizationId: 'y' }]);
      harness.router.pause([]);
    }
    for (let turn = 0; turn < 12; turn += 1) {
      answers.shift()?.(DELIVERED);
      await harness.clock.advance(1);
    }
    const order = harness.sent.slice(1).map(({ organization }) => organization);
    expect(order).toHaveLength(8);
    expect(order.slice(0, 6).filter((name) => name === 'y')).toHaveLength(3);
    expect(harness.failure.signal.aborted).toBe(false);
  });

  test('parks what no reader sees yet as soon as it is visible', async () => {
    const harness = new Harness();
    const origin = makeOrigin({ visible: false });
    harness.router.accept(event('x', '1', { origin }));
    await harness.clock.advance(1_000);
    harness.router.pause([SINK]);
    await harness.clock.advance(1_000);
    expect(rowsOf(harness)).toEqual([]);
    origin.visible = true;
    harness.router.seen();
    await harness.clock.advance(1_000);
    expect(rowsOf(harness)).toEqual(['1']);
    harness.router.pause([]);
    await harness.clock.advance(1_000);
    expect(sentOf(harness, 'x')).toEqual(['1']);
  });
});

describe('one organization that is paused', () => {
  test('leaves others alone, and waking does not pass it', async () => {
    const harness = new Harness();
    harness.router.pause([X]);
    harness.accept('x', '1');
    harness.accept('y', '2');
    await harness.clock.advance(1_000);
    harness.router.wake({ sink: 'a', organizationId: 'x' });
    harness.router.wake();
    await harness.clock.advance(10_000);
    expect(harness.batches).toEqual(['y:2']);
  });

  test('stays so when the sink is resumed, and the sink when the organization is', async () => {
    const harness = new Harness();
    harness.router.pause([SINK, X]);
    harness.accept('x', '1');
    harness.accept('y', '2');
    harness.router.pause([X]);
    await harness.clock.advance(1_000);
    expect(harness.batches).toEqual(['y:2']);
    harness.router.pause([SINK, X]);
    harness.router.pause([SINK]);
    await harness.clock.advance(1_000);
    expect(harness.batches).toEqual(['y:2']);
    harness.router.pause([]);
    await harness.clock.advance(1_000);
    expect(harness.batches).toEqual(['y:2', 'x:1']);
  });
});

describe('jobs and dead letters at a paused sink', () => {
  const blocks = { delivery: { on_dead_letter: 'block' }, batching: { max_events: 1 } };
  const bad = (batch: Batch): boolean => batch.events.some(({ eventId }) => eventId.startsWith('bad'));
  const ofJob = (id: string) => event('x', id, { origin: makeOrigin({ job: 'job-1' }), ordinal: null });

  test('events of a job are parked, so that it ends', async () => {
    const harness = new Harness();
    harness.router.pause([SINK]);
    harness.router.acceptOfJob(ofJob('1'));
    harness.router.acceptAt(ofJob('2'), 'a');
    await harness.clock.advance(1_000);
    harness.router.endJob('job-1');
    expect(harness.settled).toBe(2);
    expect(rowsOf(harness)).toEqual(['1', '2']);
    harness.router.pause([]);
    await harness.clock.advance(1_000);
    expect(sentOf(harness, 'x')).toEqual(['1', '2']);
  });

  test('what is redriven ahead of a blocked lane stays a dead letter, and nothing overtakes', async () => {
    const harness = new Harness({ config: blocks, answer: (batch) => (bad(batch) ? REJECTED : DELIVERED) });
    harness.accept('x', 'bad', '1');
    await harness.clock.advance(1_000);
    harness.router.pause([SINK]);
    harness.router.acceptAt(ofJob('bad'), 'a');
    await harness.clock.advance(1_000);
    harness.router.endJob('job-1');
    expect(sentOf(harness, 'x')).toEqual(['bad']);
    expect(harness.letters.map(({ item, reason, blocks: holds }) => [item.eventId, reason, holds])).toEqual([
      ['bad', 'rejected', true],
      ['bad', 'unavailable', true],
    ]);
    harness.router.pause([]);
    await harness.clock.advance(1_000);
    expect(sentOf(harness, 'x')).toEqual(['bad']);
    harness.router.unblock(harness.router.blocked(), []);
    await harness.clock.advance(1_000);
    expect(sentOf(harness, 'x')).toEqual(['bad', '1']);
  });

  test('a lane that a restart finds parked, failing and paused sends nothing until it is resumed', async () => {
    const harness = new Harness();
    harness.router.pause([X]);
    harness.accept('x', '1');
    await harness.clock.advance(1_000);
    const next = new Harness({ lot: harness.lot });
    next.router.pause([X]);
    const lane = { ...X, lane: '' };
    const failing = {
      ...lane,
      state: 'failing',
      since: 0,
      attempts: 3,
      code: null,
      answer: null,
      nextTryAt: null,
    } as const;
    next.router.restore([{ ...lane, redeliveredUntil: null }], [], [{ ...failing, reason: '503' }]);
    next.accept('x', '2');
    await next.clock.advance(60_000);
    expect(next.sent).toEqual([]);
    expect([...next.router.failing()]).toEqual([]);
    next.router.pause([]);
    await next.clock.advance(1_000);
    expect(sentOf(next, 'x')).toEqual(['1', '2']);
  });
});
