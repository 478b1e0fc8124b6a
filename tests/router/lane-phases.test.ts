/** The machine of a lane: what its table allows happens, and what it does not allow throws. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test, vi } from 'vitest';
import { DELIVERED, OWN_LANE, type Batch, type Verdict } from '../../src/pipeline.ts';
import { Lane } from '../../src/router/lanes/lane.ts';
import { type Phase, TRANSITIONS } from '../../src/router/lanes/phases.ts';

import { sourceFiles } from '../support/import-graph.ts';
import { event, Harness, makeOrigin } from './harness.ts';

const src = join(import.meta.dirname, '../../src');
const PHASES = Object.keys(TRANSITIONS) as Phase[];
const ROWS = PHASES.flatMap((from) => TRANSITIONS[from].map((to) => `${from} -> ${to}`));

const DOWN: Verdict = { kind: 'unavailable', reason: 'away' };
const REJECTED: Verdict = { kind: 'rejected', reason: '410 gone' };
const byName = ({ events }: Batch): Verdict[] =>
  events.map(({ eventId }) => (eventId.startsWith('bad') ? REJECTED : eventId.startsWith('down') ? DOWN : DELIVERED));
const ofJob = (eventId: string, job = 'redrive-1') =>
  event('x', eventId, { origin: makeOrigin({ job }), ordinal: null });
const blocks = { delivery: { on_dead_letter: 'block' } };
const later = async (harness: Harness, ms = 1_000): Promise<void> => {
  await harness.clock.advance(ms);
};

/** Each runs a router through some of the rows. */
const SCENARIOS: Readonly<Record<string, () => Promise<void>>> = {
  'events come while a batch is in flight': async () => {
    let answer = (): void => undefined;
    const harness = new Harness({ answer: () => new Promise((resolve) => (answer = () => resolve(DELIVERED))) });
    harness.accept('x', '1');
    await later(harness, 250);
    harness.accept('x', '2');
    answer();
    await harness.settle();
    await later(harness);
    answer();
    await later(harness);
  },
  'the destination is away for a while': async () => {
    const harness = new Harness({ answer: () => DOWN });
    harness.accept('x', '1', '2');
    await later(harness, 60_000);
    harness.accept('x', '3');
    harness.answer = () => DELIVERED;
    await later(harness, 60_000);
  },
  'the destination refuses everything': async () => {
    const harness = new Harness({ answer: () => ({ kind: 'failed', reason: '422' }) });
    harness.accept('x', '1', '2');
    await later(harness, 600_000);
  },
  'the first event leaves at once': async () => {
    const harness = new Harness({ config: { batching: { leading_edge: true } } });
    harness.accept('x', '1');
    await later(harness);
  },
  'a transaction is not visible yet': async () => {
    const harness = new Harness();
    const origin = makeOrigin({ visible: false });
    harness.router.accept(event('x', '1', { origin }));
    await later(harness);
    origin.visible = true;
    harness.router.seen();
    await later(harness);
  },
  'dead letters are slow to be stored': async () => {
    const harness = new Harness({ answer: byName });
    harness.lettersStall = true;
    harness.accept('x', 'bad');
    await later(harness);
    harness.accept('x', '1');
    await later(harness);
    for (const stored of harness.unstored.splice(0)) stored();
    await later(harness);
  },
  'an organization is over its rate': async () => {
    const sinks = { a: { type: 'discard', organization_rate: '1/s' } };
    const harness = new Harness({ config: { sinks } });
    harness.accept('x', '1', '2');
    await later(harness, 5_000);
  },
  'a sink is paused while a window is open, a snapshot is waited for and rows are read': async () => {
    const harness = new Harness({ answer: () => DOWN });
    harness.accept('x', '1');
    await later(harness, 60_000);
    harness.accept('y', '2');
    harness.router.accept(event('z', '3', { origin: makeOrigin({ visible: false }) }));
    await later(harness, 300);
    harness.accept('y', '4');
    harness.accept('w', '5');
    harness.router.wake(); // x is being read when the pause comes
    harness.router.pause([{ sink: 'a', organizationId: null }]);
    await later(harness);
  },
  'rows are restored while memory is full': async () => {
    const harness = new Harness({ answer: () => DOWN, config: { memory: { budget: '1MiB' } } });
    harness.accept('x', '1');
    await later(harness, 60_000);
    harness.router.accept(event('y', '2', { size: 1_000_000 }));
    harness.answer = ({ organizationId }) => (organizationId === 'y' ? DOWN : DELIVERED);
    await later(harness, 300);
    harness.router.wake();
    await later(harness, 100);
  },
  'an event comes while the last read finds nothing': async () => {
    const harness = new Harness({ answer: () => DOWN });
    harness.accept('x', '1');
    await later(harness, 60_000);
    harness.answer = () => DELIVERED;
    const { lot } = harness;
    const read = lot.read.bind(lot);
    lot.read = async (...given) => {
      const page = await read(...given);
      if (page.events.length === 0 && given[1] === null) harness.accept('x', '2');
      return page;
    };
    await later(harness, 60_000);
  },
  'a job leads the lane': async () => {
    const harness = new Harness();
    harness.router.acceptOfJob(ofJob('1', 'replay-1'));
    await later(harness);
    harness.router.endJob('replay-1');
  },
  'an event leaves the lane': async () => {
    const harness = new Harness({ config: { sinks: { a: { type: 'discard', order: 'none' } } } });
    harness.answer = () => ({ kind: 'failed', reason: '451' });
    harness.accept('x', '1');
    await later(harness);
  },
  'a dead letter blocks the lane': async () => {
    const harness = new Harness({ config: blocks, answer: byName });
    harness.accept('x', 'bad');
    await later(harness);
    harness.router.unblock(harness.router.blocked(), []);
    await later(harness);
  },
  'a blocked lane is restored': async () => {
    const harness = new Harness({ config: blocks });
    harness.router.restore([], [{ sink: 'a', organizationId: 'x', lane: '' }]);
    await later(harness);
  },
  'a redrive comes to a blocked lane whose first event is not visible': async () => {
    const harness = new Harness({ config: blocks, answer: byName });
    harness.accept('x', 'bad');
    harness.router.accept(event('x', '1', { origin: makeOrigin({ visible: false }) }));
    await later(harness);
    harness.router.acceptAt(ofJob('mended'), 'a');
  },
  'a redrive ends while its events wait for the destination': async () => {
    const harness = new Harness({ config: blocks, answer: byName });
    harness.accept('x', 'bad');
    await later(harness, 19_950); // shortly before lanes are looked through for events that have waited too long
    harness.router.acceptAt(ofJob('down'), 'a');
    await later(harness, 20);
    harness.router.endJob('redrive-1');
    await later(harness, 20_000);
  },
  'a redrive ends while its events wait for their turn': async () => {
    const harness = new Harness({ config: blocks, concurrency: 1, answer: byName });
    harness.accept('x', 'bad');
    await later(harness, 20_000);
    let answer = (): void => undefined;
    harness.answer = () => new Promise((resolve) => (answer = () => resolve(DELIVERED)));
    harness.accept('y', '1');
    await later(harness, 300);
    harness.router.acceptAt(ofJob('mended'), 'a');
    harness.router.endJob('redrive-1');
    await later(harness);
    answer();
    await later(harness);
    expect(harness.batches).not.toContain('x:mended'); // it waits, parked, like everything of a blocked lane
  },
  'a redrive ends while its dead letter is stored': async () => {
    const harness = new Harness({ config: { ...blocks, batching: { max_events: 1 } }, answer: byName });
    harness.accept('x', 'bad');
    await later(harness, 20_000);
    harness.lettersStall = true;
    harness.router.acceptAt(ofJob('bad2'), 'a');
    harness.router.acceptAt(ofJob('mended'), 'a');
    await later(harness, 20);
    harness.router.endJob('redrive-1');
    await later(harness, 20_000);
    for (const stored of harness.unstored.splice(0)) stored();
    await later(harness);
  },
};

describe('the rows of the table', () => {
  const seen = new Set<string>();

  beforeAll(async () => {
    const enter = Lane.prototype.enter;
    const spy = vi.spyOn(Lane.prototype, 'enter').mockImplementation(function (this: Lane, to: Phase) {
      const from = this.phase;
      enter.call(this, to);
      seen.add(`${from} -> ${to}`);
    });
    for (const run of Object.values(SCENARIOS)) await run();
    spy.mockRestore();
  });

  test.each(ROWS)('%s happens', (row) => {
    expect([...seen]).toContain(row);
  });
});

/** A lane in that phase, by the shortest way. */
function laneIn(phase: Phase): Lane {
  const ways: { readonly at: Phase; readonly way: readonly Phase[] }[] = [{ at: 'idle', way: [] }];
  for (const { at, way } of ways) {
    if (at === phase) {
      const lane = new Lane('x', OWN_LANE);
      for (const step of way) lane.enter(step);
      return lane;
    }
    if (way.length < PHASES.length) for (const to of TRANSITIONS[at]) ways.push({ at: to, way: [...way, to] });
  }
  throw new Error(`no way leads to ${phase}`);
}

test('every transition that is not in the table throws, and leaves the lane where it is', () => {
  const forbidden = PHASES.flatMap((from) =>
    PHASES.filter((to) => !TRANSITIONS[from].includes(to)).map((to) => [from, to] as const),
  );
  expect(forbidden.length).toBe(PHASES.length ** 2 - ROWS.length);
  for (const [from, to] of forbidden) {
    const lane = laneIn(from);
    expect(() => lane.enter(to)).toThrow(`a lane that is ${from} cannot become ${to}`);
    expect(lane.phase).toBe(from);
  }
});

test('the drawing at the head of phases.ts is the table', () => {
  const head = readFileSync(join(src, 'router/lanes/phases.ts'), 'utf8').split('*/')[0] ?? '';
  const drawn = [...head.matchAll(/^ \* {3}(\w+) +--> ([\w ]+)$/gm)].map(([, from = '', to = '']) => [
    from,
    to.split(' ').toSorted(),
  ]);
  expect(Object.fromEntries(drawn)).toEqual(
    Object.fromEntries(PHASES.map((from) => [from, [...TRANSITIONS[from]].toSorted()])),
  );
});

test('no other file changes the state of a lane', () => {
  const others = sourceFiles(src).filter((file) => file !== 'router/lanes/lane.ts');
  const assigns = /\blane\.\w+ *(?:[-+*]|\?\?)?=(?!=)|\blane\.parked\.\w+ *(?:[-+*]|\?\?)?=(?!=)/;
  expect('lane.phase = "idle"; lane.parked.rows += 1').toMatch(assigns);
  const found = others.filter((file) => assigns.test(readFileSync(join(src, file), 'utf8')));
  expect(found).toEqual([]);
});
