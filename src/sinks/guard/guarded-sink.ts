/**
 * A sink behind its timeout and its breaker: what the router hands batches to.
 *
 * Every outcome becomes a verdict. A sink has `timeout` for a batch, or for each of its requests (deadlines.ts). Then its signal aborts, and it has a moment to report
 * which events were delivered, because those need not be sent again. After that moment the guard stops waiting.
 *
 * The breaker counts a destination as unavailable when every verdict of the batch is `unavailable`. A destination that
 * accepted or refused a single event is available.
 */
import type { Clock } from '../../clock.ts';
import type { Config } from '../../config/schema.ts';
import { type Batch, BREAKER_OPEN, type Destination, type Sink, type Verdict, type Verdicts } from '../../pipeline.ts';
import { Deadlines, SILENT, type Stop } from './deadlines.ts';
import { type BreakerState, DestinationBreaker } from './destination-breaker.ts';
import type { RequestOutcome } from '../../observe/metrics.ts';
import type { DeliveryTraces } from '../../observe/tracing/delivery-traces.ts';
import { errorName } from '../answer/error-name.ts';

type Unavailable = Extract<Verdict, { kind: 'unavailable' }>;

/** Called for metrics and logs. They do not influence a delivery. */
export interface SinkHooks {
  /** One attempt has ended. The outcome is the first one that is not `delivered`. */
  onRequest?(request: { readonly sink: string; readonly outcome: RequestOutcome; readonly seconds: number }): void;
  /** The same, with the batch and all verdicts. */
  onAttempt?(attempt: {
    readonly sink: string;
    readonly batch: Batch;
    readonly verdicts: Verdicts;
    readonly milliseconds: number;
  }): void;
  /** `last`: the last answer that said the destination is unavailable. */
  onBreaker?(sink: string, state: BreakerState, last?: Unavailable): void;
}

export interface GuardedSinkOptions {
  readonly name: string;
  readonly sink: Sink;
  readonly concurrency: number;
  /** Milliseconds for one attempt. */
  readonly timeout: number;
  /** null: nothing that happens to one batch holds up another. */
  readonly breaker: Config['delivery']['breaker'] | null;
  readonly clock: Clock;
  readonly hooks?: SinkHooks;
  readonly traces?: DeliveryTraces | undefined;
}

interface Attempt {
  readonly verdicts: Verdicts;
  readonly available: boolean | undefined;
}

export class GuardedSink implements Destination {
  readonly name: string;
  readonly concurrency: number;
  private readonly options: GuardedSinkOptions;
  private readonly breaker: DestinationBreaker<Attempt> | undefined;
  private readonly deadlines: Deadlines;
  private lastUnavailable: Unavailable | undefined;

  constructor(options: GuardedSinkOptions) {
    const { name, breaker, clock, hooks } = options;
    this.name = name;
    this.concurrency = options.concurrency;
    this.options = options;
    this.deadlines = new Deadlines(clock, options.timeout);
    if (breaker === null) return;
    this.breaker = new DestinationBreaker({
      failureRate: breaker.failure_rate,
      minimumOrganizations: breaker.minimum_organizations,
      resetAfter: breaker.reset_after,
      clock,
      onState: (state) => hooks?.onBreaker?.(name, state, this.lastUnavailable),
    });
  }

  /** Null without a breaker. */
  get breakerState(): BreakerState | null {
    return this.breaker?.state ?? null;
  }

  get closedFor(): number {
    return this.breaker?.state === 'open' ? this.breaker.retryAfter : 0;
  }

  /** Never rejects: an exception, a timeout, an open breaker are `unavailable`. */
  async deliver(batch: Batch, signal?: AbortSignal): Promise<Verdicts> {
    if (signal?.aborted) return { kind: 'unavailable', reason: `${this.name} was stopped` };
    const { breaker } = this;
    try {
      if (breaker === undefined) return (await this.attempt(batch, signal)).verdicts;
      const attempt = await breaker.run(batch.organizationId, () => this.attempt(batch, signal));
      if (attempt) return attempt.verdicts;
    } catch (error) {
      return sinkThrew(error);
    }
    const reason = `the breaker of ${this.name} is ${breaker.state === 'open' ? 'open' : 'half open'}`;
    return { kind: 'unavailable', reason, code: BREAKER_OPEN, retryAfter: breaker.retryAfter };
  }

  async close(): Promise<void> {
    this.breaker?.close();
    await this.options.sink.close();
  }

  private async attempt(batch: Batch, outer: AbortSignal | undefined): Promise<Attempt> {
    const { sink, clock, traces } = this.options;
    const span = traces?.begin(this.name, batch);
    const sent = span ? { ...batch, traceparent: span.traceparent } : batch;
    const begun = clock.now();
    const deadline = this.deadlines.begin(outer);
    let verdicts: Verdicts;
    try {
      const answer = await deadline.bound(sink.deliver(sent, deadline.signal, deadline));
      verdicts = answer === SILENT ? this.unheard(deadline.stop) : checked(answer, batch.events.length);
      if (deadline.stop === 'timeout') verdicts = timedOut(verdicts);
    } catch (error) {
      verdicts = deadline.stop ? this.unheard(deadline.stop) : sinkThrew(error);
    } finally {
      this.deadlines.end(deadline);
    }
    this.lastUnavailable = unavailableOf(verdicts) ?? this.lastUnavailable;
    const outcome = deadline.stop === 'timeout' ? 'timeout' : outcomeOf(verdicts);
    span?.end(outcome);
    const { hooks } = this.options;
    const milliseconds = clock.now() - begun;
    hooks?.onRequest?.({ sink: this.name, outcome, seconds: milliseconds / 1000 });
    hooks?.onAttempt?.({ sink: this.name, batch, verdicts, milliseconds });
    return { verdicts, available: deadline.stop === 'stopped' ? undefined : isAvailable(verdicts) };
  }

  private unheard(stop: Stop | undefined): Verdict {
    const reason = stop === 'stopped' ? 'was stopped' : `gave no answer within ${this.options.timeout} ms`;
    const code = stop === 'timeout' ? 'TIMEOUT' : 'STOPPED';
    return { kind: 'unavailable', reason: `${this.name} ${reason}`, code, slow: stop === 'timeout' };
  }
}

/** The error's message is left out: it may contain a URL, a header or a payload. */
function sinkThrew(error: unknown): Verdict {
  const code = errorName(error);
  return { kind: 'unavailable', reason: `the sink failed with an error of its own (${code})`, code };
}

function checked(verdicts: Verdicts, events: number): Verdicts {
  if (!isList(verdicts) || verdicts.length === events) return verdicts;
  return { kind: 'unavailable', reason: `the sink gave ${verdicts.length} verdicts for ${events} events` };
}

/** A sink that stops at the signal says itself what it makes of that, and seldom that it took the whole timeout. */
function timedOut(verdicts: Verdicts): Verdicts {
  const mark = (verdict: Verdict): Verdict =>
    verdict.kind === 'unavailable' && verdict.unsent !== true ? { ...verdict, code: 'TIMEOUT', slow: true } : verdict;
  return isList(verdicts) ? verdicts.map(mark) : mark(verdicts);
}

function outcomeOf(verdicts: Verdicts): RequestOutcome {
  if (!isList(verdicts)) return verdicts.kind;
  return verdicts.find((verdict) => !isDelivered(verdict))?.kind ?? 'delivered';
}

/** An event that was not sent says nothing of the attempt. */
function isDelivered(verdict: Verdict): boolean {
  return verdict.kind === 'delivered' || isUnsent(verdict);
}

function isUnsent(verdict: Verdict): boolean {
  return verdict.kind === 'unavailable' && verdict.unsent === true;
}

/** Undefined when the destination was not asked at all. */
function isAvailable(verdicts: Verdicts): boolean | undefined {
  if (isList(verdicts) && verdicts.length > 0 && verdicts.every(isUnsent)) return undefined;
  if (!isList(verdicts)) return verdicts.kind !== 'unavailable';
  return verdicts.length === 0 || verdicts.some(({ kind }) => kind !== 'unavailable');
}

function unavailableOf(verdicts: Verdicts): Unavailable | undefined {
  const first = isList(verdicts) ? verdicts.find(({ kind }) => kind === 'unavailable') : verdicts;
  return first?.kind === 'unavailable' && first.unsent !== true ? first : undefined;
}

function isList(verdicts: Verdicts): verdicts is readonly Verdict[] {
  return Array.isArray(verdicts);
}
