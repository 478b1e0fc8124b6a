import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ConfigFile } from '../support/config-file.ts';
import { configOf } from '../e2e/running-walpost.ts';
import { createRole } from '../support/database-role.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { RelayInProcess } from '../support/relay-in-process.ts';
import { poll } from '../support/slot-session.ts';
import { walpost } from '../support/walpost-cli.ts';

let database: TestDatabase;
beforeEach(async () => void (database = await createTestDatabase()));
afterEach(() => database[Symbol.asyncDispose]());

const organization = randomUUID();

async function letter(fields: Readonly<Record<string, string | null>>): Promise<void> {
  const given = {
    slot: database.slotName,
    system_identifier: '1',
    epoch: '1',
    sink: 'hook',
    reason: 'failed',
    detail: 'our words',
    answer: 'their words',
    attempts: '1',
    organization_id: organization,
    event_type: 'a',
    event_id: randomUUID(),
    ...fields,
  };
  const names = Object.keys(given);
  await database.query(
    `INSERT INTO walpost.dead_letters (${names.join(', ')}) VALUES (${names.map((_, n) => `$${n + 1}`).join(', ')})`,
    Object.values(given),
  );
}

test('a reader sees every column but the answer, in no table and no view; an operator sees it', async () => {
  await letter({});
  await database.query(
    `INSERT INTO walpost.delivery_log (slot, sink, organization_id, first_event_id, last_event_id, event_ids, events, attempt,
       outcome, reason, answer, duration_ms, at)
     VALUES ('s', 'hook', $1, '1', '1', '{1}', 1, 1, 'failed', 'our words', 'their words', 1, now())`,
    [organization],
  );
  await using reader = await createRole(database, { in: ['walpost_reader'] });
  await using publisher = await createRole(database, { in: ['walpost_publisher'] });
  await using operator = await createRole(database, { in: ['walpost_operator'] });
  const [asReader, asPublisher, asOperator] = [
    await reader.client(),
    await publisher.client(),
    await operator.client(),
  ];
  await asReader.query(`SELECT set_config('app.current_org_id', $1, false)`, [organization]);
  await asPublisher.query(`SELECT set_config('app.current_org_id', $1, false)`, [organization]);
  for (const table of ['dead_letters', 'delivery_log']) {
    const columns = await database.query<{ name: string }>(
      `SELECT attname AS name FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped AND attname <> 'answer'`,
      [`walpost.${table}`],
    );
    const { rows } = await asReader.query(`SELECT ${columns.map(({ name }) => name).join(', ')} FROM walpost.${table}`);
    expect(JSON.stringify(rows)).toContain('our words');
    for (const client of [asReader, asPublisher]) {
      for (const sql of ['answer', '*', 't', 'to_jsonb(t)']) {
        await expect(client.query(`SELECT ${sql} FROM walpost.${table} AS t`)).rejects.toMatchObject({ code: '42501' });
      }
      await expect(client.query(`SELECT FROM walpost.${table} WHERE answer LIKE 't%'`)).rejects.toMatchObject({
        code: '42501',
      });
    }
    expect((await asOperator.query(`SELECT answer FROM walpost.${table}`)).rows).toEqual([{ answer: 'their words' }]);
  }
  for (const view of ['error_summary', 'event_timeline', 'queue_status', 'organization_health']) {
    const { rows } = await asReader.query(`SELECT * FROM walpost.${view}`);
    expect(`${view}: ${JSON.stringify(rows)}`).not.toContain('their words');
  }
});

test.each(['dead_letters', 'delivery_log', 'lanes'])(
  'readers have every column of %s but the answer',
  async (table) => {
    const hidden = await database.query(
      `SELECT attname::text AS name FROM pg_attribute
      WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped
        AND NOT has_column_privilege('walpost_reader', attrelid, attnum, 'SELECT')`,
      [`walpost.${table}`],
    );
    expect(hidden).toEqual([{ name: 'answer' }]);
  },
);

test(
  'a reason, an outcome or a kind of job that nobody knows is stored and shown, and holds nothing up',
  { timeout: 120_000 },
  async () => {
    await letter({ reason: 'expired', event_type: 'old' });
    await letter({
      reason: 'malformed',
      poison_row: '{"a": "b"}',
      event_id: null,
      organization_id: null,
      event_type: null,
    });
    await database.query(
      `INSERT INTO walpost.delivery_log (slot, sink, organization_id, first_event_id, last_event_id, event_ids, events, attempt,
       outcome, duration_ms, at) VALUES ('s', 'hook', $1, '1', '1', '{1}', 1, 1, 'postponed', 1, now())`,
      [organization],
    );
    await database.query(`INSERT INTO walpost.jobs (slot, kind) VALUES ($1, 'reindex')`, [database.slotName]);
    const sinks = { hook: { type: 'discard' } };
    await using relay = await RelayInProcess.start({ database, sinks });
    const [job] = await poll('the job has ended', async () => {
      const rows = await database.query<{ state: string; error: string }>(
        'SELECT state, error FROM walpost.jobs WHERE ended_at IS NOT NULL',
      );
      return rows.length > 0 ? rows : undefined;
    });
    expect(job).toEqual({ state: 'failed', error: 'this release of walpost knows no jobs of the kind "reindex"' });
    expect(await database.query('SELECT reason, event_type FROM walpost.error_summary ORDER BY reason')).toEqual([
      { reason: 'expired', event_type: 'old' },
      { reason: 'malformed', event_type: null },
    ]);

    using file = new ConfigFile(JSON.stringify(configOf({ database, sinks })));
    const list = await walpost(['dead-letters', 'list', '--config', file.path]);
    expect(list.stdout).toMatch(/^\d+ +hook +expired .* our words +their words$/m);
    expect(list.stdout.split('\n')[0]).toMatch(/detail +the destination's own words$/);

    // A redrive sends what is an event, and leaves what is none.
    await database.query(
      `UPDATE walpost.dead_letters SET event_version = 1, topic = 't', payload = '{}', headers = '{}' WHERE reason = 'expired'`,
    );
    await database.query(`INSERT INTO walpost.jobs (slot, kind) VALUES ($1, 'redrive')`, [database.slotName]);
    await poll('the redrive has ended', async () => {
      const rows = await database.query(`SELECT FROM walpost.jobs WHERE kind = 'redrive' AND state = 'done'`);
      return rows.length > 0 || undefined;
    });
    expect(await database.query('SELECT reason FROM walpost.dead_letters')).toEqual([{ reason: 'malformed' }]);
    expect(relay.lines.join('')).not.toContain('their words');
  },
);
