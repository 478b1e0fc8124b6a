/** The real process with the sink of RabbitMQ, while it and the server are killed in the middle of a load. */
import { expect, test } from 'vitest';
import type { ChannelModel } from 'amqplib';
import { tellFigures } from '../e2e/kill-figures.ts';
import {
  firstOfEach,
  KILL_CONFIG,
  KILL_LOAD,
  loadThroughKills,
  type NumberedEnvelope,
  orderFaults,
  readEnvelope,
} from '../e2e/through-kills.ts';
import { createTestDatabase } from '../support/database.ts';
import { RabbitmqServer, rabbitmqServerMissing } from '../support/rabbitmq-server.ts';
import { poll } from '../support/slot-session.ts';

const missing = await rabbitmqServerMissing();
const { rate, patience } = KILL_LOAD;
/** The server takes ten seconds and more to start. */
const KILLS = KILL_LOAD.kills - 1;
const QUEUE = 'all';

/** A connection that does not mind when the server is killed. */
async function connectTo(server: RabbitmqServer): Promise<ChannelModel> {
  const connection = await server.connect();
  connection.on('error', () => undefined);
  return connection;
}

test.skipIf(missing)(
  `killed with RabbitMQ, walpost loses nothing and keeps the order ${missing ?? ''}`,
  async () => {
    await using database = await createTestDatabase();
    await using server = await RabbitmqServer.start();
    const setup = await connectTo(server);
    const arguments_ = { 'x-queue-type': 'quorum' };
    await (await setup.createChannel()).assertQueue(QUEUE, { durable: true, arguments: arguments_ });
    await server.restart();
    let connection = await connectTo(server);
    const count = async (): Promise<number> => {
      const channel = await connection.createChannel();
      channel.on('error', () => undefined);
      const { messageCount } = await channel.checkQueue(QUEUE);
      await channel.close();
      return messageCount;
    };
    const sink = { type: 'rabbitmq', url: server.url(), exchange: '', routing_key: QUEUE, rate };
    const run = await loadThroughKills(
      { database, sinks: { queue: sink }, config: KILL_CONFIG },
      {
        count,
        kill: () => server.kill(),
        async restart() {
          await server.launch();
          connection = await connectTo(server);
          await poll('the queue is there', async () => (await count().catch(() => -1)) >= 0 || undefined, patience);
        },
      },
      KILLS,
    );
    await using relay = run.relay;
    const arrived: NumberedEnvelope[] = [];
    const ids = new Set<string>();
    const channel = await connection.createChannel();
    await channel.consume(
      QUEUE,
      (message) => {
        const envelope = readEnvelope(message?.content.toString());
        arrived.push(envelope);
        ids.add(envelope.event_id);
      },
      { noAck: true },
    );
    await poll('all arrived', async () => ids.size >= run.total || undefined, patience);
    expect(run.killedAt.every((killed) => killed > 0 && killed < run.total)).toBe(true);
    expect((await relay.stop()).code).toBe(0);
    expect(tellFigures('rabbitmq', run, arrived)).toMatchObject({ lost: 0, outOfOrder: 0 });
    expect(orderFaults(firstOfEach(arrived), run)).toEqual([]);
    await connection.close();
  },
  patience * 3,
);
