/** What has become of the jobs that a guard was asked about. */
export interface GuardCounters {
  /** All of them. Each ends as one of `present`, `late`, `repaired`, `refused`, `dropped` and `failed`. */
  readonly checked: number;
  /** The state was there at the first look. */
  readonly present: number;
  /** It was not there at the first look: something in front of the worker may be wrong. */
  readonly missing: number;
  /** It came while the guard waited. */
  readonly late: number;
  readonly repaired: number;
  /** It stayed away, and the queue was told to try the job again. */
  readonly refused: number;
  readonly dropped: number;
  /** The check or the repair threw. */
  readonly failed: number;
}

export type GuardCounter = keyof GuardCounters;

export const NO_JOBS: GuardCounters = {
  checked: 0,
  present: 0,
  missing: 0,
  late: 0,
  repaired: 0,
  refused: 0,
  dropped: 0,
  failed: 0,
};

const HELP: Readonly<Record<GuardCounter, string>> = {
  checked: 'Jobs whose state was looked for.',
  present: 'Jobs whose state was there.',
  missing: 'Jobs whose state was not there at the first look.',
  late: 'Jobs whose state came while the guard waited.',
  repaired: 'Jobs whose state was repaired.',
  refused: 'Jobs without state that the queue is to try again.',
  dropped: 'Jobs without state that were dropped.',
  failed: 'Jobs whose check or repair failed.',
};

/** In the text format of Prometheus; append it to what the worker serves. */
export function countersText(guards: readonly { readonly name: string; readonly counters: GuardCounters }[]): string {
  const families = (Object.keys(HELP) as GuardCounter[]).map((counter) => {
    const metric = `walpost_guard_${counter}_total`;
    const samples = guards.map(({ name, counters }) => `${metric}{guard="${escaped(name)}"} ${counters[counter]}\n`);
    return `# HELP ${metric} ${HELP[counter]}\n# TYPE ${metric} counter\n${samples.join('')}`;
  });
  return families.join('');
}

function escaped(label: string): string {
  return label.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
