/**
 * What a scrape costs with many organizations: `npm run bench:scrape [-- --organizations 100000 --scrapes 20]`. Each of them
 * has an event in Postgres, since their sink is away.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { closedPort } from '../support/webhook-receiver.ts';
import { poll } from '../support/slot-session.ts';
import { benchOptions } from './support/options.ts';
import { makeSlots, startBenchServer, writeBacklog } from './support/server.ts';
import { WalpostProcess } from './support/walpost-process.ts';

const options = benchOptions({ organizations: 100_000, scrapes: 20 });
const LIMIT_MS = 240_000;

await using server = await startBenchServer();
await makeSlots(server.client, ['bench']);
await writeBacklog(server.client, {
  events: options.organizations,
  organizations: options.organizations,
  perTransaction: 10,
});
const port = await closedPort();
await using walpost = new WalpostProcess({
  url: server.url,
  slot: 'bench',
  sink: { type: 'webhook', url: `http://127.0.0.1:${await closedPort()}/`, allow_private: true, concurrency: 64 },
  config: { http: { port }, delivery: { park_after: '1s' } },
});

async function scrape(): Promise<{ readonly text: string; readonly milliseconds: number }> {
  const begun = performance.now();
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  return { text, milliseconds: performance.now() - begun };
}

const parked = async (): Promise<number> => {
  const { text } = await scrape().catch(() => ({ text: '' }));
  return Number(/^walpost_parked_events\{sink="out"\} (\d+)$/m.exec(text)?.[1] ?? 0);
};
await poll('all are parked', async () => ((await parked()) >= options.organizations ? true : undefined), LIMIT_MS);

const times: number[] = [];
let bytes = 0;
for (let n = 0; n < options.scrapes; n++) {
  await delay(1_000); // Prometheus does not ask oftener
  const { text, milliseconds } = await scrape();
  times.push(milliseconds);
  bytes = text.length;
}
times.sort((one, other) => one - other);
const at = (share: number): string => (times[Math.floor(share * (times.length - 1))] ?? NaN).toFixed(1);
console.log({ ...options, bytes, medianMs: at(0.5), p95Ms: at(0.95) });
await walpost.stop();
