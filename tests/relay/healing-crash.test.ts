import { execFile } from 'node:child_process';
import { rename, rm } from 'node:fs/promises';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { RunningWalpost } from '../e2e/running-walpost.ts';
import { startServer } from '../support/server.ts';
import { poll } from '../support/slot-session.ts';
import { HealingScene } from './healing-scene.ts';

const CONFIG = { batching: { window: '10ms' } };
const SOURCE = { source: { checkpoint_interval: '100ms' } };

function launch(scene: HealingScene): RunningWalpost {
  return new RunningWalpost({ database: scene.database, sinks: scene.log.sinks, config: { ...CONFIG, ...SOURCE } });
}

/** A relay that led, proven events, a slot that was dropped, and events before and after. */
async function wounded(scene: HealingScene): Promise<string[]> {
  const relay = await scene.start();
  const ids = await scene.publish(3);
  await scene.log.has(ids);
  await scene.proven(ids);
  await scene.log.has(ids);
  await relay.stop();
  scene.log.clear();
  const lost = await scene.publish(10);
  await scene.dropSlot();
  lost.push(...(await scene.publish(10)));
  return lost;
}

interface Step {
  readonly name: string;
  /** Makes the healer stop at the step; resolves when it is there. What it gives back lets it go on. */
  readonly hold: (scene: HealingScene, launched: () => RunningWalpost) => Promise<() => Promise<unknown>>;
}

const STEPS: readonly Step[] = [
  {
    name: 'the job is committed, and the slot is not made yet',
    async hold(scene, launched) {
      const open = await scene.database.client();
      await open.query('BEGIN');
      await open.query('SELECT pg_current_xact_id()'); // a slot cannot begin while it is open
      launched();
      await poll('the slot waits to be made', async () => {
        const made = await scene.database.query(
          'SELECT FROM pg_replication_slots WHERE slot_name = $1 AND active AND confirmed_flush_lsn IS NULL',
          [scene.database.slotName],
        );
        return made.length > 0 || undefined;
      });
      return () => open.query('ROLLBACK');
    },
  },
  {
    name: 'the scan is under way',
    async hold(scene, launched) {
      let reached = (): void => undefined;
      const arrived = new Promise<void>((resolve) => (reached = resolve));
      let release = (): void => undefined;
      const held = new Promise<number>((resolve) => (release = () => resolve(500)));
      const keep = scene.log.receiver.onBatch;
      scene.log.receiver.onBatch = () => (reached(), held);
      launched();
      await arrived;
      return async () => {
        scene.log.receiver.onBatch = keep;
        release();
      };
    },
  },
  {
    name: 'all is settled, and the job is not closed yet',
    async hold(scene, launched) {
      const locker = await scene.database.client();
      await locker.query('BEGIN');
      await locker.query('LOCK TABLE walpost.checkpoints IN SHARE MODE');
      launched();
      await poll('it waits to record the checkpoint', async () => {
        const waiting = await scene.database.query(
          "SELECT FROM pg_locks WHERE NOT granted AND relation = 'walpost.checkpoints'::regclass",
        );
        return waiting.length > 0 || undefined;
      });
      return () => locker.query('ROLLBACK');
    },
  },
];

test.each(STEPS)('killed when $name', { timeout: 60_000 }, async ({ hold }) => {
  await using scene = await HealingScene.set();
  const ids = await wounded(scene);
  const started: RunningWalpost[] = [];
  const letGo = await hold(scene, () => {
    const process = launch(scene);
    started.push(process);
    return process;
  });
  const [healer] = started;
  healer?.cli.child.kill('SIGKILL');
  await healer?.cli.result();
  expect(await scene.jobs()).toMatchObject([{ reason: 'The slot is missing.' }]);
  expect((await scene.jobs())[0]?.state).toMatch(/queued|running/);
  await letGo();
  ids.push(...(await scene.publish(5)));
  await using next = launch(scene);
  await next.cli.prints(/"msg":"streaming from/);
  ids.push(...(await scene.publish(5)));
  await scene.log.has(ids);
  expect(await scene.jobs()).toMatchObject([{ state: 'done', reason: 'The slot is missing.' }]);
  await healer?.[Symbol.asyncDispose]();
});

test('a slot that the server gave up because of max_slot_wal_keep_size', { timeout: 60_000 }, async () => {
  await using server = await startServer('17', {
    settings: { max_slot_wal_keep_size: '1MB', min_wal_size: '32MB', max_wal_size: '32MB' },
  });
  await using scene = await HealingScene.set({ server: server.url() });
  const relay = await scene.start();
  const ids = await scene.publish(3);
  await scene.log.has(ids);
  await scene.proven(ids);
  await relay.stop();
  const lost = await scene.publish(20);
  await poll('the slot is lost', async () => {
    await scene.database.query("SELECT pg_logical_emit_message(false, 'noise', repeat('x', 1000000))");
    await scene.database.query('SELECT pg_switch_wal()');
    await scene.database.query('CHECKPOINT');
    const [slot] = await scene.database.query<{ wal_status: string }>('SELECT wal_status FROM pg_replication_slots');
    return slot?.wal_status === 'lost' || undefined;
  });
  await using again = await scene.start();
  await scene.log.has(lost);
  const [job] = await scene.jobs();
  expect(job).toMatchObject({ state: 'done' });
  expect(job?.reason).toMatch(/^The server gave the slot up \((wal_removed|its wal_status is lost)\)\.$/);
  const live = await scene.publish(2);
  await scene.log.has(live);
  await again.stop();
});

test(
  'a server that is set back to an earlier copy of its files: what is in its tables then is all delivered',
  { timeout: 60_000 },
  async () => {
    await using server = await startServer();
    await using scene = await HealingScene.set({ server: server.url() });
    const relay = await scene.start();
    const before = await scene.publish(5);
    await scene.log.has(before);
    await relay.stop();
    const copied = await scene.publish(5); // committed, not delivered when the copy was made
    await server.stop();
    const copy = `${server.dataDirectory}.copy`;
    await promisify(execFile)('cp', ['-a', server.dataDirectory, copy]);
    await server.start();
    await scene.reconnect();
    await using later = await scene.start();
    const gone = await scene.publish(30);
    await scene.log.has([...copied, ...gone]);
    await later[Symbol.asyncDispose]();
    scene.log.clear();
    await server.stop();
    await rm(server.dataDirectory, { recursive: true });
    await rename(copy, server.dataDirectory);
    await server.start();
    await scene.reconnect();
    await using restored = await scene.start();
    const fresh = await scene.publish(5);
    await scene.log.has([...copied, ...fresh]);
    expect(scene.log.missing(before)).toEqual(before);
    expect(await scene.jobs()).toEqual([]);
    await restored.stop();
  },
);
