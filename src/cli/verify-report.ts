/** What became of the canaries of `walpost verify`. */

/** One canary as it arrived somewhere, in the order of arrival. */
export interface CanaryArrival {
  readonly number: number;
  /** Milliseconds since it was sent, by the clock of the server. */
  readonly latency: number;
}

export interface Latency {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

export interface ArrivalReport {
  readonly arrived: number;
  /** Numbers that did not come. */
  readonly gaps: readonly number[];
  /** Numbers that first came after a larger one. */
  readonly reordered: readonly number[];
  /** Arrivals of a number that had come before: delivery is at least once, so these are no fault. */
  readonly duplicates: number;
  /** Of first arrivals, in milliseconds; null when nothing came. */
  readonly latency: Latency | null;
}

export function judgeArrivals(sent: number, arrivals: readonly CanaryArrival[]): ArrivalReport {
  const first = new Map<number, number>();
  const reordered: number[] = [];
  let largest = 0;
  for (const { number, latency } of arrivals) {
    if (first.has(number)) continue;
    first.set(number, latency);
    if (number < largest) reordered.push(number);
    else largest = number;
  }
  const numbers = Array.from({ length: sent }, (_, index) => index + 1);
  return {
    arrived: first.size,
    gaps: numbers.filter((number) => !first.has(number)),
    reordered,
    duplicates: arrivals.length - first.size,
    latency: latencyOf([...first.values()]),
  };
}

export function isSound({ gaps, reordered }: ArrivalReport): boolean {
  return gaps.length === 0 && reordered.length === 0;
}

function latencyOf(values: readonly number[]): Latency | null {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? 0;
  return sorted.length === 0 ? null : { p50: at(0.5), p99: at(0.99), max: at(1) };
}

const MOST_NAMED = 10;

/** `98 of 100; missing 4, 17; in order; p50 9 ms, p99 31 ms, max 40 ms` */
export function arrivalText(sent: number, report: ArrivalReport): string {
  const { arrived, gaps, reordered, duplicates, latency } = report;
  const parts = [`${arrived} of ${sent}`, gaps.length === 0 ? 'no gaps' : `missing ${named(gaps)}`];
  if (arrived > 0) parts.push(reordered.length === 0 ? 'in order' : `out of order ${named(reordered)}`);
  if (duplicates > 0) parts.push(`${duplicates} came again`);
  if (latency) parts.push(`p50 ${ms(latency.p50)}, p99 ${ms(latency.p99)}, max ${ms(latency.max)}`);
  return parts.join('; ');
}

function named(numbers: readonly number[]): string {
  const shown = numbers.slice(0, MOST_NAMED).join(', ');
  return numbers.length > MOST_NAMED ? `${shown} and ${numbers.length - MOST_NAMED} more` : shown;
}

function ms(value: number): string {
  return `${Math.round(value)} ms`;
}
