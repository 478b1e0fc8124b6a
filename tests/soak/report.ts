import { availableParallelism, release, totalmem } from 'node:os';
import { VERSION } from '../../src/version.ts';
import type { Findings } from './gap-checker.ts';

export interface SoakOutcome {
  readonly command: string;
  readonly seed: number;
  readonly minutes: number;
  readonly drainSeconds: number;
  readonly drained: boolean;
  readonly faults: ReadonlyMap<string, number>;
  readonly writers: { events: number; transactions: number; rolledBack: number; long: number; inDoubt: number };
  readonly sinks: readonly { readonly name: string; readonly findings: Findings; readonly longestDelay: number }[];
  readonly deadLetters: readonly { readonly reason: string; readonly count: number }[];
  readonly parked: number;
  readonly starts: number;
  readonly ends: ReadonlyMap<string, number>;
  readonly postgres: string;
  readonly examples: readonly string[];
  readonly at: Date;
}

export function isClean({ sinks, deadLetters, parked, drained }: SoakOutcome): boolean {
  const clean = sinks.every(({ findings: f }) => f.lost + f.outOfOrder + f.phantoms === 0);
  return clean && drained && deadLetters.length === 0 && parked === 0;
}

export function reportText(outcome: SoakOutcome): string {
  const { writers, faults, sinks, deadLetters } = outcome;
  const count = (pattern: RegExp): number =>
    [...faults].reduce((sum, [name, n]) => (pattern.test(name) ? sum + n : sum), 0);
  const list = (entries: Iterable<readonly [string, number]>): string[] =>
    [...entries].toSorted(([a], [b]) => a.localeCompare(b)).map(([name, n]) => `| ${name} | ${n} |`);
  const ends = [...outcome.ends].map(([how, n]) => `${how}: ${n}`).join(', ') || 'none';
  return [
    '# Soak',
    '',
    `${isClean(outcome) ? 'Nothing was lost, and nothing was out of order.' : '**Something went wrong.**'} ` +
      `${count(/^SIGKILL/)} kills and ${count(/^server restart/)} server restarts in ${outcome.minutes} minutes.`,
    '',
    `- Command: \`${outcome.command}\``,
    `- Seed: ${outcome.seed}; ${outcome.at.toISOString()}`,
    `- walpost ${VERSION}, Postgres ${outcome.postgres}, Node ${process.version}, ${process.platform} ${release()}, ` +
      `${availableParallelism()} cores, ${Math.round(totalmem() / 1024 ** 3)} GB; the machine was shared`,
    `- Two processes of walpost, started ${outcome.starts} times; ends that were not kills: ${ends}`,
    `- After the faults had stopped, everything was delivered ${outcome.drained ? `in ${outcome.drainSeconds.toFixed(1)} s` : '**not in time**'}`,
    '- The server runs with fsync off: an immediate restart is a crash of the server, not of the machine',
    '',
    '## Written',
    '',
    '| | |',
    '| --- | ---: |',
    `| events committed | ${writers.events} |`,
    `| transactions committed | ${writers.transactions} |`,
    `| events rolled back | ${writers.rolledBack} |`,
    `| transactions held open for a while | ${writers.long} |`,
    `| commits without an answer, looked up afterwards | ${writers.inDoubt} |`,
    '',
    '## Received',
    '',
    '`hook` has the faults below; `mirror` has none of its own.',
    '',
    '| sink | delivered | lost | out of order | never committed | duplicates | longest delay |',
    '| --- | ---: | ---: | ---: | ---: | ---: | ---: |',
    ...sinks.map(
      ({ name, findings: f, longestDelay }) =>
        `| ${name} | ${f.delivered} | ${f.lost} | ${f.outOfOrder} | ${f.phantoms} | ${f.duplicates} | ${(longestDelay / 1000).toFixed(1)} s |`,
    ),
    '',
    `Dead letters: ${deadLetters.map(({ reason, count: n }) => `${reason}: ${n}`).join(', ') || '0'}. Still parked: ${outcome.parked}.`,
    '',
    '## Faults',
    '',
    '| fault | times |',
    '| --- | ---: |',
    ...list(faults),
    ...(outcome.examples.length > 0
      ? ['', '## What went wrong first', '', ...outcome.examples.map((line) => `- ${line}`)]
      : []),
    '',
  ].join('\n');
}
