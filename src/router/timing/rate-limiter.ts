import { OWN_LANE } from '../../pipeline.ts';

/**
 * How many events may leave now, for a sink as a whole and for each organization: token buckets that hold one second's
 * worth, at least one event.
 *
 * A bucket is one number, the moment at which it is full again: sending moves it on, time catches up with it. One that
 * is full is as good as none, so only organizations that have sent lately are remembered.
 */
export interface Rates {
  /** Events a second; undefined is no limit. */
  readonly sink: number | undefined;
  readonly organization: number | undefined;
  /** Of a lane by its name. */
  readonly lane?: ((name: string) => number | undefined) | undefined;
}

const SWEEP_ABOVE = 1_000;
/** Sums of fractions may miss a whole number by a hair. */
const HAIR = 1e-6;

export class RateLimiter {
  private readonly rates: Rates;
  private readonly now: () => number;
  private sinkFullAt = 0;
  private readonly fullAt = new Map<string, number>();
  private sweepAt = SWEEP_ABOVE;

  /** `now` in milliseconds. */
  constructor(rates: Rates, now: () => number) {
    this.rates = rates;
    this.now = now;
  }

  /** Milliseconds until the sink may take an event of anyone. */
  get sinkWait(): number {
    return waitFor(this.rates.sink, this.sinkFullAt - this.now());
  }

  /** Milliseconds until a lane of the organization may send an event, as far as the rates of both go. */
  laneWait(organizationId: string, lane: string = OWN_LANE): number {
    const wait = waitFor(this.rates.organization, this.missing(organizationId));
    const rate = this.rateOf(lane);
    return rate === undefined ? wait : Math.max(wait, waitFor(rate, this.missing(lane)));
  }

  /** Events that the lane may send now. */
  allowed(organizationId: string, lane: string = OWN_LANE): number {
    const { sink, organization } = this.rates;
    const own = tokens(organization, this.missing(organizationId));
    const shared = Math.min(own, tokens(sink, this.sinkFullAt - this.now()));
    const rate = this.rateOf(lane);
    return rate === undefined ? shared : Math.min(shared, tokens(rate, this.missing(lane)));
  }

  spend(organizationId: string, count: number, lane: string = OWN_LANE): void {
    const { sink, organization } = this.rates;
    const now = this.now();
    if (sink !== undefined) this.sinkFullAt = Math.max(this.sinkFullAt, now) + (count * 1000) / sink;
    this.spendOf(organizationId, organization, count);
    this.spendOf(lane, this.rateOf(lane), count);
    if (this.fullAt.size > this.sweepAt) this.sweep(now);
  }

  private rateOf(lane: string): number | undefined {
    return lane === OWN_LANE ? undefined : this.rates.lane?.(lane);
  }

  /** The time until the bucket is full. Ids of organizations and of their endpoints are uuids, so one map has both. */
  private missing(key: string): number {
    return (this.fullAt.get(key) ?? 0) - this.now();
  }

  private spendOf(key: string, rate: number | undefined, count: number): void {
    if (rate === undefined) return;
    this.fullAt.set(key, Math.max(this.fullAt.get(key) ?? 0, this.now()) + (count * 1000) / rate);
  }

  /** Organizations that are remembered. */
  get size(): number {
    return this.fullAt.size;
  }

  private sweep(now: number): void {
    for (const [organizationId, fullAt] of this.fullAt) if (fullAt <= now) this.fullAt.delete(organizationId);
    this.sweepAt = Math.max(SWEEP_ABOVE, this.fullAt.size * 2);
  }
}

/** `missing` is the time until the bucket is full. */
function tokens(rate: number | undefined, missing: number): number {
  if (rate === undefined) return Infinity;
  return Math.floor(Math.max(1, rate) - (Math.max(0, missing) * rate) / 1000 + HAIR);
}

function waitFor(rate: number | undefined, missing: number): number {
  if (rate === undefined || tokens(rate, missing) >= 1) return 0;
  return missing - ((Math.max(1, rate) - 1) * 1000) / rate;
}
