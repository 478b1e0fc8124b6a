import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { RelayInProcess } from '../support/relay-in-process.ts';
import { startServer } from '../support/server.ts';
import { poll } from '../support/slot-session.ts';
import { HealingScene } from './healing-scene.ts';
import { newClient } from '../support/client.ts';

/** Commits wait for a standby that is not there, but for those of sessions that say otherwise. */
const SYNCHRONOUS = { synchronous_standby_names: 'away' };
const LOCAL = '?options=-csynchronous_commit%3Dlocal';

/** An open transaction, which the making of a slot has to wait for. */
async function openTransaction(scene: HealingScene): Promise<{ xid: string; end: () => Promise<unknown> }> {
  const client = await scene.database.client();
  await client.query('BEGIN');
  const { rows } = await client.query<{ xid: string }>('SELECT pg_current_xact_id()::xid::text AS xid');
  return { xid: rows[0]?.xid ?? '', end: () => client.query('ROLLBACK') };
}

async function slotWaitsFor(scene: HealingScene, xid: string): Promise<void> {
  await poll('the slot waits for the transaction', async () => {
    const waiting = await scene.database.query(
      `SELECT FROM pg_locks JOIN pg_replication_slots ON pid = active_pid
        WHERE NOT granted AND transactionid = $1::text::xid AND slot_name = $2`,
      [xid, scene.database.slotName],
    );
    return waiting.length > 0 || undefined;
  });
}

/** A commit whose record is written, and which nobody sees yet. */
async function stuckCommit(scene: HealingScene) {
  const url = new URL(scene.database.url);
  url.searchParams.delete('options');
  const client = newClient({ connectionString: url.href, application_name: 'stuck' });
  await client.connect();
  const organization = scene.organizations[0];
  const written = client.query<{ id: string }>(`SELECT walpost.publish($1, 'thing.made', '{}')::text AS id`, [
    organization,
  ]);
  written.catch(() => undefined); // awaited as the id
  await poll('the commit waits for the standby', async () => {
    const waiting = await scene.database.query(
      "SELECT FROM pg_stat_activity WHERE application_name = 'stuck' AND wait_event = 'SyncRep'",
    );
    return waiting.length > 0 || undefined;
  });
  return { id: (): Promise<string> => written.then(({ rows }) => rows[0]?.id ?? ''), end: () => client.end() };
}

async function liftStandby(scene: HealingScene): Promise<void> {
  await scene.database.query("ALTER SYSTEM SET synchronous_standby_names = ''");
  await scene.database.query('SELECT pg_reload_conf()');
}

/**
 * The slot begins when the transactions that it saw at its first two looks have ended. One that began after the second look
 * may commit before the slot's beginning; then it will not be streamed, and only the snapshot of the slot sees it.
 */
async function healAroundStuckCommit(scene: HealingScene) {
  const first = await openTransaction(scene);
  const relay = new RelayInProcess(scene.options());
  await slotWaitsFor(scene, first.xid);
  const second = await openTransaction(scene);
  await first.end();
  await slotWaitsFor(scene, second.xid);
  const stuck = await stuckCommit(scene);
  await second.end();
  await poll('the slot is made', async () => {
    const of =
      'SELECT FROM pg_replication_slots WHERE slot_name = $1 AND NOT active AND confirmed_flush_lsn IS NOT NULL';
    return (await scene.database.query(of, [scene.database.slotName])).length > 0 || undefined;
  });
  return { relay, stuck };
}

test(
  'a commit that is in the WAL and not visible while the slot is made: its event is healed, once it is visible',
  { timeout: 60_000 },
  async () => {
    await using server = await startServer('17', { settings: SYNCHRONOUS });
    await using scene = await HealingScene.set({ server: `${server.url()}${LOCAL}` });
    const before = await scene.start();
    const ids = await scene.publish(3);
    await scene.log.has(ids);
    await before.stop();
    await scene.dropSlot();
    const { relay, stuck } = await healAroundStuckCommit(scene);
    await using _relay = relay;
    try {
      await delay(1_000); // longer than any window: nothing may come, so nothing can signal
      expect(scene.log.events.filter(({ event_id: id }) => !ids.includes(id))).toEqual([]);
      const { ready, role, detail } = relay.service.readiness();
      expect([ready, role, detail]).toEqual([false, 'starting', expect.stringMatching(/^healing: /)]);
      await liftStandby(scene);
      const id = await stuck.id();
      await scene.log.has([id]);
      const event = scene.log.events.find(({ event_id }) => event_id === id);
      expect(event?.lsn).toBeNull(); // it came from the table: the stream does not have it
      await relay.streams();
      await scene.log.has(await scene.publish(2));
      expect(await scene.jobs()).toMatchObject([{ state: 'done' }]);
    } finally {
      await liftStandby(scene);
      await stuck.end();
    }
  },
);
