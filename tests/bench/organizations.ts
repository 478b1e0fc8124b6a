/**
 * What many organizations cost: `npm run bench:organizations [-- --events 300000 --rounds 5]`. The same number of events
 * to discard, of 10 up to 100,000 organizations; with 100,000 nearly every batch holds one event.
 */
import { benchOptions } from './support/options.ts';
import { type Contestant, interleave, printTable, ratio, writeReport } from './support/report.ts';
import { type BenchServer, dropSlot, makeSlots, startBenchServer, writeBacklog } from './support/server.ts';
import { untilDrained } from './support/slot-watch.ts';
import { WalpostProcess } from './support/walpost-process.ts';

const options = benchOptions({
  events: 300_000,
  rounds: 5,
  counts: '10,100,1000,10000,100000',
  main: '',
  save: 'organizations',
});
const LIMIT_MS = 300_000;
const nameOf = (count: number): string => `${count.toLocaleString('en')} organizations`;

const servers: BenchServer[] = [];
const versions: Record<string, string> = {};

/** A server for each, since a slot reads the write-ahead log of the whole server. */
async function contestant(count: number): Promise<Contestant> {
  const server = await startBenchServer();
  servers.push(server);
  versions['postgres'] = server.version;
  await makeSlots(
    server.client,
    Array.from({ length: options.rounds }, (_, round) => `bench_${round}`),
  );
  console.log(`writing ${options.events} events of ${nameOf(count)}`);
  const written = await writeBacklog(server.client, {
    events: options.events,
    organizations: count,
    perTransaction: 10,
  });
  return {
    name: nameOf(count),
    async run(round) {
      const slot = `bench_${round}`;
      const main = options.main === '' ? {} : { main: options.main };
      await using walpost = new WalpostProcess({ url: server.url, slot, sink: { type: 'discard' }, ...main });
      const watch = { slot, target: written.beyond, limitMs: LIMIT_MS, ended: walpost.ended };
      const { seconds } = await untilDrained(server.client, watch);
      const { peakMiB, cpuMs } = walpost;
      await walpost.stop();
      await dropSlot(server.client, slot);
      return {
        eventsPerSecond: options.events / seconds,
        seconds,
        peakMiB,
        cpuSeconds: cpuMs === null ? null : cpuMs / 1000,
      };
    },
  };
}

const counts = options.counts.split(',').map(Number);
const contestants: Contestant[] = [];
for (const count of counts) contestants.push(await contestant(count));
const records = await interleave(contestants, options.rounds);
printTable(records);
const base = nameOf(counts[0] ?? 10);
const derived = Object.fromEntries(
  counts
    .slice(1)
    .map((count) => [`${nameOf(count)} / ${base}`, ratio(records, 'eventsPerSecond', [nameOf(count), base])]),
);
console.log(derived);
writeReport({ name: options.save, settings: options, versions, records, derived });
for (const server of servers) await server[Symbol.asyncDispose]();
