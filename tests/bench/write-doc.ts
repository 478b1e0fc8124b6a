/** Writes docs/performance.md and its charts from the figures in docs/evidence/bench: `npm run docs:performance`. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { format, resolveConfig } from 'prettier';
import { barChart } from './support/bar-chart.ts';
import { ROOT } from './support/report.ts';

interface Report {
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

const EVIDENCE = join(ROOT, 'docs/evidence/bench');
const CHARTS = join(ROOT, 'docs/performance');
const whole = (value: number | undefined): string => Math.round(value ?? Number.NaN).toLocaleString('en');
const short = (value: number | undefined, digits = 2): string => (value ?? Number.NaN).toFixed(digits);

function read(name: string): Report | undefined {
  const file = join(EVIDENCE, `${name}.json`);
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Report) : undefined;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map((_, index) => (index === 0 ? '---' : '---:'))), ...rows.map(line)].join('\n');
}

function chart(name: string, title: string, bars: readonly (readonly [string, number])[], unit: string): string {
  mkdirSync(CHARTS, { recursive: true });
  writeFileSync(join(CHARTS, `${name}.svg`), barChart({ title, unit, bars }));
  return `![${title}](performance/${name}.svg)`;
}

function provenance({ command, machine, versions, at, commit, runs, settings }: Report): string {
  const loads = runs.map(({ load }) => load);
  const named = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return (
    `\`${command}\`, ${settings['rounds']} interleaved rounds, medians. ${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, ` +
    `${machine.system}; ${named.join(', ')}; commit ${commit}, ${at.slice(0, 10)}. Load average during the runs: ` +
    `${Math.min(...loads).toFixed(1)} to ${Math.max(...loads).toFixed(1)}.`
  );
}

function drain(report: Report): string {
  const { medians, derived, settings } = report;
  const rows = Object.entries(medians).map(([name, { eventsPerSecond, peakMiB, cpuSeconds }]) => [
    name,
    whole(eventsPerSecond),
    Number.isNaN(peakMiB ?? Number.NaN) || peakMiB === null ? '' : whole(peakMiB),
    typeof cpuSeconds === 'number' ? short(cpuSeconds, 1) : '',
  ]);
  const bars = Object.entries(medians).map(([name, figures]): [string, number] => [
    name,
    figures['eventsPerSecond'] ?? 0,
  ]);
  const ratios = Object.entries(derived).map(([name, value]) => [name, short(value, value > 10 ? 0 : 2)]);
  return `## Draining a backlog

${whole(Number(settings['events']))} events of 430 bytes, ten a transaction, ${settings['organizations']} organizations, from the start of the walsender's session to the confirmation of
the last event in \`pg_replication_slots\`. \`raw socket\` is a bare client that speaks the protocol and throws the bytes away. On two busy cores that is
not the fastest way to read: it wakes up for each small write of the walsender, so \`patient\` is the same client reading once a millisecond. \`walpost discard\` is \`walpost run\` with routes, windows, visibility checks and confirmed positions, to a
sink that drops; \`unseen\` is the same without \`wait_visible\`. \`walpost webhook\` posts signed batches to a receiver on the same cores. The peers drain
${whole(Number(settings['peers']))} events to a handler that does nothing.

${table(['client', 'events/s', 'peak MiB', 'CPU s'], rows)}

${chart('drain', 'Draining a backlog, events a second', bars, 'events/s')}

Ratios, round by round:

${table(['of', 'ratio'], ratios)}

What limits: the walsender, which decodes on one core. To a webhook it is the two cores, which walsender, walpost and receiver share.

${provenance(report)}
`;
}

function latency(report: Report): string {
  const { medians, settings } = report;
  const rates = String(settings['rates']).split(',');
  const consumers = [...new Set(Object.keys(medians).map((name) => name.split(' @ ')[0] ?? ''))];
  const cell = (consumer: string, rate: string): string => {
    const figures = medians[`${consumer} @ ${rate}/s`];
    if (!figures) return '';
    const lost = (figures['missing'] ?? 0) > 0 ? ' *' : '';
    return `${short(figures['p50Ms'], 1)} / ${short(figures['p99Ms'], 1)}${lost}`;
  };
  const p50 = (consumer: string, rate: string): number => medians[`${consumer} @ ${rate}/s`]?.['p50Ms'] ?? Number.NaN;
  const ours = 'walpost, leading edge';
  const better = rates.flatMap((rate) =>
    consumers
      .filter((consumer) => !consumer.startsWith('walpost') && p50(consumer, rate) < p50(ours, rate))
      .map(
        (consumer) =>
          `${consumer} at ${rate}/s (${short(p50(consumer, rate), 1)} against ${short(p50(ours, rate), 1)} ms)`,
      ),
  );
  const bars = consumers.map((consumer): [string, number] => [consumer, p50(consumer, rates[0] ?? '1')]);
  return `## From commit to webhook

Milliseconds from the return of COMMIT to the arrival of the request, median / 99th percentile, for events that are committed one by one at
a steady rate; an asterisk where not every event had come five seconds after the last commit. The peers' handlers post to the same receiver.

${table(
  ['consumer', ...rates.map((rate) => `${whole(Number(rate))}/s`)],
  consumers.map((consumer) => [consumer, ...rates.map((rate) => cell(consumer, rate))]),
)}

${chart('latency', `Commit to webhook at ${rates[0]} event a second, median`, bars, 'ms')}

What limits: the window, by design. With the leading edge the first event of a quiet organization waits for a snapshot that sees its
transaction, which is one round trip to the server, and for the request.

Where a peer's median is lower than that of the leading edge: ${better.length === 0 ? 'nowhere' : better.join('; ')}.

${provenance(report)}
`;
}

function organizations(report: Report): string {
  const { medians, derived } = report;
  const rows = Object.entries(medians).map(([name, figures]) => [
    name,
    whole(figures['eventsPerSecond']),
    whole(figures['peakMiB']),
    short(figures['cpuSeconds'], 1),
  ]);
  const bars = Object.entries(medians).map(([name, figures]): [string, number] => [
    name,
    figures['eventsPerSecond'] ?? 0,
  ]);
  const ratios = Object.entries(derived).map(([name, value]) => [name, short(value)]);
  return `## Many organizations

${whole(Number(report.settings['events']))} events to discard. With 100,000 organizations a batch holds little more than one event, so what is done once a batch is done for
nearly every event.

${table(['', 'events/s', 'peak MiB', 'CPU s'], rows)}

${chart('organizations', 'Events a second by number of organizations', bars, 'events/s')}

${table(['of', 'ratio'], ratios)}

What limits: a lane, a window, a turn, an attempt and a verdict for each batch.

${provenance(report)}
`;
}

function idle(report: Report): string {
  const figures = Object.values(report.medians)[0] ?? {};
  return `## Idle

Over ${report.settings['seconds']} s in which nothing is committed: ${short(figures['cpuPercent'])} % of one core, ${whole(figures['statements'])} statements on the server, of which
${whole(figures['statementsOnOutbox'])} on the outbox, ${whole(figures['peakMiB'])} MiB. The statements are those of the leader's lease and of its chores; the outbox is never
polled.

${provenance(report)}
`;
}

const HEAD = `# Performance

Written by \`npm run docs:performance\` from [the figures](evidence/bench) of the benchmarks; every run is in there. The machine is shared and
small, so compare inside one table only: what is compared ran by turns in the same minutes. Settings of the server: \`fsync = off\`, which favours
whoever writes most, the peers.
`;

const BETTER = `## Where others are better

- \`pg_recvlogical\` needs a tenth of the memory, and is the right tool when the bytes are to go to a file.
- For one event now and then, LISTEN/NOTIFY with a SELECT is as quick and needs no slot. It loses its pace with the number of rows that wait, and an id order is
  not a commit order.
- graphile-worker and pg-boss are job queues: delays, priorities, schedules and a worker for each job. They need no \`wal_level = logical\` and run behind a
  pooler in some modes. walpost does none of that; it can feed them.
- pg-transactional-outbox calls a handler in your own process for each message, in a transaction if you like; walpost delivers over the network.
`;

const reports = {
  drain: read('drain'),
  latency: read('latency'),
  organizations: read('organizations'),
  idle: read('idle'),
};
const parts = [
  HEAD,
  reports.drain && drain(reports.drain),
  reports.latency && latency(reports.latency),
  reports.organizations && organizations(reports.organizations),
  reports.idle && idle(reports.idle),
  BETTER,
].filter((part) => part !== undefined);
const file = join(ROOT, 'docs/performance.md');
const options = { ...(await resolveConfig(file)), filepath: file };
writeFileSync(file, await format(parts.join('\n'), options));
console.log('written: docs/performance.md');
