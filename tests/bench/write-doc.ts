/** Writes docs/performance.md and its charts from the figures in docs/evidence/bench: `npm run docs:performance`. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { format, resolveConfig } from 'prettier';
import { live, sinkLatency } from './support/doc-arrival.ts';
import { idle, isolation, memory, publish, views } from './support/doc-costs.ts';
import { endpointMemory, endpoints } from './support/doc-endpoints.ts';
import type { Report } from './support/doc-format.ts';
import { sinks } from './support/doc-sinks.ts';
import { drain, latency, organizations, requests } from './support/doc-speed.ts';
import { ROOT } from './support/report.ts';

const HEAD = `# Performance

\`npm run docs:performance\` writes this page from [the figures](evidence/bench) of the benchmarks, which contain every run. The machine is
small and shared, so compare figures within one table only: the candidates of a table ran in turn, within the same minutes. The server runs with
\`fsync = off\`, which favours the candidates that write most, the peers.
`;

const BETTER = `## Where others are better

- \`pg_recvlogical\` needs a tenth of the memory, and is the right tool to write the bytes to a file.
- For an occasional event, LISTEN/NOTIFY with a SELECT is as fast and needs no slot. It slows down as the number of waiting rows grows, and the order of
  ids is not the commit order.
- graphile-worker and pg-boss are job queues: delays, priorities, schedules and a worker for each job. They need no \`wal_level = logical\` and run behind a
  pooler in some modes. walpost does none of that, but it can feed them.
- pg-transactional-outbox calls a handler in your own process for each message, in a transaction if you like; walpost delivers over the network.
`;

/** In the order of the page; a benchmark whose figures are not there is left out. */
const SECTIONS: Readonly<Record<string, (report: Report) => string>> = {
  drain,
  latency,
  'sink-latency': sinkLatency,
  requests,
  organizations,
  sinks,
  live,
  isolation,
  endpoints,
  memory,
  'endpoint-memory': endpointMemory,
  idle,
  publish,
  views,
};

const parts = Object.entries(SECTIONS).flatMap(([name, section]) => {
  const file = join(ROOT, 'docs/evidence/bench', `${name}.json`);
  return existsSync(file) ? section(JSON.parse(readFileSync(file, 'utf8')) as Report) : [];
});
const page = join(ROOT, 'docs/performance.md');
const options = { ...(await resolveConfig(page)), filepath: page };
writeFileSync(page, await format([HEAD, ...parts, BETTER].join('\n'), options));
console.log('written: docs/performance.md');
