import { expect, test } from 'vitest';
import { seededRandom } from '../../src/demo/transaction-plan.ts';
import { formatLsn, parseLsn } from '../../src/lsn.ts';
import { poll } from '../support/slot-session.ts';
import { OpenTransaction, writeMixed } from './mixed-transactions.ts';
import { ReplayScene, type Told } from './replay-scene.ts';
import type { RunningWalpost } from './running-walpost.ts';

const LONG = process.env['WALPOST_LONG'] === '1';
const EVENTS = LONG ? 200_000 : 5_000;
/** Random positions while the long transaction is open, and after it has committed. */
const [WHILE_OPEN, AFTERWARDS] = LONG ? [5, 5] : [2, 1];
const INTERVAL_MS = LONG ? 1_000 : 100;
/** Milliseconds of a statement, so that the small load lasts for some checkpoints too. */
const LASTING = LONG ? 10 : 50;
/** Events a second of the replay that is killed, so that the small one takes a while too. */
const RATE = LONG ? [] : ['--rate', '2000'];
const TIMEOUT = LONG ? 300_000 : 30_000;

interface Position {
  readonly lsn: bigint;
  /** When its transaction committed. */
  readonly at: number;
}

/** The commit of some event, or a place a little before or behind it; a checkpoint of while all was under way lies before. */
async function drawPosition(scene: ReplayScene, random: () => number): Promise<Position> {
  await scene.settled();
  const [, second = 0n, ...more] = await scene.checkpoints();
  expect(more.length).toBeGreaterThan(2);
  const commits = [...scene.live.values()].filter(({ commit }) => commit > second + 1n);
  const { commit, at } = commits[Math.floor(random() * commits.length)] ?? { commit: 0n, at: 0 };
  return { lsn: commit + BigInt(Math.floor(random() * 3) - 1), at };
}

/** Replays from there; all that is due comes, and beyond it only what the checkpoint before it does not see. */
async function replayFrom(scene: ReplayScene, { lsn, at }: Position): Promise<string> {
  const position = formatLsn(lsn);
  const checkpoint = await scene.checkpointBefore(lsn);
  const transactions = await scene.transactions();
  const counted = await scene.ask<Told>('replay', '--from-lsn', position, '--dry-run');
  scene.again.length = 0;
  const begun = performance.now();
  const told = await scene.ask<Told>('replay', '--from-lsn', position, '--yes');
  const took = performance.now() - begun;
  expect(told).toMatchObject({ events: counted.events, job: { state: 'done', settled: counted.events } });
  expect(parseLsn(told.from.lsn)).toBe(checkpoint.lsn);

  const again = new Set(scene.again);
  expect([scene.again.length, again.size]).toEqual([counted.events, counted.events]);
  const due = [...scene.live].filter(([, { commit }]) => commit >= lsn).map(([id]) => id);
  expect(due.filter((id) => !again.has(id))).toEqual([]);
  const unexplained = [...again].filter((id) => {
    const commit = scene.live.get(id)?.commit ?? 0n;
    return commit < checkpoint.lsn && !checkpoint.isAhead(transactions.get(id) ?? 0n);
  });
  expect(unexplained).toEqual([]);
  const earlier = [...again].flatMap((id) => scene.live.get(id) ?? []).filter(({ commit }) => commit < lsn);
  const explained = earlier.filter(({ commit }) => commit >= checkpoint.lsn);
  const oldest = Math.round(at - explained.reduce((least, event) => Math.min(least, event.at), at));
  expect(oldest).toBeLessThan(INTERVAL_MS + 5_000); // checkpoints come late on a busy machine
  const extra = `${earlier.length} that are up to ${oldest} ms older, ${earlier.length - explained.length} of them open then`;
  return `from ${position}: ${due.length} due, and ${extra}, in ${Math.round(took)} ms`;
}

/** A replay of all; the relay that runs it and the command that follows it are killed when half of it has arrived. */
async function killHalfway(scene: ReplayScene, relay: RunningWalpost): Promise<number> {
  const commits = [...scene.live.values()].map(({ commit }) => commit);
  const first = commits.reduce((a, b) => (a < b ? a : b));
  scene.again.length = 0;
  await using following = scene.command('replay', '--from-lsn', formatLsn(first), '--yes', ...RATE);
  await following.prints(/Events to send: \d+\n/, 'stdout');
  const expected = Number(/Events to send: (\d+)/.exec(following.stdout)?.[1]);
  await scene.arrived(() => scene.again.length >= expected / 2, TIMEOUT);
  for (const { child } of [relay.cli, following]) child.kill('SIGKILL');
  for (const killed of [relay.cli, following]) expect(await killed.result()).toMatchObject({ code: 'SIGKILL' });
  return expected;
}

/** The next relay goes on with that replay behind the page that was saved, and none is missing at the end. */
async function goesOn(scene: ReplayScene, expected: number): Promise<[RunningWalpost, string]> {
  const { state, settled } = await scene.job();
  expect(state).toBe('running');
  expect(settled).toBeGreaterThan(0);
  const before = scene.again.splice(0);
  const relay = await scene.start();
  await poll('the job is over', async () => ((await scene.job()).state === 'done' ? true : undefined), TIMEOUT);
  expect((await scene.job()).settled).toBe(expected);
  const left = scene.again.length;
  expect(left).toBe(expected - settled);
  expect(new Set([...before, ...scene.again]).size).toBe(expected);
  return [relay, `killed when ${before.length} of ${expected} had arrived, ${settled} saved; then ${left} came`];
}

test(
  'from random positions: what is due, no more than the checkpoint explains, and a replay that is killed completes',
  { timeout: 6 * TIMEOUT },
  async () => {
    const seed = Number(process.env['WALPOST_SEED'] ?? Date.now() % 1_000_000);
    const random = seededRandom(seed);
    await using scene = await ReplayScene.set({ checkpoint_interval: `${INTERVAL_MS}ms` });
    await using relay = await scene.start();
    const open = await OpenTransaction.begin(scene.database);
    const committed = await writeMixed(scene.database, { events: EVENTS, seed, lasting: LASTING });
    await open.write(5);
    await scene.delivered(committed, TIMEOUT);
    expect((await scene.transactions()).size).toBe(committed);
    const lines = [`seed ${seed}: ${committed} events, and ${open.ids.length} in the transaction that stays open`];
    for (let n = 0; n < WHILE_OPEN; n++) lines.push(await replayFrom(scene, await drawPosition(scene, random)));

    const [next, line] = await goesOn(scene, await killHalfway(scene, relay));
    await using _next = next;
    lines.push(line);
    expect(open.ids.filter((id) => scene.live.has(id) || scene.again.includes(id))).toEqual([]);
    await open.commit();
    await scene.delivered(committed + open.ids.length, TIMEOUT);
    expect(open.ids.filter((id) => !scene.live.has(id))).toEqual([]);
    for (let n = 0; n < AFTERWARDS; n++) {
      lines.push(await replayFrom(scene, await drawPosition(scene, random)));
      expect(open.ids.filter((id) => !scene.again.includes(id))).toEqual([]); // it was committed last
    }
    expect(scene.faults).toEqual([]);
    console.log(lines.join('\n'));
  },
);
