/** The sections on the time to each sink, and on the live channel. */
import { provenance, type Report, short, table, whole } from './doc-format.ts';

export function sinkLatency(report: Report): string {
  const { medians, settings } = report;
  const columns = ['adaptive', 'window 250 ms'].flatMap((mode) =>
    [1, Number(settings['middle'])].map((rate) => `${mode} @ ${rate}/s`),
  );
  const sinks = [...new Set(Object.keys(medians).map((name) => name.split(', ')[0] ?? ''))];
  const cell = (name: string): string => {
    const figures = medians[name];
    if (!figures) return '';
    return `${short(figures['p50Ms'], 1)} / ${short(figures['p99Ms'], 1)}${(figures['missing'] ?? 0) > 0 ? ' *' : ''}`;
  };
  return `## From commit to each sink

Milliseconds from the return of COMMIT until the destination has the event, median / 99th percentile, for events of twenty organizations that are committed one by one. The
destination is the service itself, or the stand-in of the tests for Slack, Resend and Realtime: the way to a service on the internet comes on top. It has the
event when a request or a mail is complete, when a reader of the channel, the stream, the queue or the topic gets it, and for \`postgres\` when a session that listens is told of
the committed row. Slack and Resend take about one message a second. The 99th percentile at one a second is the longest of ten. An asterisk marks figures for which some had not
arrived ten seconds after the last commit.

${table(
  ['sink', ...columns],
  sinks.map((sink) => [sink, ...columns.map((column) => cell(`${sink}, ${column}`))]),
)}

${provenance(report)}
`;
}

export function live(report: Report): string {
  const { medians, settings } = report;
  const of = (name: string): Readonly<Record<string, number>> =>
    Object.entries(medians).find(([each]) => each.includes(name))?.[1] ?? {};
  const [many, busy] = [of('streams'), of('readers')];
  return `## Live channel

${whole(Number(settings['readers']))} readers of one organization get ${whole(Number(settings['events']))} events each: **${whole(busy['messagesPerSecond'])} messages a second** until the last reader has the last one, ${short(busy['microsecondsOfCpu'])} µs of
processor time a message, ${whole(busy['peakMiB'])} MiB. The readers are on the same cores, in one process.

${whole(Number(settings['connections']))} streams of a thousand organizations: ${whole(many['streamsPerSecond'])} are opened a second, and the process holds ${whole(many['peakMiB'])} MiB; less than 300 is the aim.

${provenance(report)}
`;
}
