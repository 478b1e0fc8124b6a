import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connect } from 'amqplib';
import type { Arrival } from '../audit.ts';
import { freePort } from '../free-port.ts';
import { arrivalOf, type DemoPlace, type DemoSink } from './demo-sink.ts';
import { findProgram, ServerProgram } from './server-program.ts';

const QUEUE = 'orders';

/** A queue behind the default exchange, with a consumer. */
export async function openRabbitmq(place: DemoPlace, program: string): Promise<DemoSink> {
  const { port, stop } = await startServer(place, program);
  const url = `amqp://guest:guest@127.0.0.1:${port}`;
  const arrivals: Arrival[] = [];
  const connection = await connect(url);
  connection.on('error', () => undefined);
  const channel = await connection.createChannel();
  channel.on('error', () => undefined);
  await channel.assertQueue(QUEUE);
  await channel.consume(
    QUEUE,
    (message) => {
      if (message) arrivals.push(arrivalOf(message.content.toString('utf8')));
    },
    { noAck: true },
  );
  return {
    options: { type: 'rabbitmq', url, exchange: '', routing_key: QUEUE },
    statuses: ['paid'],
    isSequence: true,
    arrivals: () => Promise.resolve(arrivals),
    async close() {
      await connection.close().catch(() => undefined);
      await stop();
    },
  };
}

/** A node with ports and directories of its own. */
async function startServer({ directory, clock }: DemoPlace, program: string) {
  const home = join(directory, 'rabbitmq');
  await mkdir(home);
  await writeFile(join(home, 'enabled_plugins'), '[].');
  await writeFile(join(home, 'rabbitmq.conf'), 'disk_free_limit.absolute = 1MB\n');
  const [port, dist, epmdPort] = [await freePort(), await freePort(), await freePort()];
  const env = {
    HOME: home,
    RABBITMQ_NODENAME: `walpost-demo-${port}@localhost`,
    RABBITMQ_MNESIA_BASE: join(home, 'mnesia'),
    RABBITMQ_LOG_BASE: join(home, 'log'),
    RABBITMQ_ENABLED_PLUGINS_FILE: join(home, 'enabled_plugins'),
    RABBITMQ_CONFIG_FILE: join(home, 'rabbitmq'),
    RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1',
    RABBITMQ_NODE_PORT: String(port),
    RABBITMQ_DIST_PORT: String(dist),
    ERL_EPMD_PORT: String(epmdPort),
    ERL_EPMD_ADDRESS: '127.0.0.1',
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '-kernel inet_dist_use_interface {127,0,0,1}',
  };
  // Erlang's list of nodes. RabbitMQ would start one that outlives it.
  const epmd = await ServerProgram.start({
    program: findProgram('epmd') ?? 'epmd',
    args: ['-d'],
    directory: home,
    ready: 'epmd running',
    clock,
    env,
  });
  try {
    const server = await ServerProgram.start({
      program,
      args: [],
      directory: home,
      ready: 'completed with',
      clock,
      env,
    });
    const stop = async (): Promise<void> => {
      await server.stop();
      await epmd.stop();
    };
    return { port, stop };
  } catch (error) {
    await epmd.stop();
    throw error;
  }
}
