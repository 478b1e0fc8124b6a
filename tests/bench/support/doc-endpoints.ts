/** The sections on customers' endpoints. */
import { provenance, type Report, short, table, whole } from './doc-format.ts';

export function endpoints(report: Report): string {
  const { medians, derived, settings } = report;
  const rows = Object.entries(medians).map(([name, figures]) => [
    name,
    whole(figures['p50']),
    whole(figures['p99']),
    whole(figures['max']),
    whole(figures['cpuPercent']),
  ]);
  return `## Endpoints of customers that hang

${whole(Number(settings['endpoints']))} endpoints of ${whole(Number(settings['customers']))} customers, ${settings['rate']} events a second, each for five endpoints, with the default window and a \`concurrency\` of ${settings['concurrency']}. In every other phase of ${settings['seconds']} s one
endpoint in twenty accepts and never answers, all of them from the same moment on (\`park_after\` 5 s, \`timeout\` 5 s). The table has the milliseconds from commit to arrival at all other endpoints.

${table(['', 'p50', 'p99', 'max', 'CPU %'], rows)}

The 99th percentile with those that hang is ${short(derived['p99_ratio'])} times the one without them, compared phase by phase; at most 1.2 is the aim.

${provenance(report)}
`;
}

export function endpointMemory(report: Report): string {
  const { medians, derived, settings } = report;
  const lanes = whole(Number(settings['lanes']));
  const names: Readonly<Record<string, string>> = {
    idle: 'nothing to do',
    organizations: `${lanes} organizations`,
    endpoints: `${lanes} endpoints of ${whole(Number(settings['lanes']) / Number(settings['each']))} customers`,
  };
  const states = ['restMB', 'waitingMB', 'failingMB', 'peakMB'];
  const heads = ['at rest', 'waiting', 'failing', 'peak'];
  const cell = (value: number | undefined): string => (Number.isFinite(value ?? Number.NaN) ? whole(value) : '');
  const rows = Object.entries(medians).map(([name, figures]) => [
    names[name] ?? name,
    ...states.map((state) => cell(figures[state])),
  ]);
  const ratios = ['endpoints / organizations', ...states.map((state) => short(derived[`${state}_ratio`]))];
  return `## Memory of endpoints

What is alive after a collection of garbage, in MB: at rest, while an event waits in the window of each lane, and while each lane has a parked event and its
requests are answered 503. The last column is the largest resident size of the process. ${aimText(states.map((state, n) => [heads[n] ?? state, derived[`${state}_ratio`] ?? Number.NaN]))} At rest
nothing is held of an organization, and of an endpoint its URL, types, headers and secrets.

${table(['', ...heads], [...rows, ratios])}

${provenance(report)}
`;
}

const AIM = 1.3;

/** What misses the aim is named. */
function aimText(ratios: readonly (readonly [state: string, ratio: number])[]): string {
  const missed = ratios.filter(([, ratio]) => ratio > AIM).map(([state, ratio]) => `${state} (${short(ratio)})`);
  return `At most ${AIM} is the aim${missed.length > 0 ? `, which is missed: ${missed.join(', ')}` : ''}.`;
}
