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

  /** Milliseconds until the organization may send an event, as far as its own rate goes. */
  organizationWait(organizationId: string): number {
    return waitFor(this.rates.organization, (this.fullAt.get(organizationId) ?? 0) - this.now());
  }

  /** Events that the organization may send now. */
  allowed(organizationId: string): number {
    const now = this.now();
    const own = tokens(this.rates.organization, (this.fullAt.get(organizationId) ?? 0) - now);
    return Math.min(own, tokens(this.rates.sink, this.sinkFullAt - now));
  }

  spend(organizationId: string, count: number): void {
    const { sink, organization } = this.rates;
    const now = this.now();
    if (sink !== undefined) this.sinkFullAt = Math.max(this.sinkFullAt, now) + (count * 1000) / sink;
    if (organization === undefined) return;
    this.fullAt.set(
      organizationId,
      Math.max(this.fullAt.get(organizationId) ?? 0, now) + (count * 1000) / organization,
    );
    if (this.fullAt.size > this.sweepAt) this.sweep(now);
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
