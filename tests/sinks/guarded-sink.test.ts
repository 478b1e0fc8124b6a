import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { type Batch, DELIVERED, type Sink, type Verdict, type Verdicts } from '../../src/pipeline.ts';
import { GuardedSink, type GuardedSinkOptions } from '../../src/sinks/guard/guarded-sink.ts';
import { sampleBatch, sampleEvent } from '../support/sample-event.ts';

const DOWN: Verdict = { kind: 'unavailable', reason: 'down' };

/** opossum has timers of its own, so the clock of the process is turned and not only the guard's. */
beforeEach(
  () =>
    void vi.useFakeTimers({
      toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'Date', 'performance'],
    }),
);
afterEach(() => void vi.useRealTimers());

interface Call {
  readonly batch: Batch;
  readonly signal: AbortSignal;
  answer(verdicts: Verdicts): void;
}

/** A sink that answers what it is told, or waits to be told. */
class ScriptedSink implements Sink {
  readonly calls: Call[] = [];
  answer: ((batch: Batch) => Verdicts | 'wait') | undefined;
  closed = 0;

  async deliver(batch: Batch, signal: AbortSignal): Promise<Verdicts> {
    const { promise, resolve } = deferred<Verdicts>();
    this.calls.push({ batch, signal, answer: resolve });
    const answer = this.answer?.(batch) ?? DELIVERED;
    return answer === 'wait' ? promise : answer;
  }

  async close(): Promise<void> {
    this.closed += 1;
  }
}

function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => {};
  const promise = new Promise<T>((done) => (resolve = done));
  return { promise, resolve };
}

function guard(sink: Sink, options: Partial<GuardedSinkOptions> = {}): GuardedSink {
  const breaker = { failure_rate: 0.5, minimum_organizations: 5, reset_after: 10_000 };
  return new GuardedSink({ name: 'n8n', sink, concurrency: 4, timeout: 1000, breaker, clock: systemClock, ...options });
}

const batchOf = (organizationId: string, count = 1): Batch =>
  sampleBatch(Array.from({ length: count }, () => sampleEvent({ organizationId })));

/** Five organizations find the destination away. */
async function outage(guarded: GuardedSink, sink: ScriptedSink): Promise<void> {
  sink.answer = () => DOWN;
  for (const organization of ['a', 'b', 'c', 'd', 'e']) await guarded.deliver(batchOf(organization));
}

describe('whatever the sink does is a verdict', () => {
  test('its own answer passes, with its concurrency and name', async () => {
    const sink = new ScriptedSink();
    const guarded = guard(sink);
    const verdicts: Verdicts = [DELIVERED, { kind: 'failed', reason: 'bad' }];
    sink.answer = () => verdicts;
    expect(await guarded.deliver(batchOf('a', 2))).toBe(verdicts);
    expect([guarded.name, guarded.concurrency]).toEqual(['n8n', 4]);
  });

  test('an exception is unavailable, and its message shows no URL', async () => {
    const sink: Sink = {
      deliver: () => Promise.reject(new Error('GET https://user:pw@example.com/hooks/secret?x=1 failed\nbadly')),
      close: () => Promise.resolve(),
    };
    expect(await guard(sink).deliver(batchOf('a'))).toEqual({
      kind: 'unavailable',
      reason: 'the sink failed with an error of its own (Error)',
      code: 'Error',
    });
  });

  test('an exception before the promise, too', async () => {
    const sink: Sink = {
      deliver: () => {
        throw new TypeError('broken');
      },
      close: () => Promise.resolve(),
    };
    expect(await guard(sink).deliver(batchOf('a'))).toEqual({
      kind: 'unavailable',
      reason: 'the sink failed with an error of its own (TypeError)',
      code: 'TypeError',
    });
  });

  test('a list of the wrong length is unavailable and says so', async () => {
    const sink = new ScriptedSink();
    sink.answer = () => [DELIVERED];
    const reason = 'the sink gave 1 verdicts for 3 events';
    expect(await guard(sink).deliver(batchOf('a', 3))).toEqual({ kind: 'unavailable', reason });
  });
});

describe('the timeout', () => {
  test('aborts the signal and takes what the sink had achieved; the rest is told to be slow', async () => {
    const sink = new ScriptedSink();
    sink.answer = () => 'wait';
    const delivering = guard(sink).deliver(batchOf('a', 2));
    const [call] = sink.calls;
    await vi.advanceTimersByTimeAsync(999);
    expect(call?.signal.aborted).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(call?.signal.aborted).toBe(true);
    call?.answer([DELIVERED, DOWN]);
    expect(await delivering).toEqual([DELIVERED, { ...DOWN, code: 'TIMEOUT', slow: true }]);
    expect(vi.getTimerCount()).toBe(1);
  });

  test('of one attempt does not reach into the next, nor into one beside it', async () => {
    const sink = new ScriptedSink();
    const guarded = guard(sink);
    await guarded.deliver(batchOf('a'));
    sink.answer = () => 'wait';
    const first = guarded.deliver(batchOf('a'));
    await vi.advanceTimersByTimeAsync(600);
    const second = guarded.deliver(batchOf('b'));
    await vi.advanceTimersByTimeAsync(600);
    expect(sink.calls.slice(1).map(({ signal }) => signal.aborted)).toEqual([true, false]);
    for (const call of sink.calls.slice(1)) call.answer(DELIVERED);
    await Promise.all([first, second]);
    const third = guarded.deliver(batchOf('a'));
    const fourth = guarded.deliver(batchOf('b'));
    expect(sink.calls.slice(3).map(({ signal }) => signal.aborted)).toEqual([false, false]);
    expect(sink.calls[3]?.signal).not.toBe(sink.calls[4]?.signal);
    for (const call of sink.calls.slice(3)) call.answer(DELIVERED);
    await Promise.all([third, fourth]);
  });

  test('comes to each attempt in its time, whatever ended before it', async () => {
    const sink = new ScriptedSink();
    sink.answer = () => 'wait';
    const guarded = guard(sink);
    const attempts: Promise<Verdicts>[] = [];
    for (const organization of ['a', 'b', 'c', 'd']) {
      attempts.push(guarded.deliver(batchOf(organization)));
      await vi.advanceTimersByTimeAsync(300);
    }
    const aborted = (): boolean[] => sink.calls.map(({ signal }) => signal.aborted);
    sink.calls[1]?.answer(DELIVERED); // of a, which began first, 1,200 ms have passed
    expect(aborted()).toEqual([true, false, false, false]);
    await vi.advanceTimersByTimeAsync(399);
    expect(aborted()).toEqual([true, false, false, false]);
    await vi.advanceTimersByTimeAsync(1);
    expect(aborted()).toEqual([true, false, true, false]);
    await vi.advanceTimersByTimeAsync(300);
    expect(aborted()).toEqual([true, false, true, true]);
    for (const call of sink.calls) call.answer(DELIVERED);
    await Promise.all(attempts);
    expect(vi.getTimerCount()).toBe(1); // that of the breaker
  });

  test('leaves a sink behind that does not hear it', async () => {
    const sink = new ScriptedSink();
    sink.answer = () => 'wait';
    const requests: unknown[] = [];
    const delivering = guard(sink, { hooks: { onRequest: (request) => requests.push(request) } }).deliver(batchOf('a'));
    await vi.advanceTimersByTimeAsync(1500);
    expect(await delivering).toEqual({
      kind: 'unavailable',
      reason: 'n8n gave no answer within 1000 ms',
      code: 'TIMEOUT',
      slow: true,
    });
    expect(requests).toEqual([{ sink: 'n8n', outcome: 'timeout', seconds: 1.5 }]);
  });

  test('a stop from outside ends it as well, and says nothing about the destination', async () => {
    const sink = new ScriptedSink();
    sink.answer = () => 'wait';
    const guarded = guard(sink, { breaker: { failure_rate: 0.1, minimum_organizations: 1, reset_after: 1000 } });
    const controller = new AbortController();
    const delivering = ['a', 'b', 'c'].map((id) => guarded.deliver(batchOf(id), controller.signal));
    controller.abort();
    for (const call of sink.calls) call.answer(DOWN);
    expect(await Promise.all(delivering)).toEqual([DOWN, DOWN, DOWN]);
    expect(guarded.breakerState).toBe('closed');
    expect(await guarded.deliver(batchOf('a'), controller.signal)).toMatchObject({ kind: 'unavailable' });
    expect(sink.calls).toHaveLength(3);
  });
});

describe('the breaker', () => {
  test('opens over organizations, keeps batches from the sink, and says when to come again', async () => {
    const sink = new ScriptedSink();
    const states: string[] = [];
    const guarded = guard(sink, { hooks: { onBreaker: (name, state) => states.push(`${name} ${state}`) } });
    await outage(guarded, sink);
    expect(guarded.breakerState).toBe('open');
    await vi.advanceTimersByTimeAsync(4000);
    expect(await guarded.deliver(batchOf('f'))).toEqual({
      kind: 'unavailable',
      reason: 'the breaker of n8n is open',
      code: 'BREAKER_OPEN',
      retryAfter: 6000,
    });
    expect(sink.calls).toHaveLength(5);
    expect(states).toEqual(['n8n open']);
  });

  test('is not opened by one organization that fails alone, nor by events at fault', async () => {
    const sink = new ScriptedSink();
    const guarded = guard(sink);
    sink.answer = ({ organizationId }) => (organizationId === 'sick' ? DOWN : DELIVERED);
    for (let round = 0; round < 50; round++) await guarded.deliver(batchOf('sick'));
    await guarded.deliver(batchOf('well'));
    expect(guarded.breakerState).toBe('closed');
    sink.answer = () => ({ kind: 'failed', reason: 'bad event' });
    for (let organization = 0; organization < 20; organization++) await guarded.deliver(batchOf(`${organization}`));
    expect(guarded.breakerState).toBe('closed');
  });

  test('counts a destination that took one event of the batch as there', async () => {
    const sink = new ScriptedSink();
    const guarded = guard(sink);
    sink.answer = () => [DELIVERED, DOWN];
    for (let organization = 0; organization < 20; organization++) await guarded.deliver(batchOf(`${organization}`, 2));
    expect(guarded.breakerState).toBe('closed');
    sink.answer = () => [DOWN, DOWN];
    for (let organization = 0; organization < 20; organization++) await guarded.deliver(batchOf(`${organization}`, 2));
    expect(guarded.breakerState).toBe('open');
  });

  test('admits one batch when half open, and closes when it is answered', async () => {
    const sink = new ScriptedSink();
    const guarded = guard(sink);
    await outage(guarded, sink);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(guarded.breakerState).toBe('half_open');
    sink.answer = () => 'wait';
    const probing = guarded.deliver(batchOf('f'));
    expect(await guarded.deliver(batchOf('g'))).toMatchObject({ kind: 'unavailable', retryAfter: 1000 });
    expect(sink.calls).toHaveLength(6);
    sink.calls[5]?.answer({ kind: 'failed', reason: 'a bad event, but an answer' });
    await probing;
    expect(guarded.breakerState).toBe('closed');
  });

  test.each<[string, (sink: ScriptedSink) => void]>([
    ['unavailable', (sink) => (sink.answer = () => DOWN)],
    ['no answer at all', (sink) => (sink.answer = () => 'wait')],
  ])('opens again after a probe with %s, and always probes again', async (_name, script) => {
    const sink = new ScriptedSink();
    const guarded = guard(sink);
    await outage(guarded, sink);
    script(sink);
    for (let round = 0; round < 20; round++) {
      await vi.advanceTimersByTimeAsync(10_000);
      expect(guarded.breakerState).toBe('half_open');
      const probing = guarded.deliver(batchOf('a'));
      await vi.advanceTimersByTimeAsync(1500);
      expect(await probing).toMatchObject({ kind: 'unavailable' });
      expect(guarded.breakerState).toBe('open');
    }
    sink.answer = () => DELIVERED;
    await vi.advanceTimersByTimeAsync(10_000);
    expect(await guarded.deliver(batchOf('a'))).toBe(DELIVERED);
    expect(guarded.breakerState).toBe('closed');
  });

  test('a probe that is stopped from outside does not leave it waiting for ever', async () => {
    const sink = new ScriptedSink();
    const guarded = guard(sink);
    await outage(guarded, sink);
    await vi.advanceTimersByTimeAsync(10_000);
    sink.answer = () => 'wait';
    const controller = new AbortController();
    const probing = guarded.deliver(batchOf('a'), controller.signal);
    controller.abort();
    await vi.advanceTimersByTimeAsync(500);
    await probing;
    await vi.advanceTimersByTimeAsync(10_000);
    expect(guarded.breakerState).toBe('half_open');
    sink.answer = () => DELIVERED;
    expect(await guarded.deliver(batchOf('a'))).toBe(DELIVERED);
  });

  test('an organization whose probe failed lets another go first', async () => {
    const sink = new ScriptedSink();
    const guarded = guard(sink);
    await outage(guarded, sink);
    sink.answer = ({ organizationId }) => (organizationId === 'sick' ? DOWN : DELIVERED);
    await vi.advanceTimersByTimeAsync(10_000);
    await guarded.deliver(batchOf('sick'));
    await guarded.deliver(batchOf('well'));
    await vi.advanceTimersByTimeAsync(10_000);
    expect(await guarded.deliver(batchOf('sick'))).toMatchObject({ reason: 'the breaker of n8n is half open' });
    expect(await guarded.deliver(batchOf('well'))).toBe(DELIVERED);
    expect(guarded.breakerState).toBe('closed');
  });

  test('answers to batches from before it opened change nothing', async () => {
    const sink = new ScriptedSink();
    const guarded = guard(sink, { timeout: 60_000 });
    sink.answer = () => 'wait';
    const late = Array.from({ length: 12 }, (_, index) => guarded.deliver(batchOf(`late ${index}`)));
    await outage(guarded, sink);
    await vi.advanceTimersByTimeAsync(10_000);
    for (const call of sink.calls.slice(0, 6)) call.answer(DOWN);
    await Promise.all(late.slice(0, 6));
    expect(guarded.breakerState).toBe('half_open');
    sink.answer = () => DELIVERED;
    await guarded.deliver(batchOf('a'));
    for (const call of sink.calls.slice(6, 12)) call.answer(DOWN);
    await Promise.all(late);
    expect(guarded.breakerState).toBe('closed');
  });
});

test('close closes the sink and leaves no timer', async () => {
  const sink = new ScriptedSink();
  const guarded = guard(sink);
  await outage(guarded, sink);
  await guarded.close();
  expect(sink.closed).toBe(1);
  expect(vi.getTimerCount()).toBe(0);
});

test('batches that were not sent for lack of time do not open the breaker', async () => {
  const sink = new ScriptedSink();
  const guarded = guard(sink);
  sink.answer = ({ events }) => events.map(() => ({ kind: 'unavailable', reason: 'not sent', unsent: true }));
  for (const organization of ['a', 'b', 'c', 'd', 'e']) await guarded.deliver(batchOf(organization, 2));
  expect(guarded.breakerState).toBe('closed');
  await outage(guarded, sink);
  expect(guarded.breakerState).toBe('open');
});
