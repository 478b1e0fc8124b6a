/**
 * A histogram whose values are counted where they arise. prom-client looks up the labels of each value, and its bucket by the
 * text of a bound: some 7 % of the processor time where a batch holds little more than one event. Here a caller keeps the
 * series of its labels, and a value costs an addition. The text is that of the exposition format of Prometheus, 0.0.4.
 */
export interface HistogramOptions {
  readonly name: string;
  readonly help: string;
  /** Upper bounds, in seconds, ascending; the last bucket, without a bound, is added. */
  readonly buckets: readonly number[];
}

/** The values of one set of labels. */
export class Series {
  private readonly bounds: readonly number[];
  private readonly counts: number[];
  private sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = [...bounds, Number.POSITIVE_INFINITY].map(() => 0);
  }

  observe(seconds: number): void {
    if (!Number.isFinite(seconds)) throw new TypeError(`a histogram counts numbers, not ${seconds}`);
    let at = 0;
    while (seconds > (this.bounds[at] ?? Number.POSITIVE_INFINITY)) at += 1;
    this.counts[at] = (this.counts[at] ?? 0) + 1;
    this.sum += seconds;
  }

  /** @param labels as they stand between the braces */
  lines(name: string, labels: string): string[] {
    let upTo = 0;
    const buckets = this.counts.map((count, at) => {
      upTo += count;
      const bound = `le="${this.bounds[at] ?? '+Inf'}"`;
      return `${name}_bucket{${labels === '' ? bound : `${bound},${labels}`}} ${upTo}`;
    });
    const braces = labels === '' ? '' : `{${labels}}`;
    return [...buckets, `${name}_sum${braces} ${this.sum}`, `${name}_count${braces} ${upTo}`];
  }
}

export class Histogram {
  private readonly options: HistogramOptions;
  private readonly series = new Map<string, Series>();

  constructor(options: HistogramOptions) {
    this.options = options;
  }

  /** Whoever observes often keeps it. */
  of(labels: Readonly<Record<string, string>> = {}): Series {
    const key = Object.entries(labels)
      .map(([name, value]) => `${name}="${escaped(value)}"`)
      .join(',');
    let series = this.series.get(key);
    if (!series) this.series.set(key, (series = new Series(this.options.buckets)));
    return series;
  }

  text(): string {
    const { name, help } = this.options;
    const lines = [...this.series].flatMap(([labels, series]) => series.lines(name, labels));
    return [`# HELP ${name} ${help}`, `# TYPE ${name} histogram`, ...lines, ''].join('\n');
  }
}

function escaped(value: string): string {
  return value
    .replaceAll('\\', String.raw`\\`)
    .replaceAll('"', String.raw`\"`)
    .replaceAll('\n', String.raw`\n`);
}
