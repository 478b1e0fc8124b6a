import { describe, expect, test } from 'vitest';
import { type ReplayFlags, replayRequest } from '../../src/cli/replay-request.ts';
import { sinkSchema } from '../../src/config/sinks/sinks.ts';
import { parseLsn } from '../../src/lsn.ts';
import { HealingScene } from '../relay/healing-scene.ts';
import { ConfigFile } from '../support/config-file.ts';
import { Cli, walpost } from '../support/walpost-cli.ts';
import { poll } from '../support/slot-session.ts';

describe('what the flags ask for', () => {
  const config = { sinks: { live: sinkSchema.parse({ type: 'discard' }), log: sinkSchema.parse({ type: 'discard' }) } };
  const ask = (flags: ReplayFlags) => replayRequest(flags, config, Date.UTC(2026, 10, 20, 14));

  test('positions, times and how long ago', () => {
    expect(ask({ fromLsn: '16/B374D848' }).window).toEqual({ from: { lsn: 0x16b374d848n }, to: undefined });
    expect(ask({ since: '2h' }).window.from).toEqual({ time: new Date('2026-11-20T12:00:00Z') });
    expect(ask({ since: '2026-11-20T14:00:00+02:00', until: '2026-11-20 13:30:00Z' }).window).toEqual({
      from: { time: new Date('2026-11-20T12:00:00Z') },
      to: { time: new Date('2026-11-20T13:30:00Z') },
    });
    expect(ask({ all: true, until: '1h' }).window).toEqual({
      from: 'everything',
      to: { time: new Date('2026-11-20T13:00:00Z') },
    });
    expect(ask({ fromLsn: '0/1', type: 'a.*', sink: ['log'], eventId: ['x'], rate: '2.5' }).spec).toEqual({
      eventType: 'a.*',
      sinks: ['log'],
      eventIds: ['x'],
      rate: 2.5,
    });
  });

  test.each<[ReplayFlags, string]>([
    [{}, '--from-lsn or --since'],
    [{ fromLsn: '0/1', since: '1h' }, 'exclude each other'],
    [{ fromLsn: '0/1', toLsn: '0/2', until: '1h' }, 'exclude each other'],
    [{ all: true, since: '1h' }, '--all excludes'],
    [{ since: '1h', until: '2h' }, 'end before it begins'],
    [{ fromLsn: '0/2', toLsn: '0/1' }, 'end before it begins'],
    [{ since: '2026-11-20T14:30:00Z' }, 'to now, which is 2026-11-20T14:00:00.000Z'],
    [{ fromLsn: 'zero' }, 'a position like'],
    [{ since: 'yesterday' }, 'a time like'],
    [{ since: '2026-11-20T14:00:00' }, 'a time like'],
    [{ since: '2026-13-40T14:00:00Z' }, 'a time like'],
    [{ fromLsn: '0/1', sink: ['lgo'] }, 'there is live, log'],
    [{ fromLsn: '0/1', rate: '0' }, 'events a second'],
    [{ fromLsn: '0/1', rate: 'fast' }, 'events a second'],
  ])('%j is refused', (flags, message) => {
    expect(() => ask(flags)).toThrow(message);
  });
});

function configFile(scene: HealingScene): ConfigFile {
  return new ConfigFile(
    JSON.stringify({
      database: { url: scene.database.url },
      source: { slot: scene.database.slotName, checkpoint_interval: '100ms' },
      batching: { window: '10ms' },
      http: { enabled: false },
      sinks: scene.log.sinks,
      routes: [{ to: ['hook'] }],
    }),
  );
}

test('counts, asks for consent, sends and says what came of it', { timeout: 120_000 }, async () => {
  await using scene = await HealingScene.set();
  using file = configFile(scene);
  const config = ['--config', file.path];
  const early = await walpost(['replay', '--from-lsn', '0/1', '--dry-run', ...config]);
  expect(early).toMatchObject({ code: 2, stderr: expect.stringContaining('REPLAY_RANGE') });
  const relay = await scene.start();
  const ids = await scene.publish(6);
  await scene.log.has(ids);
  const lsn = String(scene.log.events[0]?.lsn);
  scene.log.clear();

  const dry = await walpost(['replay', '--from-lsn', lsn, '--dry-run', ...config]);
  expect(dry).toMatchObject({ code: 0, stdout: expect.stringContaining('Events to send: 6') });
  expect(dry.stdout).toContain('thing.made  6');
  expect(await scene.database.query('SELECT FROM walpost.jobs')).toEqual([]);
  const silent = await walpost(['replay', '--from-lsn', lsn, ...config]);
  expect(silent).toMatchObject({ code: 2, stderr: expect.stringContaining('Add --yes') });
  expect(await scene.database.query('SELECT FROM walpost.jobs')).toEqual([]);

  const nothing = ['replay', '--all', '--type', 'thing.lost', ...config];
  expect(await walpost(nothing)).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('There is nothing to send.'),
  });
  const told = await walpost([...nothing, '--json']);
  expect(JSON.parse(told.stdout)).toMatchObject({ dry_run: false, events: 0, job: null });
  expect(await scene.database.query('SELECT FROM walpost.jobs')).toEqual([]);

  const done = await walpost(['replay', '--from-lsn', lsn, '--yes', '--json', ...config]);
  expect(done.code).toBe(0);
  expect(JSON.parse(done.stdout)).toMatchObject({
    dry_run: false,
    events: 6,
    job: { kind: 'replay', state: 'done', settled: 6 },
  });
  await scene.log.has(ids);
  expect(parseLsn((JSON.parse(done.stdout) as { from: { lsn: string } }).from.lsn)).toBeLessThanOrEqual(
    parseLsn(lsn) ?? 0n,
  );
  const old = await walpost(['replay', '--from-lsn', '0/1', '--yes', ...config]);
  expect(old).toMatchObject({ code: 2, stderr: expect.stringMatching(/Use --from-lsn [0-9A-F]+\/[0-9A-F]+/) });
  await relay.stop();

  const waiting = new Cli(['replay', '--from-lsn', lsn, '--yes', ...config]);
  await waiting.prints(/No relay streams from/, 'stdout');
  waiting.child.kill('SIGINT');
  expect(await waiting.result()).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('goes on without being watched'),
  });
  const all = await walpost(['replay', '--all', '--rate', '0.5', '--dry-run', ...config]);
  expect(all.stdout).toMatch(
    /^Begins with the oldest row of the outbox\.\n.*\nEvents to send: 6\nAt 0\.5\/s that takes 12 s\.\n/,
  );
  const listed = await walpost(['jobs', 'list', '--json', ...config]);
  expect(JSON.parse(listed.stdout)).toMatchObject([{ state: 'queued' }, { state: 'done', report: { events: 6 } }]);
  const [job] = JSON.parse(listed.stdout) as { id: string }[];
  expect(await walpost(['jobs', 'cancel', String(job?.id), ...config])).toMatchObject({ code: 0 });
  expect(await walpost(['jobs', 'cancel', String(job?.id), ...config])).toMatchObject({ code: 2 });
  expect(await walpost(['jobs', 'cancel', '999', ...config])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('JOB_UNKNOWN'),
  });
  expect((await walpost(['jobs', 'list', ...config])).stdout).toMatch(/replay\s+cancelled/);
});

test(
  'run --replay-from-lsn sends again what was committed there or later, then goes live',
  { timeout: 120_000 },
  async () => {
    await using scene = await HealingScene.set();
    using file = configFile(scene);
    const relay = await scene.start();
    const ids = await scene.publish(4);
    await scene.log.has(ids);
    const lsn = String(scene.log.events[0]?.lsn);
    await relay.stop();
    scene.log.clear();
    await using running = new Cli(['run', '--replay-from-lsn', lsn, '--config', file.path]);
    await scene.log.has(ids);
    const live = await scene.publish(1);
    await scene.log.has(live);
    await poll('the job is done', async () => {
      const rows = await scene.database.query("SELECT FROM walpost.jobs WHERE state = 'done' AND kind = 'replay'");
      return rows[0];
    });
    running.child.kill('SIGTERM');
    expect(await running.result()).toMatchObject({ code: 0 });
  },
);
