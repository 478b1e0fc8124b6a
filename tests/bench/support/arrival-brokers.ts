/** The destinations of `bench:sink-latency` that are databases and brokers, with the servers and settings of `bench:sinks`. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect as connectNats } from '@nats-io/transport-node';
import { Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { newClient } from '../../support/client.ts';
import { RabbitmqServer } from '../../support/rabbitmq-server.ts';
import type { ArrivalDestination, Seen } from './arrival.ts';
import { openKafka, openNats } from './broker-destinations.ts';
import { openBullmq, type OpenDestination, openPostgres, openRedis } from './sink-destinations.ts';

/** What is disposed of with the destination comes first. */
function reading(destination: OpenDestination, stop: () => unknown): ArrivalDestination {
  const { sink, nodeArgs = [] } = destination;
  return {
    sink,
    nodeArgs,
    async [Symbol.asyncDispose]() {
      await stop();
      await destination[Symbol.asyncDispose]();
    },
  };
}

const urlOf = ({ sink }: OpenDestination): string => String(sink['url']);

export async function openRedisReader(seen: Seen): Promise<ArrivalDestination> {
  const destination = await openRedis();
  const client = new Redis(urlOf(destination));
  client.on('error', () => undefined);
  const read = async (): Promise<void> => {
    for (let last = '$'; ;) {
      const found = await client.xread('BLOCK', 0, 'STREAMS', 'all', last);
      for (const [id, fields] of found?.[0]?.[1] ?? []) {
        last = id;
        seen(fields.join());
      }
    }
  };
  void read().catch(() => undefined); // it ends with its connection
  return reading(destination, () => client.disconnect());
}

export async function openBullmqWorker(seen: Seen): Promise<ArrivalDestination> {
  const destination = await openBullmq();
  const connection = new Redis(urlOf(destination), { maxRetriesPerRequest: null });
  const worker = new Worker('all', async ({ data }) => seen(JSON.stringify(data)), { connection, concurrency: 50 });
  worker.on('error', () => undefined);
  await worker.waitUntilReady();
  return reading(destination, async () => {
    await worker.close(true);
    connection.disconnect();
  });
}

export async function openNatsSubscriber(seen: Seen): Promise<ArrivalDestination> {
  const destination = await openNats();
  const connection = await connectNats({ servers: destination.sink['servers'] as string[] });
  connection.subscribe('walpost.>', { callback: (_error, message) => seen(message.string()) });
  await connection.flush();
  return reading(destination, () => connection.close());
}

export async function openKafkaConsumer(seen: Seen): Promise<ArrivalDestination> {
  const destination = await openKafka();
  const [broker = ''] = destination.sink['brokers'] as string[];
  const kcat = spawn('/usr/bin/kcat', [
    '-C',
    '-q',
    '-u',
    '-b',
    broker,
    '-t',
    'all',
    '-o',
    'end',
    '-X',
    'fetch.wait.max.ms=10',
  ]);
  const closed = once(kcat, 'close');
  kcat.stdout.setEncoding('latin1').on('data', seen);
  return reading(destination, async () => {
    kcat.kill();
    await closed;
  });
}

export async function openRabbitmqConsumer(seen: Seen): Promise<ArrivalDestination> {
  const server = await RabbitmqServer.start();
  const connection = await server.connect();
  const channel = await connection.createChannel();
  await channel.assertExchange('events', 'topic');
  const { queue } = await channel.assertQueue('all', { durable: true, arguments: { 'x-queue-type': 'quorum' } });
  await channel.bindQueue(queue, 'events', '#');
  await channel.consume(queue, (message) => seen(message?.content.toString() ?? ''), { noAck: true });
  return {
    sink: { type: 'rabbitmq', url: server.url(), exchange: 'events', routing_key: '{topic}.{event_type}' },
    async [Symbol.asyncDispose]() {
      await connection.close();
      await server[Symbol.asyncDispose]();
    },
  };
}

/** A trigger tells of each row; NOTIFY arrives when the row has committed. */
export async function openInboxListener(seen: Seen): Promise<ArrivalDestination> {
  const destination = await openPostgres();
  const client = newClient({ connectionString: urlOf(destination) });
  await client.connect();
  await client.query(`
    CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN PERFORM pg_notify('arrived', NEW.envelope->'payload'->>'mark'); RETURN NULL; END $$;
    CREATE TRIGGER tell AFTER INSERT ON walpost_inbox FOR EACH ROW EXECUTE FUNCTION tell();
    LISTEN arrived`);
  client.on('notification', ({ payload = '' }) => seen(payload));
  return reading(destination, () => client.end());
}
