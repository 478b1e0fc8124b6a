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
import { Deadlines, SILENT, type Stop } from './deadlines.ts';
import { type BreakerState, DestinationBreaker } from './destination-breaker.ts';
import { reasonText } from './reason-text.ts';

export type RequestOutcome = Verdict['kind'] | 'timeout';

/** For watching only. */
export interface SinkHooks {
  /** A batch was with the sink for so long. The outcome is the first that is not `delivered`. */
  onRequest?(request: { readonly sink: string; readonly outcome: RequestOutcome; readonly seconds: number }): void;
  /** The same, with the batch and every answer; called once a batch. */
  onAttempt?(attempt: {
    readonly sink: string;
    readonly batch: Batch;
    readonly verdicts: Verdicts;
    readonly milliseconds: number;
  }): void;
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

export class GuardedSink implements Destination {
  readonly name: string;
  readonly concurrency: number;
  readonly #options: GuardedSinkOptions;
  readonly #breaker: DestinationBreaker<Attempt>;
  readonly #deadlines: Deadlines;

  constructor(options: GuardedSinkOptions) {
    const { name, breaker, clock, hooks } = options;
    this.name = name;
    this.concurrency = options.concurrency;
    this.#options = options;
    this.#deadlines = new Deadlines(clock, options.timeout);
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
    const { sink, clock } = this.#options;
    const begun = clock.now();
    const deadline = this.#deadlines.begin(outer);
    let verdicts: Verdicts;
    try {
      const answer = await deadline.bound(sink.deliver(batch, deadline.signal));
      verdicts = answer === SILENT ? this.#unheard(deadline.stop) : checked(answer, batch.events.length);
    } catch (error) {
      const reason = reasonText(messageOf(error));
      verdicts = deadline.stop ? this.#unheard(deadline.stop) : { kind: 'unavailable', reason };
    } finally {
      this.#deadlines.end(deadline);
    }
    const outcome = deadline.stop === 'timeout' ? 'timeout' : outcomeOf(verdicts);
    const { hooks } = this.#options;
    const milliseconds = clock.now() - begun;
    hooks?.onRequest?.({ sink: this.name, outcome, seconds: milliseconds / 1000 });
    hooks?.onAttempt?.({ sink: this.name, batch, verdicts, milliseconds });
    return { verdicts, available: deadline.stop === 'stopped' ? undefined : isAvailable(verdicts) };
  }

  #unheard(stop: Stop | undefined): Verdict {
    const reason = stop === 'stopped' ? 'was stopped' : `gave no answer within ${this.#options.timeout} ms`;
    return { kind: 'unavailable', reason: `${this.name} ${reason}`, slow: stop === 'timeout' };
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
