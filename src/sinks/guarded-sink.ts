/**
 * A sink behind its timeout and its breaker: what the router hands batches to.
 *
 * Whatever the sink does becomes a verdict. It has `timeout` for a batch; then its signal aborts, and it has a moment to
 * say what it had achieved by then, because events known to be delivered need not be sent again. A sink that is silent
 * even then is left behind.
 *
 * For the breaker a destination is away when every verdict of the batch says `unavailable`. One that took a single event,
 * or found fault with one, is there.
 */
import type { Clock } from '../clock.ts';
import type { Config } from '../config/schema.ts';
import { messageOf } from '../errors.ts';
import type { Batch, Destination, Sink, Verdict, Verdicts } from '../pipeline.ts';
import { type BreakerState, DestinationBreaker } from './destination-breaker.ts';
import { reasonText } from './reason-text.ts';

export type RequestOutcome = Verdict['kind'] | 'timeout';

/** For watching only. */
export interface SinkHooks {
  /** A batch was with the sink for so long. The outcome is the first that is not `delivered`. */
  onRequest?(request: { readonly sink: string; readonly outcome: RequestOutcome; readonly seconds: number }): void;
  onBreaker?(sink: string, state: BreakerState): void;
}

export interface GuardedSinkOptions {
  readonly name: string;
  readonly sink: Sink;
  readonly concurrency: number;
  /** Milliseconds for one attempt. */
  readonly timeout: number;
  readonly breaker: Config['delivery']['breaker'];
  readonly clock: Clock;
  readonly hooks?: SinkHooks;
}

interface Attempt {
  readonly verdicts: Verdicts;
  readonly available: boolean | undefined;
}

type Stop = 'timeout' | 'stopped';

/** How long a sink may still speak after its signal has aborted. */
const LAST_WORDS = 500;
const SILENT = Symbol('silent');

export class GuardedSink implements Destination {
  readonly name: string;
  readonly concurrency: number;
  readonly #options: GuardedSinkOptions;
  readonly #breaker: DestinationBreaker<Attempt>;

  constructor(options: GuardedSinkOptions) {
    const { name, breaker, clock, hooks } = options;
    this.name = name;
    this.concurrency = options.concurrency;
    this.#options = options;
    this.#breaker = new DestinationBreaker({
      failureRate: breaker.failure_rate,
      minimumOrganizations: breaker.minimum_calls,
      resetAfter: breaker.reset_after,
      clock,
      onState: (state) => hooks?.onBreaker?.(name, state),
    });
  }

  get breakerState(): BreakerState {
    return this.#breaker.state;
  }

  get closedFor(): number {
    return this.#breaker.state === 'open' ? this.#breaker.retryAfter : 0;
  }

  /** Never rejects: an exception, a timeout, an open breaker are `unavailable`. */
  async deliver(batch: Batch, signal?: AbortSignal): Promise<Verdicts> {
    if (signal?.aborted) return { kind: 'unavailable', reason: `${this.name} was stopped` };
    try {
      const attempt = await this.#breaker.run(batch.organizationId, () => this.#attempt(batch, signal));
      if (attempt) return attempt.verdicts;
    } catch (error) {
      return { kind: 'unavailable', reason: reasonText(messageOf(error)) };
    }
    const reason = `the breaker of ${this.name} is ${this.#breaker.state === 'open' ? 'open' : 'half open'}`;
    return { kind: 'unavailable', reason, retryAfter: this.#breaker.retryAfter };
  }

  async close(): Promise<void> {
    this.#breaker.close();
    await this.#options.sink.close();
  }

  async #attempt(batch: Batch, outer: AbortSignal | undefined): Promise<Attempt> {
    const { sink, clock, timeout } = this.#options;
    const begun = clock.now();
    const deadline = new Deadline(clock, timeout, outer);
    let verdicts: Verdicts;
    try {
      const answer = await deadline.bound(sink.deliver(batch, deadline.signal));
      verdicts = answer === SILENT ? this.#unheard(deadline.stop) : checked(answer, batch.events.length);
    } catch (error) {
      const reason = reasonText(messageOf(error));
      verdicts = deadline.stop ? this.#unheard(deadline.stop) : { kind: 'unavailable', reason };
    } finally {
      deadline.cancel();
    }
    const outcome = deadline.stop === 'timeout' ? 'timeout' : outcomeOf(verdicts);
    this.#options.hooks?.onRequest?.({ sink: this.name, outcome, seconds: (clock.now() - begun) / 1000 });
    return { verdicts, available: deadline.stop === 'stopped' ? undefined : isAvailable(verdicts) };
  }

  #unheard(stop: Stop | undefined): Verdict {
    const reason = stop === 'stopped' ? 'was stopped' : `gave no answer within ${this.#options.timeout} ms`;
    return { kind: 'unavailable', reason: `${this.name} ${reason}`, slow: stop === 'timeout' };
  }
}

/** The signal of one attempt, and an end to waiting for a sink that does not hear it. */
class Deadline {
  stop: Stop | undefined;
  readonly #controller = new AbortController();
  readonly #outer: AbortSignal | undefined;
  readonly #clock: Clock;
  #timer;
  #giveUp: (silent: typeof SILENT) => void = () => {};

  constructor(clock: Clock, timeout: number, outer: AbortSignal | undefined) {
    this.#clock = clock;
    this.#outer = outer;
    this.#timer = clock.schedule(timeout, () => this.#abort('timeout'));
    outer?.addEventListener('abort', this.#stopped, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  bound(work: Promise<Verdicts>): Promise<Verdicts | typeof SILENT> {
    return new Promise((resolve, reject) => {
      this.#giveUp = resolve;
      work.then(resolve, reject);
    });
  }

  cancel(): void {
    this.#timer.cancel();
    this.#outer?.removeEventListener('abort', this.#stopped);
  }

  readonly #stopped = (): void => this.#abort('stopped');

  #abort(stop: Stop): void {
    if (this.stop) return;
    this.stop = stop;
    this.cancel();
    this.#timer = this.#clock.schedule(LAST_WORDS, () => this.#giveUp(SILENT));
    this.#controller.abort();
  }
}

function checked(verdicts: Verdicts, events: number): Verdicts {
  if (!isList(verdicts) || verdicts.length === events) return verdicts;
  return { kind: 'unavailable', reason: `the sink gave ${verdicts.length} verdicts for ${events} events` };
}

function outcomeOf(verdicts: Verdicts): RequestOutcome {
  if (!isList(verdicts)) return verdicts.kind;
  return verdicts.find(({ kind }) => kind !== 'delivered')?.kind ?? 'delivered';
}

function isAvailable(verdicts: Verdicts): boolean {
  if (!isList(verdicts)) return verdicts.kind !== 'unavailable';
  return verdicts.length === 0 || verdicts.some(({ kind }) => kind !== 'unavailable');
}

function isList(verdicts: Verdicts): verdicts is readonly Verdict[] {
  return Array.isArray(verdicts);
}
