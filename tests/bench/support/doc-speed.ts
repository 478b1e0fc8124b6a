/** The sections on speed. */
import { chart, provenance, type Report, short, table, whole } from './doc-format.ts';

export function drain(report: Report): string {
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
the last event in \`pg_replication_slots\`. \`raw socket\` is a bare client that speaks the protocol and discards the bytes. On two busy cores it is
not the fastest reader, because it wakes up for each small write of the walsender. \`patient\` is the same client, but reads once a millisecond.
\`walpost discard\` is \`walpost run\` with routes, windows, visibility checks and confirmed positions, and a sink that discards; \`unseen\` is the
same without \`wait_visible\`. \`walpost webhook\` posts signed batches to a receiver on the same cores. The peers drain
${whole(Number(settings['peers']))} events to a handler that does nothing.

${table(['client', 'events/s', 'peak MiB', 'CPU s'], rows)}

${chart('drain', 'Draining a backlog, events a second', bars, 'events/s')}

Ratios, round by round:

${table(['of', 'ratio'], ratios)}

The bottleneck is the walsender, which decodes on one core. With a webhook it is the two cores, which walsender, walpost and receiver share.

${provenance(report)}
`;
}

export function latency(report: Report): string {
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
  const ours = consumers.find((consumer) => consumer === 'walpost, adaptive') ?? 'walpost, leading edge';
  const warmUp = Number(settings['warmup'] ?? 0);
  const warmed =
    warmUp === 0
      ? 'Each consumer has just been started, so the first second of its run is that of code which is not compiled yet.'
      : `Each consumer has had ${whole(warmUp)} events before those that are measured, at 500/s: a process that has just begun runs code that is not compiled yet.`;
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
a steady rate. An asterisk marks figures for which some events had not arrived five seconds after the last commit. The peers' handlers post to the same receiver.
${warmed}

${table(
  ['consumer', ...rates.map((rate) => `${whole(Number(rate))}/s`)],
  consumers.map((consumer) => [consumer, ...rates.map((rate) => cell(consumer, rate))]),
)}

${chart('latency', `Commit to webhook at ${rates[0]} event a second, median`, bars, 'ms')}

The window sets the latency, by design. With \`mode: adaptive\` or the leading edge, the first event of a quiet organization waits for a snapshot that sees its
transaction, which takes one round trip to the server, and for the request.

The median of a peer is lower than that of \`${ours}\` in these cases: ${better.length === 0 ? 'none' : better.join('; ')}.

${provenance(report)}
`;
}

export function requests(report: Report): string {
  const { medians, derived, settings } = report;
  const rows = Object.entries(medians).map(([name, figures]) => [
    name,
    whole(figures['requestsPerSecond']),
    whole(figures['cpuMicros']),
  ]);
  const ratios = Object.entries(derived).map(([name, value]) => [name, short(value)]);
  const signing = medians['undici, request, signing']
    ? ' `request, signing` makes body, id\nand signature for each request, as whoever sends such a webhook has to. walpost aims at 0.7 of it.'
    : '';
  return `## One request for each event

${whole(Number(settings['requests']))} signed requests with one event each (\`batch: false\`), ${settings['concurrency']} in flight, to a receiver on the same cores. \`walpost\` drains a backlog, so the
walsender and the start of the process are part of it. \`its sink alone\` makes, signs and posts the same requests without a database. The loops of
undici have bodies and signatures ready: \`request\` is what programs use, \`dispatch\` the least that undici can do.${signing}

${table(['sender', 'requests/s', 'CPU µs a request'], rows)}

Ratios of requests/s, round by round:

${table(['of', 'ratio'], ratios)}

${provenance(report)}
`;
}

export function organizations(report: Report): string {
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

${whole(Number(report.settings['events']))} events to discard. With 100,000 organizations a batch holds little more than one event, so the work for each batch is done for
nearly every event.

${table(['', 'events/s', 'peak MiB', 'CPU s'], rows)}

${chart('organizations', 'Events a second by number of organizations', bars, 'events/s')}

${table(['of', 'ratio'], ratios)}

The bottleneck is the work for each batch: a lane, a window, a turn, an attempt and a verdict.

${provenance(report)}
`;
}
