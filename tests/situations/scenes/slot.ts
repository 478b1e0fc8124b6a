/** Situations of the slot: something holds it back, its WAL is running out, or is gone. */
import { poll } from '../../support/slot-session.ts';
import type { Scene } from '../scene.ts';
import { ACME, type Stage, STREAMS } from '../stage.ts';

/** Has a slot, and nobody who streams from it. */
async function stopped(stage: Stage): Promise<void> {
  const running = await stage.run(STREAMS);
  await running.stop();
}

/** The server moves a slot at such a record, which it writes by itself every 15 s. */
const MOVE_SLOT = 'SELECT pg_log_standby_snapshot()';

/** Files of 16 MiB. */
async function writeWal(stage: Stage, files: number): Promise<void> {
  for (let file = 0; file < files; file += 1) {
    await stage.database.query('SELECT pg_switch_wal(), pg_current_xact_id()');
  }
  await stage.database.query('CHECKPOINT');
}

const held: Scene = {
  symptom: '`WAL kept` grows',
  says: {
    cause: /WAL kept [3-9]\d\.\d MiB/,
    subject: /server process \d+ \(role \w+, application 'nightly import', database app\)/,
    remedy: /End it in its application, or with SELECT pg_terminate_backend\(\d+\)/,
  },
  over: /WAL kept [\d.]+ (B|KiB)/,
  async play(stage) {
    await stage.run(STREAMS);
    // A login without pg_read_all_stats is told of a transaction when it holds more than that, 64 MiB by default.
    await stage.database.query(
      `INSERT INTO walpost.settings (name, value) VALUES ('alert_held_bytes', '1048576')
       ON CONFLICT (name, topic) DO UPDATE SET value = excluded.value`,
    );
    const session = await stage.database.client('nightly import');
    await session.query('CREATE TABLE public.imported (id integer); BEGIN; INSERT INTO public.imported VALUES (1)');
    const { rows } = await session.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    await writeWal(stage, 3);
    stage.transcript.begins(
      'A transaction has been open for long. The server keeps the WAL since its beginning, although all is delivered.',
    );
    await stage.walpost(['status'], [/WAL kept [3-9]\d\.\d MiB/, /held by .*nightly import/]);
    stage.transcript.remedy('Its session is ended, as `held by` says:');
    await stage.sql(`SELECT pg_terminate_backend(${rows[0]?.pid})`);
    const left = `SELECT FROM pg_stat_activity WHERE pid = ${rows[0]?.pid}`;
    await poll('the session has ended', async () => (await stage.database.query(left)).length === 0 || undefined);
    await stage.database.query(MOVE_SLOT);
    await stage.walpost(['status'], [/held by nothing/, /WAL kept [\d.]+ (B|KiB)/]);
  },
};

const unreserved: Scene = {
  symptom: 'slot `unreserved`, alert `wal_budget`, little `WAL left`',
  says: { cause: /unreserved/, subject: /slot walpost_app/, remedy: /raise max_slot_wal_keep_size, before the slot/ },
  over: /slot walpost_app, reserved, active/,
  async play(stage) {
    await stopped(stage);
    await stage.database.setting('max_slot_wal_keep_size', '32MB');
    await stage.publish(ACME, 2);
    for (let file = 0; file < 5; file += 1) await stage.database.query('SELECT pg_switch_wal(), pg_current_xact_id()');
    stage.transcript.begins('Nobody streams, and the WAL has grown beyond `max_slot_wal_keep_size`.');
    await stage.walpost(['status'], [/unreserved/]);
    await stage.sql('SELECT * FROM walpost.alerts', /slot_unreserved/);
    stage.transcript.remedy('walpost is started before the next checkpoint of the server:');
    await stage.run(STREAMS);
    await stage.receiver.received(2);
    await stage.database.query(MOVE_SLOT);
    await stage.walpost(['status'], [/walpost_app, reserved, active/]);
  },
};

const lost: Scene = {
  symptom: 'slot `lost` or `missing`',
  says: {
    cause: /walpost_app, lost/,
    subject: /slot walpost_app/,
    remedy: /Start walpost: with source\.on_slot_lost: heal/,
  },
  over: /slot walpost_app, reserved, active/,
  async play(stage) {
    await stopped(stage);
    await stage.publish(ACME, 2);
    await stage.database.setting('max_slot_wal_keep_size', '16MB');
    await writeWal(stage, 5);
    stage.transcript.begins(
      'The WAL has grown beyond `max_slot_wal_keep_size`, and the server has removed what the slot needs.',
    );
    await stage.walpost(['status'], [/lost/]);
    await stage.sql('SELECT * FROM walpost.alerts', /slot_lost/);
    await stage.database.setting('max_slot_wal_keep_size', '-1');
    stage.transcript.remedy('walpost is started, and reads from the table what the slot lacks:');
    await stage.run(STREAMS);
    await stage.receiver.received(2);
    await stage.walpost(['jobs', 'list'], [/heal/, /done/]);
    await stage.walpost(['status'], [/walpost_app, reserved, active/]);
  },
};

export const SLOT_SCENES: readonly Scene[] = [held, unreserved, lost];
