/**
 * `npm run acceptance [-- --any-speed]`: the acceptance list of the system, each line with its figure. Exit code 1 when one
 * does not hold. With --any-speed the three lines about speed show their figures only, for a machine that has other work too.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { withOrganization } from '@walpost/client';
import { TcpProxy } from '../../tests/support/tcp-proxy.ts';
import { type Check, expectThat, runChecks } from '../support/checklist.ts';
import { Stage } from './acceptance-stage.ts';
import { publishAsMember } from './members.ts';
import { ORGANIZATIONS } from './organizations.ts';
import { RealtimeProject } from './realtime-project.ts';
import { SlackWorkspace } from './slack-workspace.ts';
import { publishAtRate, type Published } from './traffic.ts';

const [FIRST = '', SECOND = ''] = ORGANIZATIONS;
const RECOVERY_MS = 5 * 60_000;
const OUTAGE_MS = 3_000;
const BACKOFF_WITHIN_MS = 20_000;
const expectSpeed: typeof expectThat = process.argv.includes('--any-speed') ? () => {} : expectThat;

await using network = await TcpProxy.start({ host: '127.0.0.1', port: 9 });
await using slack = await SlackWorkspace.start();
await using realtime = await RealtimeProject.start(ORGANIZATIONS);
await using stage = await Stage.open({ network, slack, realtime });
const { pool, publish } = stage;

const everything: Published[] = [];
const direct = (published: readonly Published[]): string[] =>
  published.flatMap(({ id, target }) => (target === 'slack' ? [] : [id]));
const ms = (value: number): string => `${Math.round(value)} ms`;
const share = (values: readonly number[], part: number): number =>
  values.toSorted((one, two) => one - two)[Math.ceil(part * values.length) - 1] ?? NaN;

/** Traffic beside something that goes wrong; how long all of it took to arrive, once that is over. */
async function recovery(trouble: () => Promise<void>): Promise<string> {
  const [published] = await Promise.all([publishAtRate(publish, 20, OUTAGE_MS / 1000), trouble()]);
  everything.push(...published);
  const took = await stage.arrived(direct(published), RECOVERY_MS);
  return `all ${published.length} events arrived, the last ${ms(took)} after trouble and traffic were over`;
}

/** What runs for the first time is compiled and connected first, or a short load measures mostly that. */
async function warmUp(): Promise<void> {
  const published = await publishAtRate(publish, 50, 4);
  everything.push(...published);
  await stage.arrived(direct(published), RECOVERY_MS);
}

async function steadyLoad(): Promise<Published[]> {
  await warmUp();
  const begun = performance.now();
  const published = await publishAtRate(publish, 100, 8);
  everything.push(...published);
  await stage.arrived(direct(published), RECOVERY_MS);
  const rate = (published.length * 1000) / (performance.now() - begun);
  expectSpeed(rate > 90, `${Math.round(rate)} events/s`);
  return [...published];
}

/**
 * The waits between the attempts of one event, in seconds. n8n refuses it until it has waited for two, and takes all others. It
 * is of an organization of its own, whose later events would wait behind it.
 */
async function backoff(): Promise<readonly number[]> {
  const idempotencyKey = 'refused';
  await stage.fault(422, 1e9, idempotencyKey);
  const payload = { guest: 'Dot', nights: 1 };
  const organizationId = randomUUID();
  const id = await publish({ organizationId, target: 'n8n', eventType: 'booking.created', payload, idempotencyKey });
  everything.push({ id, target: 'n8n', tookMs: 0 });
  const waitsOf = (times: readonly number[]): number[] =>
    times.slice(1).map((time, n) => (time - (times[n] ?? NaN)) / 1000);
  const deadline = performance.now() + BACKOFF_WITHIN_MS;
  let refused = await stage.attempts(idempotencyKey);
  while ((waitsOf(refused).at(-1) ?? 0) < 1.8 && performance.now() < deadline) {
    await pause(50);
    refused = await stage.attempts(idempotencyKey);
  }
  await stage.fault(422, 0);
  await stage.arrived([id], RECOVERY_MS);
  const [run] = await stage.rows<{ at: Date }>('SELECT at FROM app.workflow_runs WHERE event_id = $1', [id]);
  return waitsOf([...refused, run?.at.getTime() ?? NaN]);
}

const within = (seconds: number, wanted: number): boolean => seconds > wanted * 0.9 && seconds < wanted + 1.5;

/** What a member of the first organization tries at the second one; true where it works. */
async function publishes(): Promise<boolean> {
  const publish = await publishAsMember(stage.rest, FIRST);
  const payload = { seat: '1A' };
  const event = { organizationId: SECOND, eventType: 'seat.freed', idempotencyKey: 'not mine' } as const;
  return worked(publish({ ...event, target: 'n8n', payload }));
}

async function reads(): Promise<boolean> {
  const tx = await pool.connect();
  await tx.query('BEGIN');
  await withOrganization(tx, FIRST);
  const found = await tx.query('SELECT FROM walpost.outbox WHERE organization_id = $1', [SECOND]);
  await tx.query('ROLLBACK');
  tx.release();
  return found.rows.length > 0;
}

const joins = (): Promise<boolean> => worked(realtime.join(SECOND, FIRST));

function worked(attempt: Promise<unknown>): Promise<boolean> {
  return attempt.then(
    () => true,
    () => false,
  );
}

let steady: Published[] = [];
let waits: Promise<readonly number[]> = Promise.resolve([]);
const checks: Record<string, Check> = {
  '100 events a second': async () => {
    const begun = performance.now();
    waits = backoff();
    steady = await steadyLoad();
    return `${steady.length} published and delivered in ${((performance.now() - begun) / 1000).toFixed(1)} s`;
  },
  'lag under 2 s at that load': async () => {
    const ids = new Set(steady.map(({ id }) => id));
    const runs = await stage.rows<{ lag: number }>(
      `SELECT (1000 * extract(epoch FROM r.at - o.created_at))::float8 AS lag
         FROM app.workflow_runs AS r JOIN walpost.outbox AS o USING (event_id) WHERE event_id = ANY ($1)`,
      [[...ids]],
    );
    const broadcasts = realtime.broadcasts.filter(({ eventId }) => ids.has(eventId));
    const lags = [...runs.map(({ lag }) => lag), ...broadcasts.map(({ lagMs }) => lagMs)];
    expectSpeed(share(lags, 0.99) < 2000, `p99 ${ms(share(lags, 0.99))}`);
    return `p50 ${ms(share(lags, 0.5))}, p95 ${ms(share(lags, 0.95))}, p99 ${ms(share(lags, 0.99))}`;
  },
  'publish under 50 ms': () => {
    const took = steady.map(({ tookMs }) => tookMs);
    const [p50, p95] = [share(took, 0.5), share(took, 0.95)];
    expectSpeed(p50 < 50, `p50 ${ms(p50)}`);
    return Promise.resolve(
      `p50 ${p50.toFixed(1)} ms, p95 ${p95.toFixed(1)} ms, by supabase-js, from the call to its answer`,
    );
  },
  'every duplicate is prevented at publish': async () => {
    const event = (n: number) =>
      ({
        organizationId: FIRST,
        target: 'n8n',
        eventType: 'booking.created',
        payload: { guest: 'twin', nights: 1 },
        idempotencyKey: `twin ${n}`,
      }) as const;
    const calls = Array.from({ length: 1000 }, (_, n) => publish(event(n % 100)));
    const ids = new Set(await Promise.all(calls));
    const [row] = await stage.rows<{ n: number }>(
      `SELECT count(*)::int AS n FROM walpost.outbox WHERE idempotency_key LIKE 'twin %'`,
    );
    expectThat(ids.size === 100 && row?.n === 100, `${ids.size} ids, ${row?.n} rows`);
    everything.push(...[...ids].map((id) => ({ id, target: 'n8n', tookMs: 0 }) as const));
    await stage.arrived([...ids], RECOVERY_MS);
    return '900 of 900 repeats, 1,000 calls with 100 keys at once';
  },
  'backoff of 1, 2 and 4 minutes (here: seconds)': async () => {
    const all = await waits;
    const [one = NaN, two = NaN, four = NaN] = all.slice(-3);
    const isRight = within(one, 1) && within(two, 2) && within(four, 4);
    expectThat(isRight, `waits of ${all.map((wait) => wait.toFixed(1)).join(', ')} s`);
    return `waits of ${[one, two, four].map((wait) => wait.toFixed(1)).join(', ')} s, then delivered`;
  },
  'a webhook that fails: recovery under 5 minutes': () =>
    recovery(async () => {
      await stage.fault(503, 1e9);
      await pause(OUTAGE_MS);
      await stage.fault(503, 0);
    }),
  'a partition between walpost and its database: recovery under 5 minutes': () =>
    recovery(async () => {
      network.hold();
      await pause(OUTAGE_MS);
      network.forward();
      network.cut();
    }),
  'a crash of the database: recovery under 5 minutes': () => recovery(() => stage.example.crashDatabase()),
  'rotation of the service key: no loss': () => recovery(() => stage.rotateKey(() => pause(OUTAGE_MS / 2))),
  'no access to another organization': async () => {
    const tries = { 'publishes for it': publishes(), 'reads its events': reads(), 'joins its channel': joins() };
    const outcomes = await Promise.all(Object.entries(tries).map(async ([name, it]) => ((await it) ? name : '')));
    const broken = outcomes.filter((name) => name !== '');
    const astray = realtime.broadcasts.filter(({ organizationId, belongsTo }) => organizationId !== belongsTo).length;
    expectThat(astray === 0 && broken.length === 0, `${broken.join(', ')}; ${astray} broadcasts went astray`);
    return `0 of ${outcomes.length} attempts; ${realtime.broadcasts.length} broadcasts, each at its organization only`;
  },
  'success rate above 99.9 %': async () => {
    const ids = everything.map(({ id }) => id);
    await stage.arrived(direct(everything), RECOVERY_MS);
    const [row] = await stage.rows<{ twice: number; dead: number; written: number }>(
      `SELECT (SELECT count(*) - count(DISTINCT event_id) FROM app.workflow_runs)::int AS twice,
              (SELECT count(*) FROM walpost.dead_letters)::int AS dead,
              (SELECT count(*) FROM walpost.outbox WHERE event_id = ANY ($1))::int AS written`,
      [ids],
    );
    const wanted = everything.filter(({ target }) => target === 'slack').length;
    while (slack.told < wanted) await pause(50);
    expectThat(row?.written === ids.length && row.dead === 0 && row.twice === 0, JSON.stringify(row));
    return `100 %: ${ids.length} of ${ids.length} delivered, ${wanted} of them to Slack; no workflow ran twice, no dead letter`;
  },
};
const checked = runChecks('\nThe acceptance list', checks).then(() => true);
const isDone = await Promise.race([checked, stage.example.untilStopped().then(() => false)]);
if (!isDone) {
  // Ctrl-C. What waits for an arrival would go on.
  await stage[Symbol.asyncDispose]();
  process.exit(1);
}
