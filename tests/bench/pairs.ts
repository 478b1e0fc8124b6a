/**
 * This build beside another one, in pairs: `npm run bench:pairs -- --base ../other-checkout [--rounds 9]`.
 *
 * The other checkout has to be built (`npm run build`). Each build drains the same kind of backlog from a server that its
 * own `walpost migrate` has prepared, so that schemas may differ. What is printed is the ratio of each pair: 1.00 is as
 * fast as the base, less is slower.
 */
import { resolve } from 'node:path';
import { benchOptions } from './support/options.ts';
import { migratedBy, programOf } from './support/other-build.ts';
import {
  type Contestant,
  interleave,
  printTable,
  quantile,
  ROOT,
  type RunRecord,
  writeReport,
} from './support/report.ts';
import { type BenchServer, dropSlot, makeSlots, startBenchServer, writeBacklog } from './support/server.ts';
import { untilDrained } from './support/slot-watch.ts';
import { WalpostProcess } from './support/walpost-process.ts';

const options = benchOptions({ base: '', events: 500_000, rounds: 9, counts: '100,10000', save: 'pairs' });
if (options.base === '') throw new Error('--base names the checkout to compare with');
const LIMIT_MS = 300_000;
const BUILDS = { here: ROOT, base: resolve(options.base) };
const counts = options.counts.split(',').map(Number);
const nameOf = (build: string, count: number): string => `${build}, ${count.toLocaleString('en')} organizations`;

const servers: BenchServer[] = [];

async function contestant(build: string, directory: string, count: number): Promise<Contestant> {
  const server = await startBenchServer({}, migratedBy(directory));
  servers.push(server);
  const slots = Array.from({ length: options.rounds }, (_, round) => `bench_${round}`);
  await makeSlots(server.client, slots);
  const written = await writeBacklog(server.client, {
    events: options.events,
    organizations: count,
    perTransaction: 10,
  });
  return {
    name: nameOf(build, count),
    async run(round) {
      const slot = `bench_${round}`;
      const main = programOf(directory);
      await using walpost = new WalpostProcess({ url: server.url, slot, sink: { type: 'discard' }, main });
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

/** Of each pair: this build's rate divided by the base's. */
function ratios(records: readonly RunRecord[], count: number): number[] {
  const rate = (build: string, round: number): number | null | undefined =>
    records.find((it) => it.round === round && it.name === nameOf(build, count))?.figures['eventsPerSecond'];
  return Array.from({ length: options.rounds }, (_, round) => {
    const [here, base] = [rate('here', round), rate('base', round)];
    return typeof here === 'number' && typeof base === 'number' ? here / base : Number.NaN;
  });
}

const records: RunRecord[] = [];
for (const count of counts) {
  const contestants: Contestant[] = [];
  for (const [build, directory] of Object.entries(BUILDS)) contestants.push(await contestant(build, directory, count));
  records.push(...(await interleave(contestants, options.rounds)));
  for (const server of servers.splice(0)) await server[Symbol.asyncDispose]();
}
printTable(records);
const derived: Record<string, number> = {};
for (const count of counts) {
  const pairs = ratios(records, count);
  derived[`${count} organizations, median`] = quantile(pairs, 0.5);
  derived[`${count} organizations, lower quartile`] = quantile(pairs, 0.25);
}
console.log(derived);
writeReport({ name: options.save, settings: { ...options, base: 'another checkout' }, versions: {}, records, derived });
