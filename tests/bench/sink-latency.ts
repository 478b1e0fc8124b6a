/**
 * From the return of COMMIT to the arrival at each destination:
 * `npm run bench:sink-latency [-- --rounds 1 --middle 100 --only webhook,redis]`.
 *
 * Events are committed one by one, at one a second and then at the middle rate, once with `mode: adaptive` and once with the
 * default window. Receivers run in the process that writes, and share one clock with it. Slack and Resend take some one message a second, so
 * their middle rate is left out. A destination that cannot run here is left out.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { kafkaBrokerMissing } from '../support/kafka-broker.ts';
import { natsServerMissing } from '../support/nats-server.ts';
import { rabbitmqServerMissing } from '../support/rabbitmq-server.ts';
import { redisMissing } from '../support/redis-server.ts';
import { ADDRESS, type ArrivalDestination, markOf, MARKS, ORGANIZATIONS, type Seen } from './support/arrival.ts';
import {
  openBullmqWorker,
  openInboxListener,
  openKafkaConsumer,
  openNatsSubscriber,
  openRabbitmqConsumer,
  openRedisReader,
} from './support/arrival-brokers.ts';
import { openLive, openRealtime, openResend, openSlack, openSmtp, openWebhook } from './support/arrival-services.ts';
import { benchOptions } from './support/options.ts';
import { type Figures, printTable, quantile, type RunRecord, writeReport } from './support/report.ts';
import { dropSlot, makeSlots, startBenchServer } from './support/server.ts';
import { loadavg } from 'node:os';
import { WalpostProcess } from './support/walpost-process.ts';

const options = benchOptions({ rounds: 1, middle: 100, only: '', save: 'sink-latency' });
const LOW = { rate: 1, seconds: 10 };
const MIDDLE = { rate: options.middle, seconds: 5 };
/** A process that has just begun runs code that is not compiled yet. */
const WARM_UP = { rate: 250, seconds: 2 };
const GRACE_MS = 10_000;
const MODES: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  adaptive: { mode: 'adaptive' },
  'window 250 ms': {},
};

interface Entry {
  readonly open: (seen: Seen) => Promise<ArrivalDestination>;
  readonly missing?: () => Promise<string | undefined>;
}

const isOld = Number.parseInt(process.versions.node, 10) < 22;
const DESTINATIONS: Readonly<Record<string, Entry>> = {
  webhook: { open: openWebhook },
  slack: { open: openSlack },
  resend: { open: openResend },
  smtp: { open: openSmtp },
  realtime: { open: openRealtime },
  live: { open: openLive },
  redis: { open: openRedisReader, missing: redisMissing },
  bullmq: { open: openBullmqWorker, missing: redisMissing },
  nats: { open: openNatsSubscriber, missing: natsServerMissing },
  rabbitmq: { open: openRabbitmqConsumer, missing: rabbitmqServerMissing },
  kafka: { open: openKafkaConsumer, missing: async () => (isOld ? 'its client needs Node 22' : kafkaBrokerMissing()) },
  postgres: { open: openInboxListener },
};

const arrived = new Map<number, number>();
const seen: Seen = (text) => {
  const at = performance.now();
  for (const [, n] of text.matchAll(MARKS)) if (!arrived.has(Number(n))) arrived.set(Number(n), at);
};
await using server = await startBenchServer();
let written = 0;

/** Commits one by one at a steady rate; resolves with the latencies once all have arrived. */
async function latencies({ rate, seconds }: typeof LOW): Promise<number[]> {
  const first = written;
  const commits: number[] = [];
  const begun = performance.now();
  for (let n = 0; n < rate * seconds; n++) {
    await delay(Math.max(0, begun + (n * 1000) / rate - performance.now()));
    const mark = markOf(written);
    await server.client.query({
      name: 'write',
      text: `INSERT INTO walpost.outbox (organization_id, event_type, topic, payload)
             VALUES ($1, 'job.completed', 'billing', jsonb_build_object('email', $2::text, 'mark', $3::text))`,
      values: [ORGANIZATIONS[written++ % ORGANIZATIONS.length], ADDRESS, mark],
    });
    commits.push(performance.now());
  }
  const deadline = performance.now() + GRACE_MS;
  while (performance.now() < deadline && commits.some((_, n) => !arrived.has(first + n))) await delay(20);
  return commits.map((at, n) => Math.max(0, (arrived.get(first + n) ?? at + GRACE_MS) - at));
}

function figuresOf(all: readonly number[]): Figures {
  const missing = all.filter((ms) => ms >= GRACE_MS).length;
  return { p50Ms: quantile(all, 0.5), p99Ms: quantile(all, 0.99), maxMs: quantile(all, 1), missing };
}

async function measure(name: string, mode: string, round: number): Promise<RunRecord[]> {
  await using destination = await (DESTINATIONS[name] as Entry).open(seen);
  const slot = `latency_${name}_${Object.keys(MODES).indexOf(mode)}_${round}`;
  await makeSlots(server.client, [slot]);
  await using walpost = new WalpostProcess({
    url: server.url,
    slot,
    sink: { ...destination.sink, ...MODES[mode] },
    config: destination.config ?? {},
    nodeArgs: destination.nodeArgs ?? [],
  });
  await walpost.prints(/streaming from/);
  const stop = await destination.listen?.(walpost);
  const { most = Infinity } = destination;
  await latencies(most < WARM_UP.rate ? LOW : WARM_UP);
  const records: RunRecord[] = [];
  for (const pace of [LOW, MIDDLE]) {
    if (pace.rate > most) continue;
    const load = Number((loadavg()[0] ?? 0).toFixed(2));
    const figures = figuresOf(await latencies(pace));
    records.push({ round, name: `${name}, ${mode} @ ${pace.rate}/s`, figures, load });
    console.log(records.at(-1));
  }
  stop?.();
  await walpost.stop();
  await dropSlot(server.client, slot);
  return records;
}

const records: RunRecord[] = [];
for (let round = 0; round < options.rounds; round++) {
  for (const [name, { missing }] of Object.entries(DESTINATIONS)) {
    if (options.only !== '' && !options.only.split(',').includes(name)) continue;
    const why = await missing?.();
    if (why !== undefined) {
      console.log(`${name} is left out: ${why}`);
      continue;
    }
    for (const mode of Object.keys(MODES)) records.push(...(await measure(name, mode, round)));
  }
}
printTable(records);
if (options.save !== '') {
  writeReport({ name: options.save, settings: options, versions: { postgres: server.version }, records, derived: {} });
}
