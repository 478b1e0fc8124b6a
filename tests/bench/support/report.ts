/** The rounds of a benchmark, and the file in which they are kept. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, totalmem } from 'node:os';
import { dirname, join } from 'node:path';

/** The checkout, from the sources as from the build in dist/. */
export const ROOT = packageRoot(import.meta.dirname);

function packageRoot(directory: string): string {
  return existsSync(join(directory, 'package.json')) ? directory : packageRoot(dirname(directory));
}

const EVIDENCE = join(ROOT, 'docs/evidence/bench');

export type Figures = Readonly<Record<string, number | null>>;

export interface Contestant {
  readonly name: string;
  run(round: number): Promise<Figures>;
}

export interface RunRecord {
  readonly round: number;
  readonly name: string;
  readonly figures: Figures;
  /** Load average of the last minute when the run began. */
  readonly load: number;
}

/** Runs them all in each round, beginning with another one each time, so that what drifts hits all of them. */
export async function interleave(contestants: readonly Contestant[], rounds: number): Promise<RunRecord[]> {
  const records: RunRecord[] = [];
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < contestants.length; turn++) {
      const contestant = contestants[(turn + round) % contestants.length];
      if (!contestant) continue;
      const load = loadavg()[0] ?? 0;
      const figures = await contestant.run(round);
      records.push({ round, name: contestant.name, figures, load: Number(load.toFixed(2)) });
      const shown = Object.entries(figures).map(
        ([key, value]) => `${key} ${value === null ? '-' : Number(value.toFixed(2))}`,
      );
      console.log(
        `round ${round + 1}/${rounds}  ${contestant.name.padEnd(34)} ${shown.join('  ')}  (load ${load.toFixed(1)})`,
      );
    }
  }
  return records;
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  if (sorted.length === 0) return Number.NaN;
  const at = (sorted.length - 1) * q;
  const [below, above] = [sorted[Math.floor(at)] ?? 0, sorted[Math.ceil(at)] ?? 0];
  return below + (above - below) * (at - Math.floor(at));
}

/** Of each contestant: the median of each figure, over the runs that have it. */
export function medians(records: readonly RunRecord[]): Record<string, Record<string, number>> {
  const result: Record<string, Record<string, number>> = {};
  for (const name of new Set(records.map((record) => record.name))) {
    const own = records.filter((record) => record.name === name);
    const keys = new Set(own.flatMap((record) => Object.keys(record.figures)));
    result[name] = Object.fromEntries(
      [...keys].map((key) => [key, median(own.flatMap(({ figures }) => figures[key] ?? []))]),
    );
  }
  return result;
}

/** The median over the rounds of `name`'s figure divided by `base`'s of the same round. */
export function ratio(records: readonly RunRecord[], key: string, [name, base]: readonly [string, string]): number {
  const of = (who: string, round: number): number | null | undefined =>
    records.find((record) => record.name === who && record.round === round)?.figures[key];
  const rounds = [...new Set(records.map(({ round }) => round))];
  return median(
    rounds.flatMap((round) => {
      const [a, b] = [of(name, round), of(base, round)];
      return typeof a === 'number' && typeof b === 'number' && b > 0 ? [a / b] : [];
    }),
  );
}

export function printTable(records: readonly RunRecord[]): void {
  const table = Object.entries(medians(records)).map(([name, figures]) => [
    name,
    Object.fromEntries(Object.entries(figures).map(([key, value]) => [key, Number(value.toFixed(3))])),
  ]);
  console.table(Object.fromEntries(table));
}

export interface Report {
  readonly name: string;
  readonly settings: Readonly<Record<string, unknown>>;
  readonly versions: Readonly<Record<string, string>>;
  readonly records: readonly RunRecord[];
  /** Figures over several contestants, such as ratios. */
  readonly derived: Readonly<Record<string, number>>;
}

export function writeReport(report: Report): void {
  const { name, settings, versions, records, derived } = report;
  const content = {
    benchmark: name,
    at: new Date().toISOString(),
    command: ['npm', 'run', `bench:${name}`, ...(process.argv.length > 2 ? ['--', ...process.argv.slice(2)] : [])].join(
      ' ',
    ),
    commit: git('rev-parse', '--short', 'HEAD'),
    machine: {
      cpu: cpus()[0]?.model ?? '',
      cores: cpus().length,
      memoryGiB: Math.round(totalmem() / 2 ** 30),
      system: system(),
    },
    versions: { walpost: packageVersion(), node: process.version, ...versions },
    settings,
    derived,
    medians: medians(records),
    runs: records,
  };
  mkdirSync(EVIDENCE, { recursive: true });
  const file = join(EVIDENCE, `${name}.json`);
  writeFileSync(file, `${JSON.stringify(content, null, 2)}\n`);
  console.log(`written: docs/evidence/bench/${name}.json`);
}

function packageVersion(): string {
  return (JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }).version;
}

function git(...args: string[]): string {
  try {
    return execFileSync('git', args, { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return 'unknown';
  }
}

function system(): string {
  try {
    const pretty = /^PRETTY_NAME="(.*)"/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1];
    return pretty ?? process.platform;
  } catch {
    return process.platform;
  }
}
