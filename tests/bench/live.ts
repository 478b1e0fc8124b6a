/**
 * The live channel of the real process: `npm run bench:live [-- --connections 10000 --readers 1000 --events 2000]`.
 *
 * First many streams, ten for each organization: the memory of the process. Then readers of one organization: messages a second
 * until the last reader has the last event. Streams need file descriptors: see `ulimit -n`.
 */
import { connect, type Socket } from 'node:net';
import { liveToken, LIVE_SECRET } from '../support/live-reader.ts';
import { benchOptions } from './support/options.ts';
import { type Contestant, interleave, medians, printTable, writeReport } from './support/report.ts';
import { dropSlot, startBenchServer } from './support/server.ts';
import { WalpostProcess } from './support/walpost-process.ts';

const options = benchOptions({ connections: 10_000, readers: 1_000, events: 2_000, rounds: 1, save: 'live' });
const LIMIT_MB = 300;
const AT_ONCE = 200;
const DEADLINE_MS = 180_000;
const MARK = Buffer.from('"event_id"');

await using server = await startBenchServer();

/** A stream that counts events and keeps nothing. */
class Stream {
  readonly socket: Socket;
  events = 0;
  /** Resolves when the stream has caught up. */
  readonly live: Promise<void>;

  constructor(port: number, token: string) {
    this.socket = connect(port, '127.0.0.1');
    this.socket.write(`GET /live HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\n\r\n`);
    this.live = new Promise((resolve, reject) => {
      this.socket.on('error', reject).on('close', () => reject(new Error('the stream was closed')));
      this.socket.on('data', (bytes) => {
        if (bytes.includes('walpost.live')) resolve();
        for (let at = bytes.indexOf(MARK); at >= 0; at = bytes.indexOf(MARK, at + 1)) this.events += 1;
      });
    });
  }
}

async function open(port: number, count: number, organizationOf: (n: number) => string): Promise<Stream[]> {
  const streams: Stream[] = [];
  while (streams.length < count) {
    const part = Math.min(AT_ONCE, count - streams.length);
    const tokens = Array.from({ length: part }, (_, n) =>
      liveToken({ organization: organizationOf(streams.length + n) }),
    );
    const opened = (await Promise.all(tokens)).map((token) => new Stream(port, token));
    await Promise.all(opened.map(({ live }) => live));
    streams.push(...opened);
  }
  return streams;
}

function close(streams: readonly Stream[]): void {
  for (const { socket, live } of streams) {
    live.catch(() => undefined);
    socket.destroy();
  }
}

const organization = (n: number): string => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;

async function start(slot: string): Promise<readonly [WalpostProcess, number]> {
  const live = {
    port: 0,
    secret: LIVE_SECRET,
    connections: options.connections,
    connections_per_organization: 100_000,
  };
  const buffered = { ...live, reader_buffer: '16MiB' };
  const walpost = new WalpostProcess({ url: server.url, slot, sink: { type: 'live' }, config: { live: buffered } });
  const [, port] = await walpost.prints(/"port":(\d+),"msg":"the live channel listens/);
  await walpost.prints(/streaming from/);
  return [walpost, Number(port)];
}

async function publish(events: number, to: string): Promise<void> {
  await server.client.query(
    `INSERT INTO walpost.outbox (organization_id, event_type, topic, payload)
     SELECT $1::uuid, 'job.completed', 'cataloging', jsonb_build_object('n', i, 'text', repeat('x', 200))
       FROM generate_series(1, $2::integer) AS i`,
    [to, events],
  );
}

async function untilAll(streams: readonly Stream[], events: number): Promise<number> {
  const begun = performance.now();
  while (streams.some((stream) => stream.events < events)) {
    if (performance.now() - begun > DEADLINE_MS) throw new Error('not all events have arrived');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return (performance.now() - begun) / 1000;
}

const many: Contestant = {
  name: `${options.connections} streams`,
  async run(round) {
    const slot = `live_many_${round}`;
    const [walpost, port] = await start(slot);
    const begun = performance.now();
    const streams = await open(port, options.connections, (n) => organization(Math.floor(n / 10)));
    const opened = (performance.now() - begun) / 1000;
    await publish(100, organization(0));
    await untilAll(streams.slice(0, 10), 100);
    const { peakMiB } = walpost;
    close(streams);
    await walpost.stop();
    await walpost[Symbol.asyncDispose]();
    await dropSlot(server.client, slot);
    return { peakMiB, streamsPerSecond: options.connections / opened };
  },
};

const busy: Contestant = {
  name: `${options.readers} readers of one organization`,
  async run(round) {
    const slot = `live_busy_${round}`;
    const [walpost, port] = await start(slot);
    const streams = await open(port, options.readers, () => organization(1_000_000 + round));
    const cpu = walpost.cpuMs ?? Number.NaN;
    const arriving = untilAll(streams, options.events);
    await publish(options.events, organization(1_000_000 + round));
    const seconds = await arriving;
    const used = ((walpost.cpuMs ?? Number.NaN) - cpu) / 1000;
    const { peakMiB } = walpost;
    close(streams);
    await walpost.stop();
    await walpost[Symbol.asyncDispose]();
    await dropSlot(server.client, slot);
    const messages = options.events * options.readers;
    return { messagesPerSecond: messages / seconds, microsecondsOfCpu: (used * 1e6) / messages, peakMiB };
  },
};

const records = await interleave([many, busy], options.rounds);
printTable(records);
const peak = medians(records)[many.name]?.['peakMiB'] ?? Number.NaN;
const derived = { 'MiB of the process': peak };
writeReport({ name: options.save, settings: options, versions: { postgres: server.version }, records, derived });
if (peak > LIMIT_MB) {
  console.error(`the process held ${peak} MiB; the limit is ${LIMIT_MB}`);
  process.exitCode = 1;
}
