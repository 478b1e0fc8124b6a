import { execFile } from 'node:child_process';
import { mkdtemp, rename, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import type { EmbeddedPostgres } from '../../src/demo/postgres/embedded-postgres.ts';
import { createTestDatabase } from '../support/database.ts';
import { debianPostgresMissing, startDebianPostgres } from '../support/debian-postgres.ts';
import { baseBackup, dump, load } from '../support/debian-programs.ts';
import type { RelayInProcess, RelayInProcessOptions } from '../support/relay-in-process.ts';
import { startServer } from '../support/server.ts';
import { HealingScene } from './healing-scene.ts';

const missing = await debianPostgresMissing();
const run = promisify(execFile);

class Scratch implements AsyncDisposable {
  readonly path: string;
  private constructor(path: string) {
    this.path = path;
  }
  static async make(): Promise<Scratch> {
    return new Scratch(await mkdtemp(join(tmpdir(), 'walpost-restore-')));
  }
  get file(): string {
    return join(this.path, 'dump');
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.path, { recursive: true });
  }
}

const codes = ({ lines }: RelayInProcess): unknown[] =>
  lines.map((line) => (JSON.parse(line) as { code?: string }).code);

/** Five events that came, of a relay that then ended; proven. */
async function delivered(scene: HealingScene, more: Partial<RelayInProcessOptions> = {}): Promise<string[]> {
  const relay = await scene.start(more);
  const ids = await scene.publish(5);
  await scene.log.has(ids);
  await scene.proven(ids);
  await scene.log.has(ids);
  await relay.stop();
  return ids;
}

/** The copy takes the place of the server's files. */
async function setBack(server: EmbeddedPostgres, copy: string): Promise<void> {
  await server.stop();
  const { uid, gid } = await stat(server.dataDirectory);
  await rm(server.dataDirectory, { recursive: true });
  await rename(copy, server.dataDirectory);
  await run('chown', ['-R', `${uid}:${gid}`, server.dataDirectory]);
  await server.start();
}

/** With on_slot_lost: stop it ends with the code; as it is by default it heals, and says the code. */
async function healsWith(
  scene: HealingScene,
  code: string,
  more: Partial<RelayInProcessOptions> = {},
): Promise<RelayInProcess> {
  const source = { ...more.source, on_slot_lost: 'stop' };
  await expect(scene.start({ ...more, source })).rejects.toMatchObject({ code });
  const relay = await scene.start(more);
  expect(codes(relay)).toContain(code);
  return relay;
}

describe.skipIf(missing)(`a restore with the programs of Postgres 15`, { timeout: 90_000 }, () => {
  test('from pg_basebackup, which brings no slot', async () => {
    await using server = await startDebianPostgres();
    await using scene = await HealingScene.set({ server: server.url() });
    await delivered(scene);
    const copied = await scene.publish(5);
    const copy = `${server.dataDirectory}.copy`;
    await baseBackup(server.url(), copy);
    const later = await scene.start();
    await scene.log.has([...copied, ...(await scene.publish(20))]);
    await later.stop();
    await setBack(server, copy);
    await scene.reconnect();
    scene.log.clear();
    const fresh = await scene.publish(5);
    await using relay = await healsWith(scene, 'SLOT_LOST');
    await scene.log.has([...copied, ...fresh, ...(await scene.publish(5))]);
    expect(await scene.jobs()).toMatchObject([{ state: 'done', reason: 'The slot is missing.' }]);
    await relay.stop();
  });

  test('a dump that is loaded into another cluster', async () => {
    await using scratch = await Scratch.make();
    await using old = await startDebianPostgres();
    await using source = await HealingScene.set({ server: old.url() });
    const ids = await delivered(source);
    ids.push(...(await source.publish(5)));
    await dump(source.database.url, scratch.file);

    await using server = await startServer();
    await using _roles = await createTestDatabase({ server: server.url() });
    await using scene = await HealingScene.set({ server: server.url(), migrated: false });
    await load(scene.database.url, scratch.file);
    const fresh = await scene.publish(5);
    const slot = source.database.slotName;
    const waiting = (await scene.query('SELECT FROM walpost.outbox')).length;
    for (const on_slot_lost of ['heal', 'stop']) {
      const silent = scene.start({ source: { slot, on_slot_lost } });
      await expect(silent).rejects.toMatchObject({ code: 'COPIED_DATABASE', policy: 'operator' });
      await expect(silent).rejects.toThrow(`has ${waiting} rows, 0 events are parked`);
    }
    expect(scene.log.events).toEqual([]);
    await using relay = await scene.start({ source: { slot, existing: 'deliver' } });
    await scene.log.has([...ids, ...fresh, ...(await scene.publish(5))]);
    expect(await scene.jobs()).toMatchObject([{ state: 'done', from_lsn: null }]);
    await relay.stop();
  });

  test('a later dump that is loaded into a server which was set back: the cursor is ahead of the WAL', async () => {
    await using scratch = await Scratch.make();
    await using server = await startDebianPostgres();
    await using scene = await HealingScene.set({ server: server.url() });
    await delivered(scene);
    const ids = await laterDump(scene, server, scratch);
    const fresh = await scene.publish(5);
    scene.log.clear();
    await using relay = await healsWith(scene, 'CURSOR_AHEAD');
    await scene.log.has([...ids, ...fresh, ...(await scene.publish(5))]);
    expect(await scene.jobs()).toMatchObject([{ state: 'done', from_lsn: null }]);
    await relay.stop();
  });

  test('the same, and the WAL has caught up with the cursor before walpost starts', async () => {
    await using scratch = await Scratch.make();
    await using server = await startDebianPostgres();
    await using scene = await HealingScene.set({ server: server.url() });
    await delivered(scene);
    const ids = await laterDump(scene, server, scratch);
    await scene.dropSlot();
    await noise(scene, 4);
    const fresh = await scene.publish(5);
    scene.log.clear();
    await using relay = await healsWith(scene, 'CURSOR_AHEAD');
    await scene.log.has([...ids, ...fresh, ...(await scene.publish(5))]);
    await relay.stop();
  });
});

async function noise(scene: HealingScene, segments: number): Promise<void> {
  for (let left = segments; left > 0; left--) {
    await scene.query("SELECT pg_logical_emit_message(false, 'noise', 'x')");
    await scene.query('SELECT pg_switch_wal()');
  }
}

/** Files are copied; much happens; a dump is made; the files are set back, and the dump is loaded. With what it holds. */
async function laterDump(scene: HealingScene, server: EmbeddedPostgres, scratch: Scratch): Promise<string[]> {
  await server.stop();
  const copy = `${server.dataDirectory}.copy`;
  await run('cp', ['-a', server.dataDirectory, copy]);
  await server.start();
  await scene.reconnect();
  await noise(scene, 3);
  await scene.query(`DO $$ BEGIN FOR n IN 1..5000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$`);
  const relay = await scene.start();
  const ids = await scene.publish(200);
  await scene.log.has(ids);
  await scene.proven(ids);
  await relay.stop();
  ids.push(...(await scene.publish(5)));
  await dump(scene.database.url, scratch.file);
  await setBack(server, copy);
  await load(scene.database.url, scratch.file);
  await scene.reconnect();
  return ids;
}
