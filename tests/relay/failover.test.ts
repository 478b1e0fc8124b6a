import { expect, test } from 'vitest';
import type { EmbeddedPostgres } from '../../src/demo/embedded-postgres.ts';
import { parseLsn } from '../../src/lsn.ts';
import { EventLog } from '../support/event-log.ts';
import type { RelayInProcess } from '../support/relay-in-process.ts';
import { startServer } from '../support/server.ts';
import { poll } from '../support/slot-session.ts';
import { onServer, startStandby } from '../support/standby.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { HealingScene } from './healing-scene.ts';

const lsn = (text: string | null | undefined): bigint => parseLsn(text ?? '') ?? 0n;

async function one(server: EmbeddedPostgres, sql: string): Promise<string | null> {
  const { rows } = await onServer(server, (client) => client.query<{ value: string | null }>(sql));
  return rows[0]?.value ?? null;
}

/** Resolves when the standby has written what the primary has now. */
async function catchesUp(primary: EmbeddedPostgres, standby: EmbeddedPostgres): Promise<void> {
  const end = lsn(await one(primary, 'SELECT pg_current_wal_lsn()::text AS value'));
  await poll('the standby has it', async () => {
    const replayed = lsn(await one(standby, 'SELECT pg_last_wal_replay_lsn()::text AS value'));
    return replayed >= end || undefined;
  });
}

/** Sinks hold what they get until it is let go: the first then takes it, the second refuses it. */
function hold(first: EventLog, second: EventLog): () => void {
  let release = (): void => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  const take = first.receiver.onBatch;
  first.receiver.onBatch = async (batch, body) => {
    await held;
    return take(batch, body);
  };
  second.receiver.onBatch = () => held.then(() => 503);
  return release;
}

/** The primary is gone, the standby is the server, and the address leads there. */
async function failOver({ primary, standby, link, address }: Servers): Promise<void> {
  await primary.stop('immediate');
  link.cut();
  await onServer(standby, (client) => client.query('SELECT pg_promote()'));
  address.redirect({ host: '127.0.0.1', port: standby.port });
  address.cut();
}

interface Servers {
  readonly primary: EmbeddedPostgres;
  readonly standby: EmbeddedPostgres;
  readonly link: TcpProxy;
  readonly address: TcpProxy;
}

const MORE = { delivery: { park_after: '3s', timeout: '20s' } };

/** Sinks of the scene and another one. */
function sinksOf(scene: HealingScene, other: EventLog): Record<string, object> {
  return { ...scene.log.sinks, other: other.receiver.sink() };
}

/** Resolves when the primary has confirmed all of it: delivered to the one, parked for the other. */
async function confirmed(servers: Servers, scene: HealingScene, count: number): Promise<void> {
  const end = lsn(await one(servers.primary, 'SELECT pg_current_wal_lsn()::text AS value'));
  await poll(
    'it is parked and confirmed',
    async () => {
      const [row] = await scene.database.query<{ parked: number; lsn: string }>(
        `SELECT (SELECT count(*)::integer FROM walpost.parked) AS parked, confirmed_flush_lsn::text AS lsn
           FROM pg_replication_slots WHERE slot_name = $1`,
        [scene.database.slotName],
      );
      return (row && row.parked >= count && lsn(row.lsn) > end) || undefined;
    },
    20_000,
  );
}

const logged = (relay: RelayInProcess): object[] => relay.lines.map((line) => JSON.parse(line) as object);

test(
  'a failover to a standby that lags and has no slot: what its outbox has is all delivered',
  { timeout: 90_000 },
  async () => {
    await using primary = await startServer();
    await using link = await TcpProxy.before(primary.url());
    await using standby = await startStandby(primary, link.port);
    await using address = await TcpProxy.before(primary.url());
    const servers = { primary, standby, link, address };
    await using other = await EventLog.start();
    await using scene = await HealingScene.set({ server: address.url(primary.url()) });
    await using relay = await scene.start({ sinks: sinksOf(scene, other), config: MORE });
    const before = await scene.publish(5);
    await scene.log.has(before);
    await other.has(before);
    await scene.proven(before);

    const take = other.receiver.onBatch;
    const release = hold(scene.log, other);
    const copied = await scene.publish(10);
    await catchesUp(primary, standby);
    link.hold();
    release();
    await scene.log.has(copied);
    const gone = await scene.publish(5);
    await scene.log.has(gone);
    await confirmed(servers, scene, copied.length + gone.length);

    await failOver(servers);
    for (const log of [scene.log, other]) log.clear();
    other.receiver.onBatch = take;
    await scene.reconnect();
    await relay.streams();
    const fresh = await scene.publish(5);
    for (const log of [scene.log, other]) {
      await log.has([...copied, ...fresh]);
      expect(log.missing(gone)).toEqual(gone);
    }
    expect(await scene.jobs()).toMatchObject([{ state: 'done', reason: 'The slot is missing.' }]);
    expect(logged(relay)).toContainEqual(expect.objectContaining({ code: 'SLOT_LOST' }));
    await relay.stop();
  },
);
