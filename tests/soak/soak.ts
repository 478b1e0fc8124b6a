/**
 * `npm run soak -- --minutes 10 --seed 1 --report docs/evidence/soak.md`
 *
 * Writers that know what they have committed, two walposts that are killed, stopped and cut off, a server that is
 * restarted, a sink with bad days, and a comparison of every number. Exit code 1 when anything was lost or overtaken.
 */
import { rm, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { pause, systemClock } from '../../src/clock.ts';
import { seededRandom } from '../../src/demo/transaction-plan.ts';
import { Faults } from './faults.ts';
import { isClean, reportText, type SoakOutcome } from './report.ts';
import { ask, setStage, type SoakStage } from './soak-stage.ts';

const DRAIN_LIMIT_MS = 300_000;
const SAY_EVERY_MS = 15_000;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '2' },
    seed: { type: 'string', default: '1' },
    rate: { type: 'string', default: '200' },
    report: { type: 'string' },
  },
});
const minutes = Number(values.minutes);
const seed = Number(values.seed);
const rate = Number(values.rate);
const command = `npm run soak -- --minutes ${minutes} --seed ${seed}${rate === 200 ? '' : ` --rate ${rate}`}`;
const begun = performance.now();
const say = (line: string): void => {
  process.stderr.write(`${((performance.now() - begun) / 1000).toFixed(0).padStart(4)} s  ${line}\n`);
};

/** Faults first, then peace until everything has arrived. */
async function soak(stage: SoakStage, stopped: AbortSignal): Promise<SoakOutcome> {
  const random = seededRandom(seed);
  const peace = new AbortController();
  const rest = new AbortController();
  const faults = new Faults(stage, { random, say, signal: AbortSignal.any([peace.signal, stopped]) });
  const writing = stage.writers.map((writer) => writer.run(AbortSignal.any([rest.signal, stopped])));
  const running = faults.run();
  const end = performance.now() + minutes * 60_000;
  while (performance.now() < end && !stopped.aborted) {
    await pause(systemClock, Math.min(SAY_EVERY_MS, end - performance.now()), stopped);
    say(progress(stage));
  }
  peace.abort();
  rest.abort();
  await Promise.all([running, ...writing]);
  stage.hook.fault = null;
  await Promise.all(stage.writers.map((writer) => writer.close(stopped)));
  say('the faults have stopped');
  const drainBegun = performance.now();
  let drained = false;
  while (!drained && performance.now() - drainBegun < DRAIN_LIMIT_MS && !stopped.aborted) {
    await pause(systemClock, 500, stopped);
    drained = await isDrained(stage);
  }
  return outcomeOf(stage, faults, { drained, drainSeconds: (performance.now() - drainBegun) / 1000 });
}

function progress({ writers, hook, mirror }: SoakStage): string {
  const written = writers.reduce((sum, { events }) => sum + events, 0);
  const [a, b] = [hook.checker, mirror.checker];
  const faults = a.examples.length + b.examples.length;
  return `${written} events written, ${a.distinct} at hook, ${b.distinct} at mirror${faults > 0 ? `, ${faults} FAULTS` : ''}`;
}

async function isDrained(stage: SoakStage): Promise<boolean> {
  const written = stage.writers.reduce((sum, { events }) => sum + events, 0);
  if (stage.hook.checker.distinct < written || stage.mirror.checker.distinct < written) return false;
  const [row] = await ask<{ parked: number }>(
    stage.postgres.url(),
    'SELECT count(*)::int AS parked FROM walpost.parked',
  );
  return row?.parked === 0;
}

async function outcomeOf(
  stage: SoakStage,
  { counts }: Faults,
  drain: { drained: boolean; drainSeconds: number },
): Promise<SoakOutcome> {
  const { writers, members, hook, mirror, postgres } = stage;
  const committed = new Map(writers.flatMap((writer) => [...writer.committed]));
  const sum = (of: (writer: (typeof writers)[number]) => number): number =>
    writers.reduce((total, writer) => total + of(writer), 0);
  const ends = new Map<string, number>();
  for (const { relay } of members) for (const [how, n] of relay.ends) ends.set(how, (ends.get(how) ?? 0) + n);
  const [row] = await ask<{ parked: number }>(postgres.url(), 'SELECT count(*)::int AS parked FROM walpost.parked');
  return {
    ...drain,
    command,
    seed,
    minutes,
    faults: counts,
    writers: {
      events: sum((writer) => writer.events),
      transactions: sum((writer) => writer.transactions),
      rolledBack: sum((writer) => writer.rolledBack),
      long: sum((writer) => writer.long),
      inDoubt: sum((writer) => writer.inDoubt),
    },
    sinks: [hook, mirror].map((receiver, index) => ({
      name: index === 0 ? 'hook' : 'mirror',
      findings: receiver.checker.check(committed),
      longestDelay: receiver.longestDelay,
    })),
    deadLetters: await ask(postgres.url(), 'SELECT reason, count(*)::int FROM walpost.dead_letters GROUP BY reason'),
    parked: row?.parked ?? 0,
    starts: members.reduce((total, { relay }) => total + relay.starts, 0),
    ends,
    postgres: postgres.version,
    examples: [...hook.checker.examples, ...mirror.checker.examples],
    at: new Date(),
  };
}

async function main(): Promise<number> {
  const stopped = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stopped.abort());
  const releases: (() => Promise<unknown>)[] = [];
  try {
    const stage = await setStage({ random: seededRandom(seed + 1), rate }, releases);
    const { directory } = stage;
    say(`seed ${seed}, ${minutes} minutes, logs in ${directory}`);
    const outcome = await soak(stage, stopped.signal);
    if (stopped.signal.aborted) {
      await tidy(releases, directory);
      return 130;
    }
    const text = reportText(outcome);
    process.stdout.write(text);
    if (values.report !== undefined) await writeFile(values.report, text);
    if (!isClean(outcome)) return 1;
    await tidy(releases, directory);
    return 0;
  } finally {
    await release(releases);
  }
}

/** The logs stay only when something went wrong. */
async function tidy(releases: (() => Promise<unknown>)[], directory: string): Promise<void> {
  await release(releases);
  await rm(directory, { recursive: true });
}

async function release(releases: (() => Promise<unknown>)[]): Promise<void> {
  for (const each of releases.splice(0).toReversed()) await each().catch((error: unknown) => say(String(error)));
}

process.exitCode = await main();
