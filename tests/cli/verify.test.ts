import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { configOf } from '../e2e/running-walpost.ts';
import { ConfigFile } from '../support/config-file.ts';
import { createRole } from '../support/database-role.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { EventLog } from '../support/event-log.ts';
import { RelayInProcess } from '../support/relay-in-process.ts';
import { poll } from '../support/slot-session.ts';
import { Cli, type CliResult, walpost } from '../support/walpost-cli.ts';

const ORGANIZATION = '01a1f9c1-5e61-768b-8ff0-dabec930edd1';
const ROUTES = [{ to: ['hook'] }, { match: { event_type: 'walpost.verify' }, to: ['canaries'] }] as const;

let database: TestDatabase;
let customer: EventLog;
let canaries: EventLog;
let file: ConfigFile;
let relay: RelayInProcess | undefined;
beforeEach(async () => {
  database = await createTestDatabase();
  customer = await EventLog.start();
  canaries = await EventLog.start();
  file = new ConfigFile(JSON.stringify({ ...configOf({ database, sinks: sinks() }), routes: ROUTES }));
});
afterEach(async () => {
  await relay?.[Symbol.asyncDispose]();
  relay = undefined;
  file[Symbol.dispose]();
  await customer[Symbol.asyncDispose]();
  await canaries[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
});

const sinks = () => ({ hook: customer.receiver.sink(), canaries: canaries.receiver.sink() });
const start = async (routes: readonly object[] = ROUTES, config: Record<string, object> = {}): Promise<void> => {
  relay = await RelayInProcess.start({ database, sinks: sinks(), config: { routes, ...config } });
};
const run = (...argv: string[]): Promise<CliResult> => walpost(['verify', '--json', ...argv, '--config', file.path]);
const left = () =>
  database.query(`SELECT (SELECT count(*)::integer FROM walpost.outbox WHERE event_type = 'walpost.verify') AS events,
                         (SELECT count(*)::integer FROM walpost.canaries) AS noted,
                         (SELECT count(*)::integer FROM walpost.dead_letters) AS dead`);

interface Report {
  readonly ok: boolean;
  readonly relay: { arrived: number; gaps: number[]; reordered: number[]; duplicates: number; latency_ms: object };
  readonly sink: Report['relay'] | null;
}

const reportOf = ({ stdout }: CliResult): Report => JSON.parse(stdout) as Report;

/** Does this to the arrival at this place, as if the relay had received something else. */
const plant = (place: number, action: string): Promise<unknown> =>
  database.query(`
    CREATE FUNCTION public.planted() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE before record;
    BEGIN
      IF (SELECT count(*) FROM walpost.canaries AS a WHERE a.arrived_at IS NOT NULL) = ${place - 1} THEN
        SELECT * INTO before FROM walpost.canaries AS a WHERE a.arrived_at IS NOT NULL ORDER BY a.id DESC LIMIT 1;
        ${action}
      END IF;
      RETURN NEW;
    END $$;
    CREATE TRIGGER planted BEFORE INSERT ON walpost.canaries FOR EACH ROW
      WHEN (NEW.arrived_at IS NOT NULL) EXECUTE FUNCTION public.planted()`);

describe('walpost verify', () => {
  test('1,000 canaries under load: no gaps, in order, and no wildcard route brings one to a receiver', async () => {
    await start([ROUTES[0]]);
    const load = new AbortController();
    let published = 0;
    const loading = (async () => {
      while (!load.signal.aborted) {
        await database.query(`SELECT walpost.publish($1, 'job.done', '{}') FROM generate_series(1, 20)`, [
          ORGANIZATION,
        ]);
        published += 20;
      }
    })();
    const result = await run('--count', '1000', '--rate', '1000', '--timeout', '2m');
    load.abort();
    await loading;
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(reportOf(result)).toMatchObject({
      ok: true,
      sent: 1000,
      relay: {
        arrived: 1000,
        gaps: [],
        reordered: [],
        duplicates: 0,
        latency_ms: { p50: expect.any(Number) as number },
      },
      sink: null,
    });
    await poll(
      'the load is delivered',
      () => Promise.resolve(customer.events.length >= published || undefined),
      60_000,
    );
    expect(customer.events.filter(({ event_type }) => event_type === 'walpost.verify')).toEqual([]);
    expect(await left()).toEqual([{ events: 0, noted: 0, dead: 0 }]);
  }, 240_000);

  test('follows them to a sink that a route names', async () => {
    await start();
    const result = await run('--count', '20', '--sink', 'canaries', '--organization', ORGANIZATION);
    expect(result.code).toBe(0);
    expect(reportOf(result).sink).toMatchObject({ name: 'canaries', arrived: 20, gaps: [], reordered: [] });
    expect(canaries.events.map(({ organization_id }) => organization_id)).toEqual(Array(20).fill(ORGANIZATION));
    expect(customer.events).toEqual([]);
  });

  test('finds a gap', async () => {
    await plant(7, `NEW.event_id := 'not a canary';`);
    await start();
    const result = await run('--count', '10', '--rate', '500', '--timeout', '2s');
    expect(result.code).toBe(3);
    expect(reportOf(result)).toMatchObject({ ok: false, relay: { arrived: 9, gaps: [7], reordered: [] } });
    expect(await left()).toEqual([{ events: 0, noted: 0, dead: 0 }]);
    const told = await walpost(['verify', '--count', '10', '--rate', '500', '--timeout', '2s', '--config', file.path]);
    expect(told.stdout).toMatch(/^slot +\S+\nrelay +9 of 10; missing 7; .+\nNot all canaries .+ see `walpost status`/);
    await database.query('DROP TRIGGER planted ON walpost.canaries');
    expect(await run('--count', '10', '--rate', '500')).toMatchObject({ code: 0 });
  });

  test('finds two that changed places', async () => {
    await plant(
      5,
      'UPDATE walpost.canaries SET event_id = NEW.event_id WHERE id = before.id; NEW.event_id := before.event_id;',
    );
    await start();
    const result = await run('--count', '10', '--rate', '500');
    expect(result.code).toBe(3);
    expect(reportOf(result)).toMatchObject({ ok: false, relay: { arrived: 10, gaps: [], reordered: [4] } });
  });

  test('finds at a sink two that changed places, as the delivery log has them', async () => {
    await database.query(`
      CREATE FUNCTION public.turned() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        NEW.event_ids := ARRAY(SELECT e.id FROM unnest(NEW.event_ids) WITH ORDINALITY AS e (id, place) ORDER BY e.place DESC);
        RETURN NEW;
      END $$;
      CREATE TRIGGER turned BEFORE INSERT ON walpost.delivery_log FOR EACH ROW EXECUTE FUNCTION public.turned()`);
    await start(ROUTES, { batching: { window: '500ms', leading_edge: false } });
    const result = await run('--count', '4', '--rate', '500', '--sink', 'canaries');
    expect(result.code).toBe(3);
    expect(reportOf(result)).toMatchObject({
      relay: { gaps: [], reordered: [] },
      sink: { arrived: 4, gaps: [], reordered: [3, 2, 1] },
    });
  });

  test('does not count what the relay of another slot receives', async () => {
    await database.query(`
      CREATE FUNCTION public.elsewhere() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        INSERT INTO walpost.canaries (event_id, arrived_at, slot) VALUES (NEW.event_id, clock_timestamp(), 'another');
        RETURN NEW;
      END $$;
      CREATE TRIGGER elsewhere AFTER INSERT ON walpost.canaries FOR EACH ROW
        WHEN (NEW.sent_at IS NOT NULL) EXECUTE FUNCTION public.elsewhere()`);
    const result = await run('--count', '2', '--rate', '500', '--timeout', '1s');
    expect(result.code).toBe(3);
    expect(reportOf(result)).toMatchObject({ ok: false, relay: { arrived: 0, gaps: [1, 2], duplicates: 0 } });
  });

  test('finds at a sink what it does not get; the status says why, and it comes through once that is mended', async () => {
    await start(ROUTES, { delivery: { park_after: '100ms', quick_retries: 0, backoff: ['1h'] } });
    const keep = canaries.receiver.onBatch;
    canaries.receiver.onBatch = () => 503;
    const verify = ['--count', '5', '--sink', 'canaries', '--organization', ORGANIZATION];
    const result = await run(...verify, '--timeout', '1s');
    expect(result.code).toBe(3);
    expect(reportOf(result)).toMatchObject({ relay: { gaps: [] }, sink: { arrived: 0, gaps: [1, 2, 3, 4, 5] } });
    // The status, which the command refers to, says why and what to do.
    const command = (...argv: string[]) => walpost([...argv, '--config', file.path]);
    const status = (await command('status')).stdout.replace(/\s+/g, ' ');
    expect(status).toMatch(new RegExp(`waiting canaries, organization ${ORGANIZATION}: .*answered 503`));
    expect(status).toContain('sink canaries: Look at the receiver and its log.');
    expect(status).toContain('`walpost parked retry` skips the wait');
    canaries.receiver.onBatch = keep;
    expect(await command('parked', 'retry')).toMatchObject({ code: 0 });
    expect(await run(...verify)).toMatchObject({ code: 0 });
  });

  test('removes its canaries when it is interrupted, and those of a run that was killed', async () => {
    await using killed = new Cli(['verify', '--rate', '1', '--config', file.path]);
    const sent = () => poll('a canary is sent', async () => (await left())[0]?.['events'] || undefined);
    await sent();
    killed.child.kill('SIGKILL');
    await killed.result();
    expect(await left()).not.toEqual([{ events: 0, noted: 0, dead: 0 }]);
    await start();
    expect((await run('--count', '3')).code).toBe(0);
    expect(await left()).toEqual([{ events: 0, noted: 0, dead: 0 }]);

    await using interrupted = new Cli(['verify', '--rate', '1', '--config', file.path]);
    await sent();
    interrupted.child.kill('SIGINT');
    expect(await interrupted.result()).toMatchObject({ code: 1 });
    expect(await left()).toEqual([{ events: 0, noted: 0, dead: 0 }]);
  });

  test('no advisory lock keeps it from its turn', async () => {
    await using stranger = await createRole(database);
    await (await stranger.client()).query(`SELECT pg_advisory_lock(hashtextextended('walpost verify', 0))`);
    await start();
    expect(await run('--count', '3', '--rate', '500')).toMatchObject({ code: 0, stderr: '' });
  });

  test('names who has the turn, leaves the canaries of that run alone, and the remedy works', async () => {
    await start();
    await using other = new Cli(['verify', '--rate', '1', '--config', file.path]);
    await poll('a canary is sent', async () => (await left())[0]?.['events'] || undefined);
    const busy = await run('--count', '3');
    expect(busy.code).toBe(2);
    const told = busy.stderr.replace(/\s+/g, ' ');
    expect(told).toContain('Another `walpost verify` runs on this database');
    expect(told).toMatch(/server process \d+ \(role postgres, application 'walpost command'\) runs walpost verify\./);
    expect((await left())[0]?.['events']).toBeGreaterThan(0);
    await database.query(/SELECT pg_terminate_backend\(\d+\);/.exec(told)?.[0] ?? '');
    const ended = await other.result();
    expect(ended).toMatchObject({ code: 1, stderr: expect.stringContaining('SERVER_SHUTDOWN') as string });
    expect((await left())[0]).toMatchObject({ events: 0 });
    expect(await run('--count', '3', '--rate', '500')).toMatchObject({ code: 0, stderr: '' });
  });

  test.each(['walpost_publisher', 'walpost_reader'])('a %s cannot take its turn', async (group) => {
    await using role = await createRole(database, { in: [group] });
    const session = await role.client();
    await expect(session.query('SELECT walpost_internal.take_verify_turn()')).rejects.toMatchObject({ code: '42501' });
  });

  test('leaves the checkpoints from which events can be replayed', async () => {
    await start();
    await database.query(`SELECT walpost.publish($1, 'job.done', '{}')`, [ORGANIZATION]);
    const checkpoints = () => database.query('SELECT id FROM walpost.checkpoints ORDER BY id');
    const before = await poll('a checkpoint', async () => {
      const rows = await checkpoints();
      return rows.length > 1 ? rows : undefined;
    });
    await run('--count', '3');
    expect(await checkpoints()).toEqual(expect.arrayContaining(before));
  });

  test.each([
    [['--count', '0'], /--count takes a whole number from 1 to 10000/],
    [['--timeout', '2d'], /--timeout takes a duration up to 1h/],
    [['--organization', 'acme'], /--organization takes a UUID/],
    [['--sink', 'crm'], /--sink names no sink: there is hook, canaries, not "crm"/],
    [['--sink', 'hook'], /Add to routes: - \{ match: \{ event_type: walpost.verify \}, to: \[hook\] \}/],
  ])('refuses %j', async (argv, message) => {
    const { code, stderr } = await run(...argv);
    expect(code).toBe(2);
    expect(stderr.replace(/\s+/g, ' ')).toMatch(message);
  });

  test('refuses a sink whose deliveries leave no trace', async () => {
    using silent = new ConfigFile(
      JSON.stringify({
        ...configOf({ database, sinks: { ...sinks(), canaries: { ...canaries.receiver.sink(), log: false } } }),
        routes: ROUTES,
      }),
    );
    const { code, stderr } = await walpost(['verify', '--sink', 'canaries', '--config', silent.path]);
    expect(code).toBe(2);
    expect(stderr).toContain('sinks.canaries.log is false');
  });
});
