/** Reads Prometheus' text format, strictly enough to judge it. */
export interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly samples: readonly Sample[];
}

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)",?/g;

export function parseExposition(text: string): Family[] {
  const families = new Map<string, { name: string; help: string; type: string; samples: Sample[] }>();
  const family = (name: string) => {
    const known = families.get(name) ?? { name, help: '', type: '', samples: [] };
    families.set(name, known);
    return known;
  };
  for (const line of text.split('\n')) {
    const [, keyword, name = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? [];
    if (keyword === 'HELP') family(name).help = rest;
    else if (keyword === 'TYPE') family(name).type = rest;
    else if (line !== '') family(familyOf(sampleOf(line).name, families)).samples.push(sampleOf(line));
  }
  return [...families.values()];
}

function sampleOf(line: string): Sample {
  const [, name, labels = '', value] = SAMPLE.exec(line) ?? [];
  if (name === undefined || value === undefined) throw new Error(`not a sample: ${line}`);
  const pairs = [...labels.matchAll(LABEL)].map((match): [string, string] => [match[1] ?? '', match[2] ?? '']);
  return { name, labels: Object.fromEntries(pairs), value: numberOf(value) };
}

function numberOf(text: string): number {
  if (text === '+Inf') return Infinity;
  if (text === '-Inf') return -Infinity;
  return /^nan$/i.test(text) ? NaN : Number(text);
}

function familyOf(name: string, known: ReadonlyMap<string, unknown>): string {
  const base = name.replace(/_(bucket|sum|count)$/, '');
  return known.has(base) && !known.has(name) ? base : name;
}

/** What `promtool check metrics` would say, and what this project adds: one line for each fault. */
export function lintFamilies(families: readonly Family[]): string[] {
  return families.flatMap(({ name, help, type, samples }) => {
    const faults: string[] = [];
    const labels = new Set(samples.flatMap((sample) => Object.keys(sample.labels)));
    if (help === '') faults.push('no HELP');
    if (type === '') faults.push('no TYPE');
    if (!/^walpost_[a-z][a-z0-9]*(_[a-z0-9]+)*$/.test(name)) faults.push('must be walpost_ and lower case words');
    if ((type === 'counter') !== name.endsWith('_total')) faults.push('_total is for counters, and for all of them');
    if (type === 'histogram' && !/_(seconds|bytes)$/.test(name)) faults.push('a histogram ends in its unit');
    if (/_(ms|milliseconds|minutes|hours|kb|kib|mb|mib|percent)(_|$)/.test(name)) faults.push('no base unit');
    if (/_(counter|gauge|histogram)(_|$)/.test(name)) faults.push('its type is in its name');
    for (const label of labels) if (/org|tenant/.test(label)) faults.push('an organization is a label');
    if (type !== 'histogram' && labels.has('le')) faults.push('le is for histograms');
    return faults.map((fault) => `${name}: ${fault}`);
  });
}
