/** One organization, one receiver that answers each time: bad events leave as dead letters, healthy ones arrive. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { DELIVERED, type Batch, type Verdict, type Verdicts } from '../../src/pipeline.ts';
import { PROBED_EVENTS } from '../../src/router/lanes/probe-policy.ts';
import { event, Harness, type HarnessOptions, makeOrigin } from './harness.ts';

const REFUSED: Verdict = { kind: 'failed', reason: 'hook answered 422: no' };
const CRASHES: Verdict = { kind: 'unavailable', reason: 'hook answered 500', answered: true };
const DOWN: Verdict = { kind: 'unavailable', reason: 'hook refused the connection' };
const HOUR = 3_600_000;

const bads = (count: number): string[] => Array.from({ length: count }, (_, n) => `bad${n}`);
const goods = (count: number): string[] => Array.from({ length: count }, (_, n) => `good${n}`);
const isBad = ({ eventId }: { eventId: string }): boolean => eventId.startsWith('bad');

class Scene {
  readonly arrived: string[] = [];
  readonly harness: Harness;
  /** Answers before the bad ones are looked for. */
  mood: (batch: Batch) => Verdicts | undefined = () => undefined;

  constructor(options: HarnessOptions = {}, refusal: Verdict = REFUSED) {
    this.harness = new Harness({
      ...options,
      answer: (batch) => {
        const verdict = this.mood(batch) ?? (batch.events.some(isBad) ? refusal : DELIVERED);
        if (verdict === DELIVERED) this.arrived.push(...batch.events.map(({ eventId }) => eventId));
        return verdict;
      },
    });
  }

  get dead(): string[] {
    return this.harness.letters.map(({ item }) => item.eventId ?? '');
  }

  get reasons(): Set<string> {
    return new Set(this.harness.letters.map(({ reason }) => reason));
  }

  get lanes() {
    return this.harness.router.state().lanes;
  }

  of(type: string, ...ids: string[]): void {
    for (const id of ids) {
      const origin = makeOrigin({ receivedAt: this.harness.clock.now() });
      this.harness.router.accept(event('x', id, { origin, eventType: type }));
    }
  }
}

describe.each([1, 2, 3, 5, 40, 300])('%i bad events in a row', (count) => {
  test('and three healthy ones behind: all of them are dead letters, all of the healthy arrive', async () => {
    const scene = new Scene();
    scene.harness.accept('x', ...bads(count), ...goods(3));
    await scene.harness.clock.advance(HOUR);
    expect(scene.dead).toEqual(bads(count));
    expect(scene.reasons).toEqual(new Set(['failed']));
    expect(scene.arrived).toEqual(goods(3));
    expect(scene.harness.lot.rows).toEqual([]);
    expect(Object.values(scene.lanes).every((lanes) => lanes === 0)).toBe(true);
    expect(scene.harness.settled).toBe(count + 3);
  });

  test('and none behind: they wait, and are found out when healthy ones come', async () => {
    const scene = new Scene({ config: { delivery: { unavailable_for: '2h' } } });
    scene.harness.accept('x', ...bads(count));
    await scene.harness.clock.advance(5 * HOUR);
    expect(scene.dead).toEqual([]);
    expect(scene.lanes).toMatchObject({ refusing: 1, parked: 0, backing_off: 0 });
    expect(scene.harness.refusals).toHaveLength(1);
    expect(scene.harness.refusals[0]).toMatchObject({ sink: 'a', organizationId: 'x', events: count, types: 1 });
    scene.harness.accept('x', ...goods(3));
    await scene.harness.clock.advance(HOUR);
    expect(scene.dead).toEqual(bads(count));
    expect(scene.arrived).toEqual(goods(3));
    expect(scene.harness.recoveries).toHaveLength(1);
    expect(scene.lanes.refusing).toBe(0);
  });
});

describe('the requests, in their order', () => {
  /** Each with what was in it, and the answer. */
  async function requestsOf(bad: number, good: number): Promise<string[]> {
    const scene = new Scene();
    const numbers = new Map([...bads(bad), ...goods(good)].map((id, index) => [id, String(index + 1)]));
    const answers: string[] = [];
    scene.mood = (batch) => void answers.push(batch.events.some(isBad) ? '422' : '204');
    scene.harness.accept('x', ...numbers.keys());
    await scene.harness.clock.advance(HOUR);
    expect(scene.dead).toEqual(bads(bad));
    return scene.harness.sent.map(({ events }, index) => {
      const [first = '', last = ''] = [events[0], events.at(-1)].map((id) => numbers.get(id ?? ''));
      return `${first === last ? first : `${first} to ${last}`}: ${answers[index]}`;
    });
  }

  test('two bad ones: the events behind are tried once each, in order, and at the first acceptance each refused one once more', async () => {
    const expected = [
      '1 to 5: 422, 1 to 3: 422, 1 to 2: 422',
      '1: 422, 1: 422, 1: 422', // max_attempts
      '2: 422, 1: 422, 3: 204',
      '1: 422, 2: 422', // the last tries
      '4 to 5: 204',
    ];
    expect((await requestsOf(2, 3)).join(', ')).toBe(expected.join(', '));
  });

  test('forty bad ones: the same, in rounds of one, four, sixteen, and the first again before each', async () => {
    const all = await requestsOf(40, 3);
    const refused = (from: number, to: number): string[] =>
      Array.from({ length: to - from + 1 }, (_, index) => `${from + index}: 422`);
    const rounds = [refused(2, 2), refused(3, 6), refused(7, 22), [...refused(23, 40), '41: 204']];
    const expected = [rounds.map((round) => round.join(', ')).join(', 1: 422, '), ...refused(1, 40), '42 to 43: 204'];
    expect(all.slice(all.indexOf('2: 422')).join(', ')).toBe(expected.join(', '));
  });

  test('five bad ones and three healthy ones, as the table of docs/delivery.md has them', async () => {
    const page = readFileSync(new URL('../../docs/delivery.md', import.meta.url), 'utf8');
    const [, table = ''] =
      /An example\. .*five events.*three healthy ones\.\n\n\|.*\n\|.*\n((?:\|.*\n)+)/.exec(page) ?? [];
    const told = table.split('\n').flatMap((row) => {
      const [, requests = '', answer = ''] = row.split('|');
      return requests
        .split(/,? then |,/)
        .filter((text) => text.trim() !== '')
        .map((text) => `${text.trim()}: ${answer.trim()}`);
    });
    expect(told.length).toBeGreaterThan(15);
    expect(await requestsOf(5, 3)).toEqual(told);
  });
});

test('more in a row than a page: nothing is given up, and what stands behind the page is not tried', async () => {
  const scene = new Scene({ config: { delivery: { unavailable_for: '2h' } } });
  scene.harness.accept('x', ...bads(PROBED_EVENTS + 1), ...goods(3));
  await scene.harness.clock.advance(5 * HOUR);
  expect(scene.dead).toEqual([]);
  expect(scene.arrived).toEqual([]);
  expect(scene.lanes.refusing).toBe(1);
  expect(new Set(scene.harness.sent.flatMap(({ events }) => events)).has('good0')).toBe(false);
  expect(scene.harness.lot.mostRowsRead).toBeLessThanOrEqual(100);
});

describe('a receiver that refuses everything', () => {
  test.each([1, 2, 100, 400])('makes no dead letter of %i healthy events in a day', async (count) => {
    const scene = new Scene({ config: { delivery: { unavailable_for: '1h' } } });
    scene.mood = () => REFUSED;
    scene.harness.accept('x', ...goods(count));
    await scene.harness.clock.advance(24 * HOUR);
    expect(scene.dead).toEqual([]);
    expect(scene.lanes.refusing).toBe(1);
    expect(scene.harness.sent.length).toBeLessThan(24 * 500 + 30 * count);
    scene.mood = () => undefined;
    await scene.harness.clock.advance(60_000);
    expect(scene.dead).toEqual([]);
    expect(scene.arrived).toEqual(goods(count));
  });

  test('and goes away after that: the time of the outage counts, not that of the refusals', async () => {
    const scene = new Scene({ config: { delivery: { unavailable_for: '10h' } } });
    scene.mood = () => REFUSED;
    scene.harness.accept('x', ...goods(3));
    await scene.harness.clock.advance(9 * HOUR);
    scene.mood = () => DOWN;
    await scene.harness.clock.advance(9 * HOUR);
    expect(scene.dead).toEqual([]);
    await scene.harness.clock.advance(2 * HOUR);
    expect(scene.reasons).toEqual(new Set(['unavailable']));
  });
});

describe('event types', () => {
  test('a type that was not tried yet is tried before others that came earlier', async () => {
    const scene = new Scene();
    scene.of('a', ...bads(3));
    await scene.harness.clock.advance(HOUR);
    scene.of('a', 'bad3', 'bad4', 'bad5');
    scene.of('b', 'good0');
    const before = scene.harness.sent.length;
    await scene.harness.clock.advance(HOUR);
    const tried = scene.harness.sent.slice(before).flatMap(({ events }) => events);
    expect(tried.slice(0, 3)).toEqual(['bad0', 'good0', 'bad0']);
    expect(scene.dead).toEqual(bads(3)); // no healthy one has come behind the others yet
    expect(scene.arrived).toEqual(['good0']);
  });

  test('in the first pass a healthy one of another type does not come first: it would speak for few of the bad ones', async () => {
    const scene = new Scene();
    scene.of('bad.type', ...bads(10));
    scene.of('good.type', ...goods(2));
    await scene.harness.clock.advance(HOUR);
    expect(scene.dead).toEqual(bads(10));
    expect(scene.arrived).toEqual(goods(2));
  });

  test('bad ones of one type among healthy ones of another', async () => {
    const scene = new Scene();
    for (let n = 0; n < 20; n += 1) {
      scene.of('a', `bad${n}`);
      scene.of('b', `good${n}`);
    }
    await scene.harness.clock.advance(24 * HOUR);
    expect(scene.dead).toEqual(bads(20));
    expect(scene.arrived).toEqual(goods(20));
  });
});

describe('an answer 500 for single events', () => {
  test.each([1, 2, 5])('%i in a row: dead letters, as far as healthy ones come behind', async (count) => {
    const scene = new Scene({}, CRASHES);
    scene.harness.accept('x', ...bads(count), ...goods(1 + count));
    await scene.harness.clock.advance(2 * HOUR);
    expect(scene.arrived).toEqual(goods(1 + count));
    expect(scene.dead).toEqual(bads(count).slice(0, scene.dead.length));
    for (let n = 0; n < count; n += 1) {
      scene.harness.accept('x', `later${n}`);
      await scene.harness.clock.advance(HOUR);
    }
    expect(scene.dead).toEqual(bads(count));
    expect(scene.reasons).toEqual(new Set(['failed']));
  });

  test('for everything is an outage: one event behind is tried after each wait, at most', async () => {
    const scene = new Scene();
    scene.mood = () => CRASHES;
    scene.harness.accept('x', ...goods(50));
    await scene.harness.clock.advance(HOUR);
    expect(scene.dead).toEqual([]);
    expect(scene.lanes.refusing).toBe(0);
    expect(scene.harness.sent.length).toBeLessThan((2 * 3600) / 5);
    scene.mood = () => undefined;
    await scene.harness.clock.advance(120_000);
    expect(scene.arrived).toEqual(goods(50));
    expect(scene.dead).toEqual([]);
  });

  test('for one event in the middle of a batch', async () => {
    const scene = new Scene({}, CRASHES);
    scene.harness.accept('x', ...goods(10), 'bad0', 'later0', 'later1');
    await scene.harness.clock.advance(HOUR);
    expect(scene.dead).toEqual(['bad0']);
    expect(scene.arrived).toEqual([...goods(10), 'later0', 'later1']);
  });
});

describe('outages in between', () => {
  test.each(Array.from({ length: 24 }, (_, n) => n + 1))('request %i meets one', async (at) => {
    const scene = new Scene();
    let requests = 0;
    scene.mood = () => ((requests += 1) === at ? DOWN : undefined);
    scene.harness.accept('x', ...bads(5), ...goods(3));
    await scene.harness.clock.advance(HOUR);
    expect(scene.dead).toEqual(bads(5));
    expect(scene.arrived).toEqual(goods(3));
    expect(scene.harness.lot.rows).toEqual([]);
  });

  test.each([1, 2, 3])('half of all requests meet one (seed %i)', async (seed) => {
    const scene = new Scene();
    let state = seed;
    scene.mood = () => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      return state >>> 31 === 1 ? DOWN : undefined;
    };
    scene.harness.accept('x', ...bads(5), ...goods(3));
    await scene.harness.clock.advance(4 * HOUR);
    expect(scene.dead).toEqual(bads(5));
    expect(scene.arrived).toEqual(goods(3));
  });
});

test('while others of the sink are accepted, a refusal is the event’s own, and nothing overtakes', async () => {
  const scene = new Scene();
  scene.harness.accept('x', ...bads(3), ...goods(3));
  for (let n = 0; n < 2000; n += 1) {
    scene.harness.accept('y', `y${n}`);
    await scene.harness.clock.advance(500);
  }
  expect(scene.dead).toEqual(bads(3));
  for (const { attempts } of scene.harness.letters) expect([3, 4]).toContain(attempts);
  const ofX = scene.harness.sent.filter(({ organization }) => organization === 'x').flatMap(({ events }) => events);
  expect(ofX.lastIndexOf('bad2')).toBeLessThan(ofX.findLastIndex((id) => id === 'good0'));
  expect(scene.arrived.filter((id) => id.startsWith('good'))).toEqual(goods(3));
});

test('when the first is refused for good in the end, nothing says that the destination accepts events', async () => {
  const scene = new Scene();
  scene.harness.accept('x', ...bads(2));
  await scene.harness.clock.advance(5 * HOUR);
  expect(scene.lanes.refusing).toBe(1);
  scene.mood = (batch) => (batch.events[0]?.eventId === 'bad0' ? { kind: 'rejected', reason: '410' } : undefined);
  await scene.harness.clock.advance(5 * HOUR);
  expect(scene.dead).toEqual(['bad0']);
  expect(scene.harness.givenUp).toHaveLength(1);
  expect(scene.harness.recoveries).toEqual([]);
});

describe('answers for each event', () => {
  test('an accepted event behind a refused one tells whose fault it is', async () => {
    const scene = new Scene();
    scene.mood = (batch) => batch.events.map((each) => (isBad(each) ? REFUSED : DELIVERED));
    scene.harness.accept('x', 'bad0', 'good0', 'good1');
    await scene.harness.clock.advance(HOUR);
    expect(scene.dead).toEqual(['bad0']);
    expect(scene.harness.letters[0]?.attempts).toBe(3);
  });

  test('bad ones in a row', async () => {
    const scene = new Scene();
    const answered = new Set<string>();
    scene.mood = (batch) =>
      batch.events.map((each) => {
        if (isBad(each)) return REFUSED;
        answered.add(each.eventId);
        return DELIVERED;
      });
    scene.harness.accept('x', ...bads(5), ...goods(3));
    await scene.harness.clock.advance(HOUR);
    expect(scene.dead).toEqual(bads(5));
    expect([...answered]).toEqual(goods(3));
  });

  test('as `batch: false` gives them: what stands behind a refused one is not sent', async () => {
    const scene = new Scene();
    const answered: string[] = [];
    scene.mood = (batch) => {
      let stopped = false;
      return batch.events.map((each): Verdict => {
        if (stopped) return { kind: 'unavailable', reason: 'not sent' };
        stopped = isBad(each);
        if (!stopped) answered.push(each.eventId);
        return stopped ? REFUSED : DELIVERED;
      });
    };
    scene.harness.accept('x', 'good0', ...bads(5), 'good1', 'good2');
    await scene.harness.clock.advance(HOUR);
    expect(scene.dead).toEqual(bads(5));
    expect(answered).toEqual(goods(3));
  });

  test('one behind that is rejected for good is a dead letter at once, and tells nothing', async () => {
    const scene = new Scene();
    scene.mood = (batch) => (batch.events[0]?.eventId === 'gone' ? { kind: 'rejected', reason: '410' } : undefined);
    scene.harness.accept('x', 'bad0', 'gone', 'bad1');
    await scene.harness.clock.advance(HOUR);
    expect(scene.harness.letters.map(({ item, reason }) => [item.eventId, reason])).toEqual([['gone', 'rejected']]);
    scene.harness.accept('x', 'good0');
    await scene.harness.clock.advance(HOUR);
    expect(scene.dead).toEqual(['gone', 'bad0', 'bad1']);
  });
});

test('with block, the first dead letter stops the lane; what was refused behind it begins afresh', async () => {
  const scene = new Scene({ config: { delivery: { on_dead_letter: 'block' } } });
  scene.harness.accept('x', ...bads(3), ...goods(3));
  await scene.harness.clock.advance(HOUR);
  expect(scene.dead).toEqual(['bad0']);
  expect(scene.arrived).toEqual(['good0']);
  expect(scene.lanes).toMatchObject({ blocked: 1, refusing: 0 });
  for (const expected of [2, 3]) {
    scene.harness.router.unblock(scene.harness.router.blocked(), []);
    await scene.harness.clock.advance(HOUR);
    expect(scene.dead).toEqual(bads(expected));
  }
  scene.harness.router.unblock(scene.harness.router.blocked(), []);
  await scene.harness.clock.advance(HOUR);
  expect(scene.arrived).toEqual(goods(3));
});

test('a restart in the middle begins afresh with what is parked, and nothing is lost', async () => {
  for (let more = 0; more < 16; more += 1) {
    const scene = new Scene();
    scene.harness.accept('x', ...bads(5), ...goods(3));
    while (scene.harness.lot.rows.length < 8) await scene.harness.clock.advance(1);
    const until = scene.harness.sent.length + more;
    while (scene.harness.sent.length < until && scene.harness.lot.rows.length > 0) await scene.harness.clock.advance(1);
    await scene.harness.router.close();
    await scene.harness.settle();
    const next = new Scene({ lot: scene.harness.lot });
    next.harness.router.restore(scene.harness.lot.lanes());
    await next.harness.clock.advance(HOUR);
    expect([...scene.dead, ...next.dead]).toEqual(bads(5));
    expect([...scene.arrived, ...next.arrived]).toEqual(goods(3));
    expect(scene.harness.lot.rows).toEqual([]);
  }
});

test('a lane that asks holds one event, in flight', async () => {
  const scene = new Scene();
  scene.harness.accept('x', ...bads(200));
  let most = 0;
  scene.mood = (batch) => {
    if (scene.harness.sent.length > 10) most = Math.max(most, scene.harness.router.state().bufferedBytes);
    return batch.events.some(isBad) ? REFUSED : DELIVERED;
  };
  await scene.harness.clock.advance(HOUR);
  expect(most).toBeGreaterThan(0);
  expect(most).toBeLessThanOrEqual(2 * 100 + 900);
});
