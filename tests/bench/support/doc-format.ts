/** What the sections of docs/performance.md have in common. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { barChart } from './bar-chart.ts';
import { ROOT } from './report.ts';

/** A file of docs/evidence/bench. */
export interface Report {
  readonly benchmark: string;
  readonly at: string;
  readonly command: string;
  readonly commit: string;
  readonly machine: {
    readonly cpu: string;
    readonly cores: number;
    readonly memoryGiB: number;
    readonly system: string;
  };
  readonly versions: Readonly<Record<string, string>>;
  readonly settings: Readonly<Record<string, string | number>>;
  readonly derived: Readonly<Record<string, number>>;
  readonly medians: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly runs: readonly { readonly name: string; readonly load: number }[];
}

const CHARTS = join(ROOT, 'docs/performance');
export const whole = (value: number | undefined): string => Math.round(value ?? Number.NaN).toLocaleString('en');
export const short = (value: number | undefined, digits = 2): string => (value ?? Number.NaN).toFixed(digits);

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map((_, index) => (index === 0 ? '---' : '---:'))), ...rows.map(line)].join('\n');
}

export function chart(name: string, title: string, bars: readonly (readonly [string, number])[], unit: string): string {
  mkdirSync(CHARTS, { recursive: true });
  writeFileSync(join(CHARTS, `${name}.svg`), barChart({ title, unit, bars }));
  return `![${title}](performance/${name}.svg)`;
}

export function provenance({ command, machine, versions, at, commit, runs, settings }: Report): string {
  const loads = runs.map(({ load }) => load);
  const named = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return (
    `\`${command}\`, ${Number(settings['rounds']) > 1 ? `medians of ${settings['rounds']} interleaved rounds` : 'one run'}. ${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, ` +
    `${machine.system}; ${named.join(', ')}; commit ${commit}, ${at.slice(0, 10)}. Load average during the runs: ` +
    `${Math.min(...loads).toFixed(1)} to ${Math.max(...loads).toFixed(1)}.`
  );
}
