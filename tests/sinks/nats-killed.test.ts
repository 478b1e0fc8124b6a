/** The real process with the sink of NATS, while it and the server are killed in the middle of a load. */
import { expect, test } from 'vitest';
import { jetstreamManager } from '@nats-io/jetstream';
import { tellFigures } from '../e2e/kill-figures.ts';
import { KILL_CONFIG, KILL_LOAD, loadThroughKills, orderFaults, readEnvelope } from '../e2e/through-kills.ts';
import { createTestDatabase } from '../support/database.ts';
import { addStream, NatsServer, natsServerMissing, storedIn } from '../support/nats-server.ts';
import { poll } from '../support/slot-session.ts';

const missing = await natsServerMissing();
const { rate, patience } = KILL_LOAD;
const HOUR = 3_600_000_000_000;

test.skipIf(missing)(
  `killed with NATS, walpost loses nothing, and the stream has each event once, in order ${missing ?? ''}`,
  async () => {
    await using database = await createTestDatabase();
    await using server = await NatsServer.start();
    let connection = await server.connect();
    await addStream(connection, { duplicate_window: HOUR });
    const count = async (): Promise<number> =>
      (await (await jetstreamManager(connection, { checkAPI: false })).streams.info('EVENTS')).state.messages;
    const run = await loadThroughKills(
      { database, sinks: { stream: { type: 'nats', servers: [server.url], rate } }, config: KILL_CONFIG },
      {
        count,
        async kill() {
          await connection.close();
          await server.kill();
        },
        async restart() {
          await server.launch();
          connection = await server.connect();
          await poll('the stream is there', async () => (await count().catch(() => -1)) >= 0 || undefined);
        },
      },
    );
    await using relay = run.relay;
    await poll('all are stored', async () => (await count()) >= run.total || undefined, patience);
    expect(run.killedAt.every((killed) => killed > 0 && killed < run.total)).toBe(true);
    expect((await relay.stop()).code).toBe(0);
    const stored = (await storedIn(connection)).map(({ data }) => readEnvelope(data.toString()));
    expect(tellFigures('nats', run, stored)).toMatchObject({ arrived: run.total, repeated: 0, lost: 0 });
    expect(orderFaults(stored, run)).toEqual([]);
    await connection.close();
  },
  patience * 2,
);
