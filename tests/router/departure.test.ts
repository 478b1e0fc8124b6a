import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { configSchema } from '../../src/config/schema.ts';
import {
  type BatchingMode,
  departureOf,
  type Gathered,
  modeOf,
  sendsAtOnce,
} from '../../src/router/lanes/departure.ts';
import type { Batch, Verdict } from '../../src/pipeline.ts';
import { DELIVERED } from '../../src/pipeline.ts';
import { Harness } from './harness.ts';

const gathered = (overrides: Partial<Gathered> = {}): Gathered => ({
  mode: 'window',
  busy: false,
  full: false,
  windowOpen: true,
  resumes: false,
  draining: false,
  ...overrides,
});

const MODES: readonly BatchingMode[] = ['window', 'leading_edge', 'adaptive'];

describe('the mode of a sink', () => {
  const parsed = (leadingEdge: boolean, modes: readonly (BatchingMode | undefined)[]) =>
    configSchema.parse({
      database: { url: 'postgres://127.0.0.1/none' },
      batching: { leading_edge: leadingEdge },
      sinks: Object.fromEntries(modes.map((mode, n) => [`s${n}`, { type: 'discard', ...(mode && { mode }) }])),
      routes: [{ match: {}, to: ['s0'] }],
    });

  interface Case {
    readonly leadingEdge: boolean;
    readonly given: readonly (BatchingMode | undefined)[];
    readonly modes: readonly BatchingMode[];
    readonly atOnce: boolean;
  }
  const windows: readonly BatchingMode[] = ['window', 'window'];
  const edges: readonly BatchingMode[] = ['leading_edge', 'leading_edge'];
  test.each<[string, Case]>([
    ['nothing is set', { leadingEdge: false, given: [undefined, undefined], modes: windows, atOnce: false }],
    ['all have the leading edge', { leadingEdge: true, given: [undefined, undefined], modes: edges, atOnce: true }],
    ['each has windows of its own', { leadingEdge: true, given: windows, modes: windows, atOnce: false }],
    [
      'one is adaptive',
      { leadingEdge: false, given: [undefined, 'adaptive'], modes: ['window', 'adaptive'], atOnce: true },
    ],
  ])('%s', (_, { leadingEdge, given, modes, atOnce }) => {
    const config = parsed(leadingEdge, given);
    expect(given.map((__, n) => modeOf(`s${n}`, config))).toEqual(modes);
    expect(sendsAtOnce(config)).toBe(atOnce);
  });
});

describe('when a lane leaves', () => {
  test.each<[string, Partial<Gathered>, string]>([
    ['a window is open', {}, 'window'],
    ['the window is over', { windowOpen: false }, 'now'],
    ['the batch is full', { full: true }, 'now'],
    ['it goes on after a failure, or with parked events', { resumes: true }, 'now'],
    ['the process ends', { draining: true }, 'now'],
    ['it is busy', { busy: true, full: true }, 'answer'],
    ['the leading edge, behind the first event', { mode: 'leading_edge' }, 'window'],
    ['the leading edge of a quiet lane', { mode: 'leading_edge', windowOpen: false }, 'now'],
    ['adaptive and idle', { mode: 'adaptive' }, 'now'],
    ['adaptive and busy', { mode: 'adaptive', busy: true }, 'answer'],
  ])('%s', (_, given, departure) => {
    expect(departureOf(gathered(given))).toBe(departure);
  });

  test('a busy lane never sends a second batch, and an idle one waits for nothing but an open window', () => {
    const any: fc.Arbitrary<Gathered> = fc.record({
      mode: fc.constantFrom(...MODES),
      busy: fc.boolean(),
      full: fc.boolean(),
      windowOpen: fc.boolean(),
      resumes: fc.boolean(),
      draining: fc.boolean(),
    });
    fc.assert(
      fc.property(any, (given) => {
        const departure = departureOf(given);
        expect(departure === 'answer').toBe(given.busy);
        if (departure === 'window') expect(given).toMatchObject({ windowOpen: true, full: false, draining: false });
        expect(departure === 'window' && given.mode === 'adaptive').toBe(false);
      }),
    );
  });
});

/** Answers that the test gives by hand. */
class Answers {
  private readonly waiting: ((verdict: Verdict) => void)[] = [];

  readonly answer = (_batch: Batch): Promise<Verdict> => new Promise((resolve) => this.waiting.push(resolve));

  async give(harness: Harness, verdict: Verdict = DELIVERED): Promise<void> {
    this.waiting.shift()?.(verdict);
    await harness.settle();
  }
}

const adaptive = (options: Record<string, unknown> = {}) => ({
  sinks: { a: { type: 'discard', mode: 'adaptive', ...options } },
});

describe('adaptive', () => {
  test('an idle lane sends at once, without a timer; what arrives meanwhile leaves with the answer', async () => {
    const answers = new Answers();
    const harness = new Harness({ config: adaptive({ max_events: 3 }), answer: answers.answer });
    const timers = harness.clock.pending;
    harness.accept('x', '1');
    expect(harness.batches).toEqual(['x:1']);
    harness.accept('x', '2', '3', '4', '5');
    expect(harness.clock.pending).toBe(timers);
    expect(harness.router.state().openWindows).toBe(0);
    await harness.clock.advance(10_000); // the window is no reason to overtake a batch in flight
    expect(harness.batches).toEqual(['x:1']);
    await answers.give(harness);
    expect(harness.batches).toEqual(['x:1', 'x:2,3,4']);
    await answers.give(harness);
    await answers.give(harness);
    expect(harness.batches).toEqual(['x:1', 'x:2,3,4', 'x:5']);
    expect(harness.router.state().lanes.idle).toBe(0);
    expect(harness.settled).toBe(5);
  });

  test('a lane that failed is not idle: what arrives waits for the retry, and keeps its place', async () => {
    const answers = new Answers();
    const harness = new Harness({ config: adaptive(), answer: answers.answer });
    harness.accept('x', '1');
    await answers.give(harness, { kind: 'unavailable', reason: 'status 503' });
    harness.accept('x', '2');
    await harness.clock.advance(1);
    expect(harness.batches).toEqual(['x:1']);
    await harness.clock.advance(199); // at most 200 ms, with jitter
    expect(harness.batches).toEqual(['x:1', 'x:1,2']);
  });

  test('over its rate it gathers', async () => {
    const harness = new Harness({ config: adaptive({ organization_rate: '1/s' }) });
    harness.accept('x', '1', '2', '3');
    await harness.settle();
    harness.accept('x', '4');
    expect(harness.batches).toEqual(['x:1']);
    await harness.clock.advance(1000);
    expect(harness.batches).toEqual(['x:1', 'x:2']);
  });

  test('a batch that is in flight when the connection ends settles nothing, and nothing follows it', async () => {
    const answers = new Answers();
    const harness = new Harness({ config: adaptive(), answer: answers.answer });
    harness.accept('x', '1', '2');
    const closed = harness.router.close();
    await answers.give(harness);
    await closed;
    expect(harness.batches).toEqual(['x:1']);
    expect(harness.settled).toBe(0);
  });
});

describe('settings of each sink', () => {
  test('each has its own window and its own batches, and none waits for the window of another', async () => {
    const sinks = {
      a: { type: 'discard', window: '50ms' },
      b: { type: 'discard', window: '1s', max_events: 2 },
      c: { type: 'discard' },
    };
    const harness = new Harness({ sinks: ['a', 'b', 'c'], config: { sinks } });
    const at = () => harness.sent.map(({ sink, events, at }) => `${sink} ${events.join(',')} at ${at}`);
    harness.accept('x', '1');
    await harness.clock.advance(2_000);
    expect(at()).toEqual(['a 1 at 50', 'c 1 at 250', 'b 1 at 1000']);
    harness.sent.length = 0;
    harness.accept('x', '2', '3');
    await harness.clock.advance(2_000);
    expect(at()).toEqual(['b 2,3 at 2000', 'a 2,3 at 2050', 'c 2,3 at 2250']);
  });

  test('the mode of a sink stands above the leading edge of all', async () => {
    const sinks = { a: { type: 'discard', mode: 'window' }, b: { type: 'discard' } };
    const harness = new Harness({ sinks: ['a', 'b'], config: { sinks, batching: { leading_edge: true } } });
    harness.accept('x', '1');
    expect(harness.sent.map(({ sink }) => sink)).toEqual(['b']);
    await harness.clock.advance(250);
    expect(harness.sent.map(({ sink }) => sink)).toEqual(['b', 'a']);
  });
});
