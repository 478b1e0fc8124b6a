const GROWTH = 1.02;
const LOG_GROWTH = Math.log(GROWTH);
const SMALLEST_MS = 0.1;
/** Up to about ten minutes. */
const BUCKETS = 800;

/** Durations in buckets that grow by 2 percent, so that any quantile is right within 2 percent at a fixed size. */
export class LatencyHistogram {
  private readonly counts = new Float64Array(BUCKETS);
  private recorded = 0;

  get total(): number {
    return this.recorded;
  }

  record(ms: number): void {
    const bucket = Math.ceil(Math.log(Math.max(ms, SMALLEST_MS) / SMALLEST_MS) / LOG_GROWTH);
    const index = Math.min(bucket, BUCKETS - 1);
    this.counts[index] = (this.counts[index] ?? 0) + 1;
    this.recorded += 1;
  }

  add(other: LatencyHistogram): void {
    other.counts.forEach((count, index) => (this.counts[index] = (this.counts[index] ?? 0) + count));
    this.recorded += other.recorded;
  }

  /** Milliseconds that a share of all durations does not exceed; undefined when there are none. */
  quantile(share: number): number | undefined {
    if (this.recorded === 0) return undefined;
    const wanted = Math.max(1, Math.ceil(share * this.recorded));
    let passed = 0;
    for (const [index, count] of this.counts.entries()) {
      passed += count;
      if (passed >= wanted) return SMALLEST_MS * GROWTH ** index;
    }
    return undefined;
  }
}
