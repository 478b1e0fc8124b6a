import { randomBytes, randomUUID } from 'node:crypto';
import { describe, expect, test, vi } from 'vitest';
import { startServer } from '../support/server.ts';
import { poll } from '../support/slot-session.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { walpost } from '../support/walpost-cli.ts';
import { expectNothingLost, expectOneAtATime } from './expectations.ts';
import { Scene } from './scene.ts';

/** Each test starts two or three processes from their sources. */
vi.setConfig({ testTimeout: 90_000 });

describe('one leads, the other stands by', () => {
  test('also when both start at the same time; each says which it is', async () => {
    await using scene = await Scene.set();
    const [a, b] = await Promise.all([scene.start('a'), scene.start('b')]);
    const roles = await poll('both are ready', async () => {
      const answers = await Promise.all([a.readiness(), b.readiness()]);
      return answers.every(({ ready }) => ready) ? answers.map(({ role }) => role) : undefined;
    });
    expect(roles.toSorted()).toEqual(['leader', 'standby']);
    const [leader, standby] = roles[0] === 'leader' ? [a, b] : [b, a];
    expect(await scene.slot()).toMatchObject({ by: leader.name });
    expect(new Set((await scene.history()).map(({ by }) => by))).toEqual(new Set([leader.name]));

    const { detail } = await standby.readiness();
    const [holder] = await scene.sessions(leader.name, 'walpost leader');
    expect(detail).toBe(`server process ${holder} from 127.0.0.1 leads ${scene.database.slotName}`);
    const metrics = async (url: string): Promise<string> => (await fetch(`${url}/metrics`)).text();
    expect(await metrics(leader.url)).toMatch(/^walpost_leader 1$/m);
    expect(await metrics(standby.url)).toMatch(/^walpost_leader 0$/m);
    expect(await (await fetch(`${standby.url}/status`)).json()).toMatchObject({
      leader: { role: 'standby', epoch: null },
      slot: { name: scene.database.slotName, active: true },
      lag: { unreadBytes: null, unconfirmedBytes: expect.any(Number) },
    });
    const port = new URL(standby.url).port;
    const status = await walpost(['status', '--config', standby.configFile, '--set', `http.port=${port}`]);
    expect(status).toMatchObject({ code: 0, stdout: expect.stringMatching(/^role +standby, server process/) });
  });

  test('a standby with a wrong configuration says so at once', async () => {
    await using scene = await Scene.set();
    await (await scene.start('a')).becomes('leader');
    const b = await scene.start('b', { source: { slot: scene.database.slotName, plugin: 'wal2json' } });
    expect(await b.cli.result()).toMatchObject({ code: 1, stderr: expect.stringContaining('SLOT_OTHER_PLUGIN') });
    expect((await scene.slot()).by).toBe('a');
  });
});

describe('the standby takes over', () => {
  test('in less than 2 s when the leader ends in good order, and nothing comes twice', async () => {
    await using scene = await Scene.set();
    const [a, b] = await scene.startPair();
    scene.work();
    await scene.arrivesBy('a', 0);
    const told = performance.now();
    a.signal('SIGTERM');
    expect(await a.cli.result()).toMatchObject({ code: 0 });
    const first = await scene.arrivesBy('b', told);
    await b.becomes('leader');
    await scene.rest();
    await scene.delivered();

    const last = Math.max(...scene.arrivals.filter(({ by }) => by === 'a').map(({ at }) => at));
    expect(first.at - last).toBeLessThan(2_000);
    expectNothingLost(scene);
    expect(new Set(scene.arrivals.map(({ number }) => number)).size).toBe(scene.arrivals.length);
    expectOneAtATime(await scene.history());
  });

  test('and delivers within 3 s when the leader is killed', async () => {
    await using scene = await Scene.set();
    const [a] = await scene.startPair();
    scene.work();
    await scene.arrivesBy('a', 0);
    const killed = performance.now();
    a.signal('SIGKILL');
    const first = await scene.arrivesBy('b', killed);
    expect(first.at - killed).toBeLessThan(3_000);
    await scene.rest();
    await scene.delivered();
    expectNothingLost(scene);
    expectOneAtATime(await scene.history());
  });

  test('when the leader is stopped; it wakes, writes nothing, sends no more than it had in flight, and stands by', async () => {
    await using scene = await Scene.set({ takeoverAfter: '2s' });
    const [a, b] = await scene.startPair();
    scene.work();
    await scene.arrivesBy('a', 0);
    const stopped = performance.now();
    a.signal('SIGSTOP');
    const first = await scene.arrivesBy('b', stopped);
    expect(first.at - stopped).toBeLessThan(2_000 + 3_000);
    await b.becomes('leader');
    const [epoch, { pid }] = [(await scene.history()).at(-1)?.epoch, await scene.slot()];

    const woken = performance.now();
    a.signal('SIGCONT');
    await a.becomes('standby');
    await scene.arrivesBy('b', performance.now()); // and b goes on
    expect(await scene.slot()).toMatchObject({ by: 'b', pid });
    await scene.rest();
    await scene.delivered();

    const late = scene.arrivals.filter(({ by, at }) => by === 'a' && at > woken).map(({ batch }) => batch);
    expect(new Set(late).size).toBeLessThanOrEqual(BATCHES_IN_FLIGHT);
    const history = await scene.history();
    expectOneAtATime(history);
    expect(history.at(-1)).toEqual({ by: 'b', epoch });
    expectNothingLost(scene);
    expect(a.cli.stderr).toMatch(/LEADERSHIP_LOST|SERVER_SHUTDOWN/); // whichever session is heard first
    const slot = scene.database.slotName;
    expect(b.cli.stderr).toMatch(new RegExp(`"slot":"${slot}","pid":\\d+.*ending the stream of an older leader`));
    expect(b.cli.stderr).toMatch(new RegExp(`streaming from ${slot}`));
  });

  test('when the leader is stopped while the server waits for it to read', async () => {
    await using scene = await Scene.set({ takeoverAfter: '2s' });
    const [a, b] = await scene.startPair();
    a.signal('SIGSTOP');
    const stopped = performance.now();
    const payloads = Array.from({ length: 40 }, () => JSON.stringify(randomBytes(500_000).toString('base64')));
    await scene.database.query(
      `INSERT INTO walpost.outbox (organization_id, event_type, payload) SELECT $1, 'big', p::jsonb FROM unnest($2::text[]) p`,
      [randomUUID(), payloads],
    );
    await b.becomes('leader');
    expect(performance.now() - stopped).toBeLessThan(2_000 + 3_000);
    await poll('all are with b', async () => (scene.arrivals.length >= 40 ? true : undefined));
    a.signal('SIGCONT');
    await a.becomes('standby');
    expectOneAtATime(await scene.history());
  });
});

test('the standby takes over from a leader that is cut off; that one gives up by itself, and comes back as standby', async () => {
  await using scene = await Scene.set({ takeoverAfter: '2s' });
  await using proxy = await TcpProxy.before(scene.database.url);
  const [a] = await scene.startPair({ through: proxy });
  scene.work();
  await scene.arrivesBy('a', 0);
  const cut = performance.now();
  proxy.hold();
  const first = await scene.arrivesBy('b', cut);
  expect(first.at - cut).toBeLessThan(2_000 + 3_000);
  await poll('a knows', async () => !(await a.readiness()).ready || undefined, 2_000);
  expect(performance.now() - cut).toBeLessThan(2_000 + 3_000);
  expect(scene.arrivals.filter(({ by, at }) => by === 'a' && at > first.at)).toEqual([]);
  await poll('a has let go', async () => a.cli.stderr.includes('LEADERSHIP_LOST') || undefined, 3_000);
  proxy.cut(); // what was open stays lost
  proxy.forward();
  await a.becomes('standby', 15_000);
  await scene.rest();
  await scene.delivered();
  expectNothingLost(scene);
  expectOneAtATime(await scene.history());
});

/** One for each organization. */
const BATCHES_IN_FLIGHT = 4;

describe('a leader closes the stream at once', () => {
  test('when its lock session ends; one of the two leads then', async () => {
    await using scene = await Scene.set();
    const [a, b] = await scene.startPair();
    scene.work();
    await scene.arrivesBy('a', 0);
    const { pid } = await scene.slot();
    const cut = performance.now();
    await scene.terminate(await scene.sessions('a', 'walpost leader'));
    await poll('the stream is closed', async () => ((await scene.slot()).pid !== pid ? true : undefined), 1_000);
    expect(performance.now() - cut).toBeLessThan(1_000);
    const roles = await poll('both are ready', async () => {
      const answers = await Promise.all([a.readiness(), b.readiness()]);
      return answers.every(({ ready }) => ready) ? answers.map(({ role }) => role).toSorted() : undefined;
    });
    expect(roles).toEqual(['leader', 'standby']);
    await scene.rest();
    await scene.delivered();
    expectNothingLost(scene);
    expectOneAtATime(await scene.history());
  });

  test('when its lock session ends and nobody stands by: it leads again', async () => {
    await using scene = await Scene.set();
    const a = await scene.start('a');
    await a.becomes('leader');
    const { pid } = await scene.slot();
    await scene.terminate(await scene.sessions('a', 'walpost leader'));
    await poll('it streams again', async () => {
      const slot = await scene.slot();
      return slot.pid !== null && slot.pid !== pid ? true : undefined;
    });
    await a.becomes('leader');
    expect((await scene.history()).at(-1)?.epoch).toBe(2);
  });

  test('when any session of its pool is told that the server shuts down (57P01)', async () => {
    await using scene = await Scene.set();
    const a = await scene.start('a');
    await a.becomes('leader');
    const { pid } = await scene.slot();
    const sessions = await scene.sessions('a', 'walpost');
    expect(sessions.length).toBeGreaterThan(0);
    await scene.terminate(sessions.slice(0, 1));
    await poll('the stream is closed', async () => ((await scene.slot()).pid !== pid ? true : undefined), 1_000);
    await a.becomes('leader');
    expect(a.cli.stderr).toContain('SERVER_SHUTDOWN');
  });
});

test('a leader that another has replaced without its knowing writes and confirms nothing more', async () => {
  await using scene = await Scene.set();
  const a = await scene.start('a');
  await a.becomes('leader');
  scene.work();
  await scene.arrivesBy('a', 0);
  const { pid } = await scene.slot();
  const [cursor] = await scene.database.query<{ lsn: string | null }>(
    "UPDATE walpost.cursor SET epoch = epoch + 1 RETURNING (lsn - '0/0'::pg_lsn)::text AS lsn",
  );
  let confirmed = 0n;
  await poll('its stream ends', async () => {
    const slot = await scene.slot();
    if (slot.pid !== pid) return true;
    confirmed = slot.confirmed;
    return undefined;
  });
  expect(confirmed).toBeLessThanOrEqual(BigInt(cursor?.lsn ?? 0));
  await a.becomes('leader'); // with an epoch of its own again
  await scene.rest();
  await scene.delivered();
  expectNothingLost(scene);
  const history = await scene.history();
  expectOneAtATime(history);
  expect(history.filter(({ epoch }) => epoch === 2)).toHaveLength(1);
  expect(history.at(-1)).toEqual({ by: 'a', epoch: 3 });
});

test('a fast shutdown of the server ends within seconds with a leader and a standby connected; later one leads again', async () => {
  await using server = await startServer();
  await using scene = await Scene.set({ server: server.url() });
  const [a, b] = await scene.startPair();
  const begun = performance.now();
  await server.stop('fast');
  expect(performance.now() - begun).toBeLessThan(5_000);
  await poll('neither is ready', async () => {
    const answers = await Promise.all([a.readiness(), b.readiness()]);
    return answers.every(({ ready }) => !ready) || undefined;
  });
  await server.start();
  await poll('one leads, one stands by', async () => {
    const answers = await Promise.all([a.readiness(), b.readiness()]);
    return (
      answers
        .map(({ role }) => role)
        .toSorted()
        .join() === 'leader,standby' || undefined
    );
  });
});
