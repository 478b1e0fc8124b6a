/** The destinations of `bench:sinks` that are brokers. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { jetstream, StorageType } from '@nats-io/jetstream';
import { headers as natsHeaders } from '@nats-io/transport-node';
import { messageHeaders } from '../../../src/sinks/broker/message-headers.ts';
import type { KafkaClient } from '../../../src/sinks/kafka/kafka-client.ts';
import { installedPackages } from '../../support/installed-packages.ts';
import { KafkaBroker, PARTITIONS } from '../../support/kafka-broker.ts';
import { addStream, NatsServer } from '../../support/nats-server.ts';
import type { OpenDestination } from './sink-destinations.ts';

const STREAM = 'EVENTS';

export async function openNats(): Promise<OpenDestination> {
  const server = await NatsServer.start({ memory: '1GB' });
  const connection = await server.connect();
  const storage = StorageType.Memory;
  const manager = await addStream(connection, { storage });
  const stream = jetstream(connection);
  return {
    sink: { type: 'nats', servers: [server.url], subject: 'walpost.all' },
    prepare(messages) {
      const ready = messages.map(({ event, bytes }) => {
        const headers = natsHeaders();
        headers.set('Nats-Msg-Id', event.eventId);
        for (const [name, value] of messageHeaders(event)) headers.set(name, value);
        return { bytes, options: { headers } };
      });
      // One after the other, as whoever keeps the order of an organization.
      return async () => {
        for (const { bytes, options } of ready) await stream.publish('walpost.all', bytes, options);
      };
    },
    count: async () => (await manager.streams.info(STREAM)).state.messages,
    // A stream that is only emptied remembers the ids of the messages it had.
    async clear() {
      await manager.streams.delete(STREAM);
      await addStream(connection, { storage });
    },
    async [Symbol.asyncDispose]() {
      await connection.close();
      await server[Symbol.asyncDispose]();
    },
  };
}

const TOPIC = 'all';

/** The mock cluster keeps 5 MB of a partition, so offsets are counted and not messages. */
export async function openKafka(): Promise<OpenDestination> {
  const home = await installedPackages('node22');
  const url = pathToFileURL(join(home, 'node_modules/@platformatic/kafka/dist/index.js')).href;
  const client = (await import(url)) as KafkaClient;
  const broker = await KafkaBroker.start();
  const producer = new client.Producer({
    clientId: 'bench',
    bootstrapBrokers: [broker.direct],
    idempotent: true,
    producerId: -1n,
    producerEpoch: -1,
    retries: false,
    partitioner: client.compatibilityPartitioner,
  });
  let before = 0;
  return {
    sink: { type: 'kafka', brokers: [broker.direct], topic: TOPIC },
    nodeArgs: withClient(url),
    prepare(messages) {
      const ready = messages.map(({ event, bytes }) => ({
        topic: TOPIC,
        key: Buffer.from(event.organizationId),
        value: bytes,
        headers: new Map(messageHeaders(event).map(([name, value]) => [Buffer.from(name), Buffer.from(value)])),
      }));
      return () => producer.send({ messages: ready });
    },
    count: async () => (await endOffsets(broker)) - before,
    clear: async () => (before = await endOffsets(broker)),
    async [Symbol.asyncDispose]() {
      await producer.close(true);
      await broker[Symbol.asyncDispose]();
    },
  };
}

async function endOffsets({ direct }: KafkaBroker): Promise<number> {
  const partitions = Array.from({ length: PARTITIONS }, (_, partition) => ['-t', `${TOPIC}:${partition}:-1`]).flat();
  const { stdout } = await promisify(execFile)('/usr/bin/kcat', ['-b', direct, '-Q', ...partitions]);
  return [...stdout.matchAll(/offset (\d+)/g)].reduce((sum, [, offset]) => sum + Number(offset), 0);
}

/** An option of Node with which walpost finds the client where the tests have installed it. */
function withClient(url: string): string[] {
  const hook = `import { registerHooks } from 'node:module';
    registerHooks({ resolve: (name, context, next) => name === '@platformatic/kafka' ? next('${url}', context) : next(name, context) });`;
  return ['--import', `data:text/javascript,${encodeURIComponent(hook)}`];
}
