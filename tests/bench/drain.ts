/**
 * How fast a backlog leaves: `npm run bench:drain [-- --events 500000 --rounds 5]`.
 *
 * All clients drain the same write-ahead log, each from a slot of its own, one after the other in each round.
 */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { Child } from './support/child.ts';
import { benchOptions } from './support/options.ts';
import { drainContestant, installPeers, PEERS } from './support/peers.ts';
import { type Contestant, type Figures, interleave, printTable, ratio, writeReport } from './support/report.ts';
import { dropSlot, makeSlots, startBenchServer, writeBacklog } from './support/server.ts';
import { untilDrained } from './support/slot-watch.ts';
import { WalpostProcess } from './support/walpost-process.ts';

const options = benchOptions({
  events: 500_000,
  rounds: 5,
  organizations: 100,
  peers: 4_000,
  only: '',
  builds: '',
  save: 'drain',
  node: '',
});
const LIMIT_MS = 300_000;
const TSX = ['--import', 'tsx'];
const support = (file: string): string => join(import.meta.dirname, 'support', file);

await using server = await startBenchServer();
await using receiver = new Child(process.execPath, [...TSX, support('receiver.ts')]);
const [receiverUrl] = await receiver.prints(/http:\S+/);

const slotOf = (name: string, round: number): string => `${name.replace(/[^a-z0-9]+/g, '_')}_${round}`;

interface Client extends AsyncDisposable, Pick<Child, 'ended' | 'peakMiB' | 'cpuMs' | 'stop'> {}

function drains(name: string, start: (slot: string) => Client, after?: (slot: string) => Promise<void>): Contestant {
  return {
    name,
    async run(round): Promise<Figures> {
      const slot = slotOf(name, round);
      await using client = start(slot);
      const { seconds } = await untilDrained(server.client, {
        slot,
        target: written.beyond,
        limitMs: LIMIT_MS,
        ended: client.ended,
      });
      const [peakMiB, cpuMs] = [client.peakMiB, client.cpuMs];
      await client.stop();
      await after?.(slot);
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

/** It must have got every event, and only once since nothing failed. */
async function countReceived(): Promise<void> {
  receiver.output = '';
  receiver.process.kill('SIGUSR2');
  const [, counted = '{}'] = await receiver.prints(/counted (.*)/);
  const { events } = JSON.parse(counted) as { events: number };
  if (events !== options.events) throw new Error(`the receiver has ${events} of ${options.events} events`);
}

const walpost =
  (sink: Record<string, unknown>, config: Record<string, unknown> = {}, main?: string) =>
  (slot: string) =>
    new WalpostProcess({
      url: server.url,
      slot,
      sink,
      config,
      ...(main ? { main } : {}),
      ...(options.node ? { nodeArgs: options.node.split(' ') } : {}),
    });
const webhook = {
  type: 'webhook',
  url: receiverUrl,
  allow_private: true,
  secret: 'whsec_bWFkZSBmb3IgYmVuY2htYXJrcw==',
};

const builds = options.builds
  .split(',')
  .filter(Boolean)
  .map((build) => build.split('=') as [string, string]);
const contestants = [
  drains(
    'raw socket',
    (slot) => new Child(process.execPath, [...TSX, support('raw-drain.ts'), server.url, slot, written.beyond]),
  ),
  drains(
    'raw socket, patient',
    (slot) =>
      new Child(process.execPath, [...TSX, support('raw-drain.ts'), server.url, slot, written.beyond, 'patient']),
  ),
  drains('pg_recvlogical', (slot) => new Child('pg_recvlogical', recvlogical(slot))),
  drains('walpost discard', walpost({ type: 'discard' })),
  drains('walpost discard unseen', walpost({ type: 'discard' }, { delivery: { wait_visible: false } })),
  drains('walpost webhook', walpost(webhook), countReceived),
  ...builds.flatMap(([label, main]) => [
    drains(`discard ${label}`, walpost({ type: 'discard' }, {}, main)),
    drains(`webhook ${label}`, walpost(webhook, {}, main), countReceived),
  ]),
].filter(({ name }) => options.only === '' || options.only.split(',').some((part) => name.includes(part)));

function recvlogical(slot: string): string[] {
  const plugin = ['-o', 'proto_version=1', '-o', 'publication_names="walpost"', '-o', 'messages=false'];
  return [
    '-d',
    server.url,
    '-S',
    slot,
    '--start',
    ...plugin,
    '-f',
    '/dev/null',
    '--no-loop',
    '-F',
    '0',
    `--endpos=${written.end}`,
  ];
}

await makeSlots(
  server.client,
  contestants.flatMap(({ name }) => Array.from({ length: options.rounds }, (_, round) => slotOf(name, round))),
);
console.log(`writing ${options.events} events of ${options.organizations} organizations`);
const written = await writeBacklog(server.client, {
  events: options.events,
  organizations: options.organizations,
  perTransaction: 10,
});
const records = await interleave(contestants, options.rounds);
const peers = options.peers > 0 ? await installPeers() : undefined;
if (peers) {
  await using peerServer = await startBenchServer(); // of their own: what they write must not lie in the slots' way
  const { peers: events, organizations } = options;
  const others = PEERS.map((peer) => drainContestant(peers, peerServer, { peer, events, organizations }));
  records.push(...(await interleave(others, options.rounds)));
}
printTable(records);
const speed = (name: string, base: string): number => ratio(records, 'eventsPerSecond', [name, base]);
const derived = Object.fromEntries(
  [
    ['walpost discard', 'raw socket'],
    ['walpost discard', 'raw socket, patient'],
    ['walpost discard', 'pg_recvlogical'],
    ['walpost webhook', 'raw socket'],
    ['walpost webhook', 'raw socket, patient'],
    ['walpost discard', 'walpost discard unseen'],
    ...(peers ? PEERS.map((name) => ['walpost discard', name]) : []),
    ...builds.flatMap(([label]) => [
      [`discard ${label}`, 'raw socket'],
      [`webhook ${label}`, 'raw socket'],
    ]),
  ].map(([name = '', base = '']) => [`${name} / ${base}`, speed(name, base)]),
);
console.log(derived);
writeReport({
  name: options.save,
  settings: { ...options, bytesPerRow: 430, perTransaction: 10 },
  versions: { postgres: server.version, pg_recvlogical: toolVersion('pg_recvlogical'), ...peers?.versions },
  records,
  derived,
});

function toolVersion(tool: string): string {
  return execFileSync(tool, ['--version'], { encoding: 'utf8' }).trim().split(' ').slice(-2).join(' ');
}
