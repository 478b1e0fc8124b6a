import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import type { Arrival } from '../audit.ts';
import { freePort } from '../free-port.ts';
import { arrivalOf, type DemoPlace, type DemoSink } from './demo-sink.ts';
import { ServerProgram } from './server-program.ts';

const STREAM = 'ORDERS';

/** A JetStream stream in memory. */
export async function openNats({ directory, clock }: DemoPlace, program: string): Promise<DemoSink> {
  const port = await freePort();
  const home = join(directory, 'nats');
  await mkdir(home);
  const config = join(home, 'nats.conf');
  await writeFile(config, `listen: "127.0.0.1:${port}"\njetstream { store_dir: ${JSON.stringify(home)} }\n`);
  const server = await ServerProgram.start({
    program,
    args: ['-c', config],
    directory: home,
    ready: 'Server is ready',
    clock,
  });
  const url = `nats://127.0.0.1:${port}`;
  const connection = await connect({ servers: [url] });
  const manager = await jetstreamManager(connection);
  await manager.streams.add({ name: STREAM, subjects: ['walpost.>'] });
  return {
    options: { type: 'nats', servers: [url], stream: STREAM },
    statuses: ['paid'],
    isSequence: true,
    async arrivals() {
      const { messages } = (await manager.streams.info(STREAM)).state;
      const stored: Arrival[] = [];
      if (messages === 0) return stored;
      const consumer = await manager.jetstream().consumers.get(STREAM);
      for await (const message of await consumer.consume()) {
        stored.push(arrivalOf(message.string()));
        if (stored.length === messages) break;
      }
      return stored;
    },
    async close() {
      await connection.close();
      await server.stop();
    },
  };
}
