/** The section on sinks of queues and brokers. */
import { provenance, type Report, short, table, whole } from './doc-format.ts';
import { ASKED, BESIDE_READER, CLIENT, LIMIT, OF_BOTH, OF_LOWER, PEAK, WALPOST } from './sink-ratios.ts';

export function sinks(report: Report): string {
  const { medians, derived, settings } = report;
  const names = Object.keys(medians).flatMap((name) => (name.startsWith(CLIENT) ? [name.slice(CLIENT.length)] : []));
  const withReader = (name: string): number | undefined => medians[BESIDE_READER + name]?.['eventsPerSecond'];
  const hasReader = names.some((name) => withReader(name) !== undefined); // older figures have none
  const rows = names.map((name) => {
    const own = medians[WALPOST + name];
    const client = medians[CLIENT + name];
    return [
      name,
      whole(own?.['eventsPerSecond']),
      whole(client?.['eventsPerSecond']),
      short(derived[name + OF_LOWER]),
      ...(hasReader ? [whole(withReader(name)), short(derived[name + OF_BOTH])] : []),
      whole(derived[name + PEAK]),
    ];
  });
  const heads = hasReader ? ['with a reader', 'share of that'] : [];
  const reader = `
\`with a reader\` is the loop while a bare reader drains the same backlog on the same two cores, until both are done
([decision 53](decisions/0053-sinks-are-measured-beside-a-reader-too.md)). The second share compares walpost with that. walpost runs
as the container starts it.`;
  return `## Queues, brokers and an inbox

${whole(Number(settings['events']))} events of ${settings['organizations']} organizations through \`walpost run\` into one sink with its default options, beside a loop of the sink's own client. The loop
has its messages ready, sends the same ones in batches as large, and as many of them in flight, to the same server. It reads nothing, whereas walpost shares the two
cores with the walsender. \`share\` compares walpost with the slower of the loop and of walpost with a sink that discards (${whole(medians[LIMIT]?.['eventsPerSecond'])} events/s here), round by round; ${ASKED.ofLimit} is the aim.${hasReader ? reader : ''}
\`peak MB\` is the largest of all rounds; the aim is less than ${ASKED.peakMB}. The servers keep everything in memory; Kafka's is librdkafka's mock cluster.

${table(['sink', 'walpost events/s', 'its client events/s', 'share', ...heads, 'peak MB'], rows)}

${provenance(report)}
`;
}
