import { describe, expect, test } from 'vitest';
import { DELIVERED, type Batch, type Verdict } from '../../src/pipeline.ts';
import { event, Harness, makeOrigin } from './harness.ts';

const REJECTED: Verdict = { kind: 'rejected', reason: '410 gone' };
const bad = (batch: Batch): boolean => batch.events.some(({ eventId }) => eventId.startsWith('bad'));
const config = { delivery: { on_dead_letter: 'block' }, batching: { max_events: 1 } };
const lane = { sink: 'a', organizationId: 'x', lane: '' };

function blocking(): Harness {
  return new Harness({ config, answer: (batch) => (bad(batch) ? REJECTED : DELIVERED) });
}

const sentOf = (harness: Harness, organization: string): string[] =>
  harness.sent.filter((sent) => sent.organization === organization).flatMap((sent) => sent.events);

describe('with on_dead_letter: block', () => {
  test('the lane stands still and is parked, others go on, and the slot moves', async () => {
    const harness = blocking();
    harness.accept('x', '0', 'bad', '1');
    await harness.clock.advance(300);
    harness.accept('x', '2');
    harness.accept('y', '3');
    await harness.clock.advance(60_000);
    expect(sentOf(harness, 'x')).toEqual(['0', 'bad']);
    expect(sentOf(harness, 'y')).toEqual(['3']);
    expect(harness.letters.map(({ item, blocks }) => [item.eventId, blocks])).toEqual([['bad', true]]);
    expect(harness.lot.rows.map((row) => row.event.eventId)).toEqual(['1', '2']);
    expect(harness.settled).toBe(5);
    expect(harness.router.state().lanes).toMatchObject({ blocked: 1, parked: 0 });
  });

  test('it goes on when the table knows no letter of it any more, and not before', async () => {
    const harness = blocking();
    harness.accept('x', 'bad', '1');
    await harness.clock.advance(1_000);
    harness.router.unblock(harness.router.blocked(), [lane]);
    await harness.clock.advance(1_000);
    expect(sentOf(harness, 'x')).toEqual(['bad']);
    harness.router.unblock(harness.router.blocked(), []);
    harness.accept('x', '2');
    await harness.clock.advance(10_000);
    expect(sentOf(harness, 'x')).toEqual(['bad', '1', '2']);
    expect(harness.router.state().lanes).toMatchObject({ blocked: 0, parked: 0 });
  });

  test('a letter that is stored while the table is asked keeps the lane', async () => {
    const harness = new Harness({ config: { delivery: { on_dead_letter: 'block' } } });
    harness.answer = (batch) => batch.events.map(({ eventId }) => (eventId.startsWith('bad') ? REJECTED : DELIVERED));
    harness.accept('x', 'bad1');
    await harness.clock.advance(1_000);
    const asked = harness.router.blocked();
    harness.router.acceptAt(event('x', 'bad2', { origin: makeOrigin({ job: 'redrive-1' }), ordinal: null }), 'a');
    await harness.clock.advance(1_000);
    harness.router.endJob('redrive-1');
    harness.router.unblock(asked, []);
    harness.accept('x', '1');
    await harness.clock.advance(10_000);
    expect(sentOf(harness, 'x')).toEqual(['bad1', 'bad2']);
  });

  test('a redrive passes, ahead of what is parked', async () => {
    const harness = blocking();
    harness.accept('x', 'bad', '1');
    await harness.clock.advance(1_000);
    const origin = makeOrigin({ job: 'redrive-7' });
    harness.router.acceptAt(event('x', 'mended', { origin, ordinal: null }), 'a');
    harness.accept('x', '2');
    await harness.clock.advance(1_000);
    expect(sentOf(harness, 'x')).toEqual(['bad', 'mended']);
    harness.router.endJob('redrive-7');
    harness.router.unblock(harness.router.blocked(), []);
    await harness.clock.advance(10_000);
    expect(sentOf(harness, 'x')).toEqual(['bad', 'mended', '1', '2']);
  });

  test('the end of the redrive may come after the lane was freed', async () => {
    const harness = blocking();
    harness.accept('x', 'bad', '1');
    await harness.clock.advance(1_000);
    harness.router.acceptAt(event('x', 'mended', { origin: makeOrigin({ job: 'redrive-7' }), ordinal: null }), 'a');
    await harness.clock.advance(1_000);
    harness.router.unblock(harness.router.blocked(), []);
    await harness.clock.advance(1_000);
    harness.router.endJob('redrive-7');
    await harness.clock.advance(10_000);
    expect(sentOf(harness, 'x')).toEqual(['bad', 'mended', '1']);
  });

  test.each<[string, Verdict]>([
    ['the sink is away', { kind: 'unavailable', reason: '503' }],
    ['the sink is away for an hour', { kind: 'unavailable', reason: '503', retryAfter: 3_600_000 }],
  ])('a redrive while %s is dead letters again after park_after, and holds nothing else', async (_when, verdict) => {
    const harness = blocking();
    harness.accept('x', 'bad', '1');
    await harness.clock.advance(1_000);
    harness.answer = (batch) => (batch.organizationId === 'x' ? verdict : DELIVERED);
    const origin = makeOrigin({ job: 'redrive-7', receivedAt: harness.clock.now() });
    const of = (organization: string, id: string) => event(organization, id, { origin, ordinal: null });
    for (const id of ['m1', 'm2', 'm3']) harness.router.acceptAt(of('x', id), 'a');
    harness.router.acceptAt(of('y', 'm4'), 'a');
    await harness.clock.advance(11_000);
    expect(harness.letters.map(({ item, reason, blocks }) => [item.eventId, reason, blocks])).toEqual([
      ['bad', 'rejected', true],
      ...['m1', 'm2', 'm3'].map((id) => [id, 'unavailable', true]),
    ]);
    expect(harness.settled).toBe(harness.held); // the job is over
    harness.router.endJob('redrive-7');
    harness.answer = () => DELIVERED;
    await harness.clock.advance(60_000);
    expect(sentOf(harness, 'x')).not.toContain('1');
    harness.router.unblock(harness.router.blocked(), []);
    await harness.clock.advance(10_000);
    expect(sentOf(harness, 'x').at(-1)).toBe('1');
    expect(harness.router.state().lanes).toMatchObject({ blocked: 0, parked: 0 });
  });

  test('a redrive whose page was read long ago is tried again like any other', async () => {
    const harness = blocking();
    harness.accept('x', 'bad');
    await harness.clock.advance(60_000);
    let tries = 0;
    harness.answer = () => (++tries === 1 ? { kind: 'unavailable', reason: '503' } : DELIVERED);
    const origin = makeOrigin({ job: 'redrive-7', receivedAt: 0 });
    harness.router.acceptAt(event('x', 'mended', { origin, ordinal: null }), 'a');
    await harness.clock.advance(2_000);
    expect(sentOf(harness, 'x').slice(-2)).toEqual(['mended', 'mended']);
    expect(harness.letters.map(({ item }) => item.eventId)).toEqual(['bad']);
  });

  test('a letter that is refused again does not keep those behind it from being redriven', async () => {
    const harness = blocking();
    harness.accept('x', 'bad', '1');
    harness.accept('y', '2');
    await harness.clock.advance(1_000);
    harness.answer = (batch) => (bad(batch) ? { kind: 'failed', reason: '500' } : DELIVERED);
    const origin = makeOrigin({ job: 'redrive-7', receivedAt: harness.clock.now() });
    for (const id of ['bad', 'mended']) harness.router.acceptAt(event('x', id, { origin, ordinal: null }), 'a');
    for (let left = 12; left > 0; left--) {
      harness.accept('y', `y${left}`); // the sink accepts others
      await harness.clock.advance(1_000);
    }
    expect(harness.letters.map(({ item, reason }) => [item.eventId, reason])).toEqual([
      ['bad', 'rejected'],
      ['bad', 'failed'],
    ]);
    expect(sentOf(harness, 'x').at(-1)).toBe('mended');
    expect(sentOf(harness, 'x')).not.toContain('1');
    expect(harness.settled).toBe(harness.held);
  });

  test('events of a replay wait behind it like live ones', async () => {
    const harness = blocking();
    const of = (id: string) => event('x', id, { origin: makeOrigin({ job: 'replay-1' }), ordinal: null });
    harness.router.accept(of('bad'));
    harness.router.accept(of('r1'));
    await harness.clock.advance(1_000);
    harness.router.accept(of('r2'));
    await harness.clock.advance(1_000);
    harness.router.endJob('replay-1');
    expect(sentOf(harness, 'x')).toEqual(['bad']);
    expect(harness.settled).toBe(3);
    harness.router.unblock(harness.router.blocked(), []);
    await harness.clock.advance(10_000);
    expect(sentOf(harness, 'x')).toEqual(['bad', 'r1', 'r2']);
  });

  test('after a restart it is still blocked', async () => {
    const harness = blocking();
    harness.router.restore([], [lane]);
    harness.accept('x', '1');
    await harness.clock.advance(10_000);
    expect(harness.sent).toEqual([]);
    expect(harness.settled).toBe(1);
    harness.router.unblock(harness.router.blocked(), []);
    await harness.clock.advance(1_000);
    expect(sentOf(harness, 'x')).toEqual(['1']);
  });

  test('with continue, letters that an earlier configuration left block nothing', async () => {
    const harness = new Harness();
    harness.router.restore([], [lane]);
    harness.accept('x', '1');
    await harness.clock.advance(1_000);
    expect(sentOf(harness, 'x')).toEqual(['1']);
  });
});

describe('waking', () => {
  test.each([{}, { sink: 'a' }, lane])('makes a resting parked lane due at once: %j', async (which) => {
    const harness = new Harness({ answer: () => ({ kind: 'unavailable', reason: '503', retryAfter: 3_600_000 }) });
    harness.accept('x', '1');
    await harness.clock.advance(20_000);
    const tries = harness.sent.length;
    harness.answer = () => DELIVERED;
    await harness.clock.advance(20_000);
    expect(harness.sent.length).toBe(tries);
    harness.router.wake(which);
    await harness.clock.advance(100);
    expect(harness.sent.length).toBe(tries + 1);
    expect(harness.lot.rows).toEqual([]);
  });

  test('leaves others alone, and its old alarm cuts no later wait short', async () => {
    const harness = new Harness({ answer: () => ({ kind: 'unavailable', reason: '503', retryAfter: 100_000 }) });
    harness.accept('x', '1');
    await harness.clock.advance(20_000);
    harness.router.wake({ sink: 'a', organizationId: 'y', lane: '' });
    await harness.clock.advance(100);
    expect(harness.sent.length).toBe(1);
    harness.router.wake(lane);
    await harness.settle();
    await harness.clock.advance(99_000);
    expect(harness.sent.map((sent) => sent.at)).toEqual([250, 20_100]);
  });

  test('takes up a lane whose rows came from elsewhere', async () => {
    const harness = new Harness();
    harness.lot.park('a', [event('x', '1')], () => undefined);
    await harness.clock.advance(1_000);
    expect(harness.sent).toEqual([]);
    harness.router.wake(lane);
    await harness.clock.advance(1_000);
    expect(sentOf(harness, 'x')).toEqual(['1']);
    expect(harness.router.state().lanes.parked).toBe(0);
  });
});
