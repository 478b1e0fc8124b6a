import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { configOf } from '../e2e/running-walpost.ts';
import { ConfigFile } from '../support/config-file.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { EventLog } from '../support/event-log.ts';
import { RelayInProcess } from '../support/relay-in-process.ts';
import { poll } from '../support/slot-session.ts';
import { WebhookReceiver } from '../support/webhook-receiver.ts';
import { type CliResult, walpost } from '../support/walpost-cli.ts';

const X = '01a1f9c1-5e61-768b-8ff0-dabec930edd1';
const Y = '01a1f9c1-5e61-768b-8ff0-dabec930edd2';

let database: TestDatabase;
let log: EventLog;
let other: EventLog;
let file: ConfigFile;
beforeEach(async () => {
  database = await createTestDatabase();
  log = await EventLog.start();
  other = await EventLog.start();
  file = new ConfigFile(JSON.stringify(configOf({ database, sinks: sinks() })));
});
afterEach(async () => {
  file[Symbol.dispose]();
  await log[Symbol.asyncDispose]();
  await other[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
});

const sinks = () => ({ hook: log.receiver.sink(), other: other.receiver.sink() });
const relay = (delivery: object): Promise<RelayInProcess> =>
  RelayInProcess.start({ database, sinks: sinks(), config: { routes: [{ to: ['hook'] }] as never, delivery } });
const run = (...argv: string[]): Promise<CliResult> => walpost([...argv, '--config', file.path]);

async function publish(organization: string, type: string): Promise<string> {
  const [row] = await database.query<{ id: string }>(`SELECT walpost.publish($1, $2, '{"n": 1.50}')::text AS id`, [
    organization,
    type,
  ]);
  return row?.id ?? '';
}

const count = async (table: string): Promise<number> => (await database.query(`SELECT FROM walpost.${table}`)).length;
const until = (table: string, rows: number): Promise<true> =>
  poll(`${rows} in ${table}`, async () => ((await count(table)) === rows ? (true as const) : undefined), 20_000);
/** The destination must accept others before a refusal is the event's own. */
const buried = (): Promise<true> =>
  poll(
    'the dead letter',
    async () => {
      if ((await count('dead_letters')) > 0) return true as const;
      await publish(Y, 'good');
      return undefined;
    },
    20_000,
  );
const organizationOf = (id: string): string[] =>
  log.events.filter((event) => event.organization_id === id).map((event) => event.event_id);

describe('dead letters that block their lane', () => {
  const delivery = { on_dead_letter: 'block', max_attempts: 1, park_after: '200ms' };

  function refuseBad(): () => void {
    const keep = log.receiver.onBatch;
    log.receiver.onBatch = (batch, body) =>
      batch.events.some(({ event_type }) => event_type === 'bad') ? 400 : keep(batch, body);
    return () => void (log.receiver.onBatch = keep);
  }

  test('stay until they are discarded, over a restart too; then the lane goes on without one', async () => {
    refuseBad();
    let [before, after]: string[] = [];
    {
      await using first = await relay(delivery);
      before = await publish(X, 'good');
      await log.has([before]);
      await publish(X, 'bad');
      await buried();
      after = await publish(X, 'good');
      await until('parked', 1);
      await log.has([await publish(Y, 'good')]);
      const [letter] = await database.query('SELECT sink, reason, blocks FROM walpost.dead_letters');
      expect(letter).toEqual({ sink: 'hook', reason: 'failed', blocks: true });
      await first.stop();
    }
    await using second = await relay(delivery);
    await log.has([await publish(Y, 'good')]);
    expect(organizationOf(X)).toEqual([before]);
    expect(await second.service.status()).toMatchObject({ lanes: { blocked: 1 } });
    const discarded = await run('dead-letters', 'discard', '--sink', 'hook', '--yes');
    expect(discarded).toMatchObject({ code: 0, stdout: 'Deleted 1 dead letter.\n' });
    await log.has([after]);
    expect(organizationOf(X)).toEqual([before, after]);
    await until('parked', 0);
    expect(await second.service.status()).toMatchObject({ lanes: { blocked: 0 } });
  }, 60_000);

  test('a redrive goes ahead of what waited behind it', async () => {
    const mend = refuseBad();
    await using _relay = await relay(delivery);
    await log.has([await publish(Y, 'good')]);
    const bad = await publish(X, 'bad');
    await buried();
    const after = [await publish(X, 'good'), await publish(X, 'good')];
    await until('parked', 2);
    const dry = await run('dead-letters', 'redrive', '--organization', X, '--dry-run');
    expect(dry).toMatchObject({ code: 0, stdout: '1 dead letter would be sent again (hook 1).\n' });
    const asked = await run('dead-letters', 'redrive', '--organization', X);
    expect(asked).toMatchObject({ code: 2, stderr: expect.stringContaining('Add --yes') as string });
    const others = await run('dead-letters', 'redrive', '--reason', 'expired', '--dry-run');
    expect(others).toMatchObject({ code: 0, stdout: 'No dead letter matches.\n' });
    mend();
    const sent = await run('dead-letters', 'redrive', '--organization', X, '--reason', 'failed', '--yes', '--json');
    expect(JSON.parse(sent.stdout)).toMatchObject({ letters: 1, job: { kind: 'redrive', state: 'done', settled: 1 } });
    await log.has([bad, ...after]);
    expect(organizationOf(X)).toEqual([bad, ...after]);
    expect(await count('dead_letters')).toBe(0);
  }, 60_000);

  test('list and show tell what happened, by filter', async () => {
    refuseBad();
    await using _relay = await relay({ max_attempts: 1 });
    await log.has([await publish(Y, 'good')]);
    const bad = await publish(X, 'bad');
    await buried();
    const list = (...filter: string[]) => run('dead-letters', 'list', '--json', ...filter);
    const [all, none, wrong] = await Promise.all([
      list('--reason', 'failed', '--type', 'b*', '--id', bad, '--sink', 'hook', '--older-than', '0'),
      list('--older-than', '1h'),
      list('--reason', 'bad'),
    ]);
    expect(JSON.parse(all.stdout)).toMatchObject([{ event_id: bad, sink: 'hook', reason: 'failed', blocks: false }]);
    expect(JSON.parse(none.stdout)).toEqual([]);
    expect(wrong.code).toBe(2);
    const { id } = (JSON.parse(all.stdout) as { id: string }[])[0] ?? { id: '' };
    const [text, shown, missing] = await Promise.all([
      run('dead-letters', 'list'),
      run('dead-letters', 'show', id, '--json'),
      run('dead-letters', 'show', '999'),
    ]);
    expect(text.stdout).toMatch(new RegExp(`^${id} +hook +failed +2 +${X} +bad +${bad} `, 'm'));
    expect(JSON.parse(shown.stdout)).toMatchObject({ event_id: bad, payload: '{"n": 1.50}', organization_id: X });
    expect(missing).toMatchObject({ code: 2, stderr: expect.stringContaining('DEAD_LETTER_UNKNOWN') as string });
  }, 60_000);
});

describe('parked events', () => {
  async function away(): Promise<{ ids: string[]; relay: RelayInProcess }> {
    log.receiver.onBatch = () => 503;
    const running = await relay({
      park_after: '100ms',
      quick_retries: 0,
      breaker: { reset_after: '1h', minimum_organizations: 1000 },
    });
    const ids: string[] = [];
    for (let i = 0; i < 6; i += 1) ids.push(await publish(i % 2 ? X : Y, 'a'));
    await until('parked', 6);
    return { ids, relay: running };
  }

  test('retry tries them at once', async () => {
    await using receiver = await WebhookReceiver.start();
    receiver.otherwise = { kind: 'answer', status: 503, headers: { 'retry-after': '3600' } };
    const hour = { hook: { type: 'webhook', url: receiver.url(), allow_private: true } };
    const delivery = { park_after: '100ms', breaker: { minimum_organizations: 1000 } };
    await using _relay = await RelayInProcess.start({ database, sinks: hour, config: { delivery } });
    for (const organization of [X, Y, X]) await publish(organization, 'a');
    await until('parked', 3);
    const tried = receiver.requests.length;
    receiver.otherwise = { kind: 'answer', status: 200 };
    const retried = await run('parked', 'retry', '--sink', 'hook');
    expect(retried).toMatchObject({ code: 0, stdout: '3 parked events in 2 lanes are due now.\n' });
    await until('parked', 0);
    expect(receiver.requests.length).toBeGreaterThan(tried);
  }, 60_000);

  test('move takes them to another sink in their order, and refuses one that is not there', async () => {
    const { ids, relay: running } = await away();
    await using _ = running;
    const [refused, moved] = [
      await run('parked', 'move', '--from', 'hook', '--to', 'nowhere', '--yes'),
      await run('parked', 'move', '--from', 'hook', '--to', 'other', '--yes'),
    ];
    expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('there is hook, other') as string });
    expect(moved).toMatchObject({ code: 0, stdout: 'Moved 6 parked events of hook to other.\n' });
    await other.has(ids);
    await until('parked', 0);
    for (const id of [X, Y]) {
      const got = other.events.filter((event) => event.organization_id === id).map((event) => event.event_id);
      expect(got).toEqual(got.toSorted());
    }
  }, 60_000);

  test('list shows why their lane was refused, how often, and when it is tried again, without a process too', async () => {
    await using receiver = await WebhookReceiver.start();
    receiver.otherwise = { kind: 'answer', status: 503, headers: { 'retry-after': '3600' } };
    const hour = { hook: { type: 'webhook', url: receiver.url(), allow_private: true } };
    const running = await RelayInProcess.start({
      database,
      sinks: hour,
      config: { delivery: { park_after: '100ms' } },
    });
    await publish(X, 'a');
    await publish(X, 'a');
    await until('parked', 2);
    const lanes =
      'SELECT state, reason, lane, attempts FROM walpost.lanes WHERE organization_id = $1 AND next_try_at > now()';
    const [lane] = await poll('the lane is written', async () => {
      const rows = await database.query<{ attempts: number }>(lanes, [X]);
      return rows.length > 0 ? rows : undefined;
    });
    expect(lane).toMatchObject({
      state: 'failing',
      lane: '',
      attempts: 1,
      reason: expect.stringContaining('503') as string,
    });
    await running.stop();
    const shown = JSON.parse((await run('parked', 'list', '--json')).stdout) as Record<string, unknown>[];
    expect(shown).toHaveLength(2);
    for (const row of shown) {
      expect(row).toMatchObject({ organization_id: X, attempts: 1, reason: expect.stringContaining('503') as string });
      expect(Date.parse(row['next_try_at'] as string)).toBeGreaterThan(Date.now() + 3_000_000);
    }
    await database.query('DELETE FROM walpost.lanes');
    const unknown = await run('parked', 'list');
    expect(unknown.stdout).toMatch(/unknown {2,}unknown {2,}unknown\n/);
  }, 120_000);

  test('a lane that is accepted again leaves no row', async () => {
    log.receiver.onBatch = () => 503;
    await using _relay = await relay({ park_after: '100ms', breaker: { minimum_organizations: 1000 } });
    await publish(X, 'a');
    const rows = (number: number): Promise<true> => until('lanes', number);
    await rows(1);
    log.receiver.onBatch = () => undefined;
    await run('parked', 'retry');
    await rows(0);
  }, 120_000);

  test('discard deletes what is chosen and nothing else', async () => {
    const { relay: running } = await away();
    await running.stop();
    const listed = await run('parked', 'list', '--json', '--organization', X);
    expect((JSON.parse(listed.stdout) as unknown[]).length).toBe(3);
    expect((await run('parked', 'discard', '--organization', X, '--dry-run')).stdout).toBe(
      '3 parked events would be deleted.\n',
    );
    expect((await run('parked', 'discard', '--organization', X, '--yes')).stdout).toBe('Deleted 3 parked events.\n');
    const left = await database.query('SELECT DISTINCT organization_id FROM walpost.parked');
    expect(left).toEqual([{ organization_id: Y }]);
    expect(await count('dead_letters')).toBe(0);
    const alone = await run('parked', 'retry');
    expect(alone.stdout).toMatch(/^3 parked events in 1 lane are due now\.\nNo relay streams from /);
  }, 60_000);
});
