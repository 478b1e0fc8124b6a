/** Situations of the processes: none leads, one cannot, one may not, a second one. */
import { leaderLockKey } from '../../../src/leader/lock-key.ts';
import { closedPort } from '../../support/webhook-receiver.ts';
import type { Scene } from '../scene.ts';
import { ACME, STREAMS } from '../stage.ts';

const SLOT = 'walpost_app';

const starting: Scene = {
  symptom: '`/readyz` 503, role `starting`',
  says: {
    cause: /Creating the slot waits for older transactions/,
    subject: /process \d+ "month end" of role "postgres"/,
    remedy: /pg_terminate_backend\(\d+\)/,
  },
  over: /200 OK .*"role":"leader"/,
  async play(stage) {
    const session = await stage.database.client('month end');
    await session.query('BEGIN');
    await session.query('SELECT pg_current_xact_id()');
    const { rows } = await session.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    stage.transcript.begins(
      'The first start has to create the slot, and a transaction of another program has been open for long.',
    );
    const running = await stage.run(/pg_terminate_backend\(\d+\)/);
    await stage.get('/readyz', /503 .*"role":"starting"/);
    stage.transcript.remedy('The session that is named is ended:');
    await stage.sql(`SELECT pg_terminate_backend(${rows[0]?.pid})`);
    await running.shows(STREAMS);
    await stage.get('/readyz', /200 OK/);
  },
};

const stranger: Scene = {
  symptom: '`/readyz` 503, role `standby`; alert `leader_lock_taken`',
  says: {
    cause: /holds the leader's lock/,
    subject: /server process \d+ \(role app, application reports\)/,
    remedy: /pg_terminate_backend\(\d+\)/,
  },
  over: /role leader/,
  async play(stage) {
    const first = await stage.run(STREAMS);
    await first.stop();
    await stage.database.query(`DROP ROLE IF EXISTS app; CREATE ROLE app LOGIN PASSWORD 'app'`);
    const url = new URL(stage.database.ownerUrl);
    [url.username, url.password] = ['app', 'app'];
    const session = await stage.database.client('reports', url.href);
    await session.query('SELECT pg_advisory_lock($1)', [leaderLockKey(SLOT).toString()]);
    const { rows } = await session.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    stage.transcript.begins('A session of an application has taken the advisory lock of the leader.');
    await stage.run(/LEADER_LOCK_TAKEN/);
    await stage.get('/readyz', /503 .*"role":"standby"/);
    await stage.walpost(['status'], [/critical +leader_lock_taken/]);
    await stage.sql('SELECT * FROM walpost.alerts', /leader_lock_taken/);
    stage.transcript.remedy('The session that is named is ended:');
    await stage.sql(`SELECT pg_terminate_backend(${rows[0]?.pid})`);
    await stage.walpost(['status'], [/role leader/]);
    await stage.database.query('DROP ROLE app');
  },
};

const nobody: Scene = {
  symptom: '`nobody streams from it`',
  says: { cause: /nobody streams from it/, subject: /slot walpost_app/, remedy: /Start `walpost run`/ },
  over: /slot walpost_app, reserved, active/,
  async play(stage) {
    const first = await stage.run(STREAMS);
    await first.stop();
    await stage.publish(ACME, 3);
    stage.transcript.begins('The process was stopped, and applications go on writing.');
    await stage.walpost(['status'], [/nobody streams from it/]);
    await stage.sql('SELECT * FROM walpost.alerts', /slot_inactive/);
    stage.transcript.remedy('A process is started:');
    await stage.run(STREAMS);
    await stage.receiver.received(3);
    await stage.walpost(['status'], [/role leader/, /active/]);
  },
};

const two: Scene = {
  symptom: 'role `standby`, and it delivers nothing',
  says: { cause: /role standby/, subject: /server process \d+ from 127\.0\.0\.1 leads walpost_app/, remedy: null },
  over: /role leader, epoch 2/,
  async play(stage) {
    const first = await stage.run(STREAMS);
    stage.transcript.begins('Two processes run. One of them leads, the other one stands by, as it should.');
    const port = `http.port=${await closedPort()}`;
    const second = await stage.run(/standing by/, '--set', port);
    await stage.walpost(['status', '--set', port], [/role standby/]);
    stage.transcript.remedy('Nothing has to be done. When the leader is stopped, the other process leads:');
    await first.stop();
    await second.shows(STREAMS);
    await stage.walpost(['status', '--set', port], [/role leader/]);
  },
};

export const PROCESS_SCENES: readonly Scene[] = [starting, stranger, two, nobody];
