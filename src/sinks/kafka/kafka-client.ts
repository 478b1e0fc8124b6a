/**
 * The client, @platformatic/kafka, as far as this sink uses it. It needs Node 22 and walpost does not, so the types are
 * stated here and the package is imported when the first sink of this type is created.
 */
import type { Socket } from 'node:net';
import { certificatesOf } from '../../certificate-file.ts';
import type { SinkConfigOf } from '../../config/sinks/sinks.ts';
import { WalpostError } from '../../errors.ts';
import type { SinkContext } from '../../sink-context.ts';
import { privateKeyOf } from '../broker/private-key.ts';

const PACKAGE = '@platformatic/kafka';
const OLDEST_NODE = 22;

/** Milliseconds until a broker has to have accepted the connection. */
const CONNECT_TIMEOUT = 5000;
/** Milliseconds that the leader of a partition waits for its replicas. */
const REPLICA_TIMEOUT = 30_000;

export interface KafkaMessage {
  readonly topic: string;
  readonly key: Buffer;
  readonly value: Buffer;
  readonly headers: ReadonlyMap<Buffer, Buffer>;
}

interface Connected {
  readonly connection: { readonly socket: Socket };
}

/** The client's own. */
interface ProducerOfClient {
  send(options: { readonly messages: readonly KafkaMessage[] }): Promise<unknown>;
  metadata(options: { readonly topics: readonly string[] }): Promise<unknown>;
  close(force: boolean): Promise<void>;
  on(event: 'client:broker:connect', listener: (event: Connected) => void): unknown;
}

export interface KafkaClient {
  readonly Producer: new (options: object) => ProducerOfClient;
  /** As Kafka's Java client chooses; the default of this client differs for half of the keys. */
  readonly compatibilityPartitioner: (message: unknown, key: Buffer) => number;
}

export interface KafkaProducer {
  /** Rejects with an error of the client. */
  send(messages: readonly KafkaMessage[]): Promise<unknown>;
  /** Connects, logs in and asks for the cluster and these topics, which have to be there. Makes none; rejects as `send` does. */
  ask(topics: readonly string[]): Promise<unknown>;
  /** Drops what is not answered. */
  close(): Promise<void>;
}

/** Throws SINK_PACKAGE_MISSING before Node 22, where the client loads and fails later. */
export function refuseOldNode(version = process.versions.node): void {
  if (Number.parseInt(version, 10) >= OLDEST_NODE) return;
  throw new WalpostError('SINK_PACKAGE_MISSING', {
    detail: `A sink of type kafka needs ${PACKAGE}, which needs Node ${OLDEST_NODE} or newer. This is Node ${version}.`,
    remedy: `Run walpost on Node ${OLDEST_NODE} or newer, and there: npm install ${PACKAGE}@2`,
  });
}

export async function importKafka(): Promise<KafkaClient> {
  return (await import(PACKAGE)) as KafkaClient;
}

/** Connects at the first send. The client repeats nothing by itself, since the router sends again. */
export function makeProducer(
  { Producer, compatibilityPartitioner }: KafkaClient,
  config: SinkConfigOf<'kafka'>,
  { name }: Pick<SinkContext, 'name'>,
): KafkaProducer {
  const { sasl } = config;
  const producer = new Producer({
    clientId: `walpost-sink-${name}`,
    bootstrapBrokers: config.brokers,
    idempotent: true,
    // What a producer asks with that has no id yet.
    producerId: -1n,
    producerEpoch: -1,
    // A number of 0 or 1 would be taken for endless.
    retries: false,
    autocreateTopics: false,
    partitioner: rememberPartitions(compatibilityPartitioner),
    compression: config.compression,
    connectTimeout: CONNECT_TIMEOUT,
    timeout: REPLICA_TIMEOUT,
    ...(sasl && { sasl: { mechanism: sasl.mechanism, username: sasl.user, password: sasl.password } }),
    ...tlsOptions(config),
  });
  const sockets = new Set<Socket>();
  producer.on('client:broker:connect', ({ connection: { socket } }) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  return {
    send: (messages) => producer.send({ messages }),
    ask: (topics) => producer.metadata({ topics }),
    async close() {
      const closed = producer.close(true).catch(() => undefined);
      // The client would first write out what a broker that hangs does not take.
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/**
 * Hashes a key once for as long as its bytes are the same object, as those of most are (kafka-message.ts): the client computes the
 * hash with integers of any size, which took a tenth of the time of the sink.
 */
function rememberPartitions(partitionOf: KafkaClient['compatibilityPartitioner']): typeof partitionOf {
  const known = new WeakMap<Buffer, number>();
  return (message, key) => {
    let partition = known.get(key);
    if (partition === undefined) known.set(key, (partition = partitionOf(message, key)));
    return partition;
  };
}

function tlsOptions({ tls }: SinkConfigOf<'kafka'>) {
  if (!tls) return {};
  const { ca, certificate, key } = tls;
  return {
    tlsServerName: true,
    tls: {
      ...(ca !== undefined && { ca: certificatesOf(ca) }),
      ...(certificate !== undefined && { cert: certificatesOf(certificate) }),
      ...(key !== undefined && { key: privateKeyOf(key) }),
    },
  };
}
