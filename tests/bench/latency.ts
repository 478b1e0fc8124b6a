/**
 * From the return of COMMIT to the arrival at a webhook: `npm run bench:latency [-- --rounds 5 --rates 1,100,1000,5000 --warmup 3000]`.
 *
 * A writer in a process of its own commits events one by one at a steady rate; one consumer at a time brings them to the
 * same receiver. It gets `warmup` events first that are not measured. What has not arrived some seconds after the last
 * commit counts as having taken that long. `--only adaptive,pg-boss` keeps the contestants whose names contain one of these.
 * With `--base ../other-checkout`, which has to be built, its walpost takes part, and the page of the figures is left alone.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Child } from './support/child.ts';
import { benchOptions } from './support/options.ts';
import { migratedBy, programOf } from './support/other-build.ts';
import { installPeers, PEERS, type PeerName } from './support/peers.ts';
import {
  type Contestant,
  type Figures,
  interleave,
  medians,
  printTable,
  quantile,
  writeReport,
} from './support/report.ts';
import { type BenchServer, dropSlot, makeSlots, startBenchServer } from './support/server.ts';
import { WalpostProcess } from './support/walpost-process.ts';

const options = benchOptions({
  rounds: 5,
  rates: '1,100,1000,5000',
  organizations: 100,
  warmup: 3_000,
  only: '',
  base: '',
  save: 'latency',
});
/** At one a second there is no hurry; the rounds have some fifty events together then. */
const SECONDS: Readonly<Record<string, number>> = { '1': 8, '100': 4, '1000': 4, '5000': 3 };
const GRACE_MS = 5_000;
let runs = 0;

const directory = mkdtempSync(join(tmpdir(), 'walpost-latency-'));
const peers = await installPeers();
await using server = await startBenchServer({ max_connections: '300' });
const files = { sent: join(directory, 'sent.json'), seen: join(directory, 'seen.json') };
await using receiver = new Child(process.execPath, [
  '--import',
  'tsx',
  join(import.meta.dirname, 'support/latency-receiver.ts'),
  files.seen,
]);
const [receiverUrl] = await receiver.prints(/http:\S+/);

/** Who writes, where, and the consumer, which is ready when it is handed over. */
interface Road extends AsyncDisposable {
  readonly writer: string;
  readonly url: string;
}

/** One build of walpost with the server that its own `walpost migrate` has prepared. */
interface Build {
  readonly server: BenchServer;
  readonly main?: string;
}

async function walpostRoad(
  { server: its, main }: Build,
  batching: Record<string, unknown>,
  settings: object = {},
): Promise<Road> {
  const sink = { type: 'webhook', url: receiverUrl, allow_private: true, ...settings };
  const slot = `latency_${runs++}`; // a new one: for a slot that was lost, walpost would send older events again
  await makeSlots(its.client, [slot]);
  const walpost = new WalpostProcess({ url: its.url, slot, sink, config: { batching }, ...(main ? { main } : {}) });
  await walpost.prints(/streaming from/);
  return {
    writer: 'walpost',
    url: its.url,
    async [Symbol.asyncDispose]() {
      await walpost.stop();
      await walpost[Symbol.asyncDispose]();
      await dropSlot(its.client, slot);
    },
  };
}

async function peerRoad(peer: PeerName): Promise<Road> {
  const url = await peers.database(server, peer, 'latency');
  const consumer = peers.start(peer, 'forward', url, receiverUrl);
  await consumer.prints(/ready/);
  return {
    writer: peer,
    url,
    async [Symbol.asyncDispose]() {
      await consumer.stop('SIGKILL');
      if (peer.startsWith('pg-transactional-outbox')) await dropSlot(server.client, 'peer_outbox');
      await server.client.query('DROP DATABASE "latency" WITH (FORCE)');
    },
  };
}

async function measure(open: () => Promise<Road>, rate: number): Promise<Figures> {
  await using road = await open();
  await delay(500);
  const seconds = SECONDS[String(rate)] ?? 6;
  const { organizations, warmup } = options;
  await using writer = peers.start(
    road.writer,
    'write',
    road.url,
    ...[rate, seconds, organizations, warmup, files.sent].map(String),
  );
  if ((await writer.exit()) !== 0) throw new Error(`the writer failed: ${writer.output}`);
  const sent = JSON.parse(readFileSync(files.sent, 'utf8')) as number[];
  const unwritten = sent.filter((at) => at === 0).length;
  const latencies = (await arrivals(sent)).filter((_, n) => sent[n] !== 0);
  return {
    p50Ms: quantile(latencies, 0.5),
    p99Ms: quantile(latencies, 0.99),
    maxMs: quantile(latencies, 1),
    unwritten,
    missing: latencies.filter((ms) => ms >= GRACE_MS).length,
  };
}

/** Milliseconds for each event, once all have arrived or the grace is over. */
async function arrivals(sent: readonly number[]): Promise<number[]> {
  const first = new Map<number, number>();
  const deadline = performance.now() + GRACE_MS;
  const expected = sent.filter((at) => at !== 0).length;
  while (first.size < expected && performance.now() < deadline) {
    await delay(300);
    receiver.output = '';
    receiver.process.kill('SIGUSR2');
    await receiver.prints(/noted \d+/);
    for (const [n, at] of JSON.parse(readFileSync(files.seen, 'utf8')) as [number, number][]) {
      if (!first.has(n)) first.set(n, at);
    }
  }
  return sent.map((committed, n) => {
    const at = first.get(n);
    return at === undefined ? GRACE_MS : Math.max(0, (at - committed) / 1000);
  });
}

type Named = readonly [string, () => Promise<Road>];

/** The ways of sending that the base knows too. */
const waysOf = (name: string, build: Build): readonly Named[] => [
  [`${name}, leading edge`, () => walpostRoad(build, { leading_edge: true })],
  [`${name}, window 50 ms`, () => walpostRoad(build, { window: '50ms' })],
  [`${name}, window 250 ms`, () => walpostRoad(build, {})],
];
const base = options.base === '' ? undefined : resolve(options.base);
if (base !== undefined && options.save === 'latency') throw new Error('--base goes with another --save');
await using baseServer = base ? await startBenchServer({ max_connections: '300' }, migratedBy(base)) : undefined;
/** As fresh as that of the base. */
await using ownServer = base ? await startBenchServer({ max_connections: '300' }) : undefined;

const roads: readonly Named[] = [
  ['walpost, adaptive', () => walpostRoad({ server }, {}, { mode: 'adaptive' })],
  ...waysOf('walpost', { server: ownServer ?? server }),
  ...(base && baseServer ? waysOf('base of walpost', { server: baseServer, main: programOf(base) }) : []),
  ...PEERS.map((peer): Named => [peer, () => peerRoad(peer)]),
];
const records = [];
for (const rate of options.rates.split(',').map(Number)) {
  const contestants = roads
    .filter(([name]) => options.only.split(',').some((part) => name.includes(part)))
    .map(([name, open]): Contestant => ({ name: `${name} @ ${rate}/s`, run: () => measure(open, rate) }));
  records.push(...(await interleave(contestants, options.rounds)));
}
rmSync(directory, { recursive: true, force: true });
printTable(records);
const idle = medians(records)['walpost, leading edge @ 1/s'];
writeReport({
  name: options.save,
  settings: { ...options, base: options.base === '' ? '' : 'another checkout' },
  versions: { postgres: server.version, ...peers.versions },
  records,
  derived: idle ? { 'leading edge, idle, p50': idle['p50Ms'] ?? 0, 'leading edge, idle, p99': idle['p99Ms'] ?? 0 } : {},
});
