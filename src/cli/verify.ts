/**
 * `walpost verify`: numbered canaries through the outbox, the log, the slot and the relay that runs, wherever it runs.
 *
 * The relay notes in walpost.canaries what it receives, in that order, so the command needs nothing but the database. With
 * `--sink` it also reads in the delivery log what a sink has accepted. Rows are removed at the end, or by the next run.
 */
import type pg from 'pg';
import { pause, systemClock } from '../clock.ts';
import type { Config } from '../config/schema.ts';
import { databaseError } from '../postgres/database-error.ts';
import { isSqlState, SQLSTATE } from '../postgres/sqlstate.ts';
import { EXIT } from './exit-code.ts';
import { usage } from './flag-values.ts';
import { isStreamed } from './follow-job.ts';
import { type JobDatabase, openJobDatabase } from './job-database.ts';
import { note, say, sayJson } from './output.ts';
import { progressLine } from './progress-line.ts';
import { recordText } from './text-table.ts';
import { type CanaryArrival, type ArrivalReport, arrivalText, isSound, judgeArrivals } from './verify-report.ts';
import { type VerifyFlags, type VerifyRequest, verifyRequest } from './verify-request.ts';

/** Two runs would remove the canaries of each other. The turn lasts as long as its transaction, which is idle meanwhile. */
const TAKE_TURN =
  'BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0; SELECT walpost_internal.take_verify_turn()';
const SEND = 'SELECT walpost_internal.send_canary($1, $2)';
const CLEAN = 'SELECT walpost_internal.remove_canaries()::integer AS removed';

/** $1 slot: another slot of the database has a relay of its own, and gets every canary too. */
const AT_RELAY = `
  SELECT s.number, (1000 * extract(epoch FROM a.arrived_at - s.sent_at))::float8 AS latency
    FROM walpost.canaries AS a JOIN walpost.canaries AS s ON s.event_id = a.event_id AND s.sent_at IS NOT NULL
   WHERE a.arrived_at IS NOT NULL AND a.slot = $1 ORDER BY a.id`;
/** Batches of a lane are sent one after the other, so the rows are in the order of delivery. $1 slot, $2 sink, $3 organization. */
const AT_SINK = `
  SELECT s.number, (1000 * extract(epoch FROM l.at - s.sent_at))::float8 AS latency
    FROM walpost.delivery_log AS l CROSS JOIN LATERAL unnest(l.event_ids) WITH ORDINALITY AS e (id, place)
         JOIN walpost.canaries AS s ON s.event_id = e.id AND s.sent_at IS NOT NULL
   WHERE l.organization_id = $3 AND l.slot = $1 AND l.sink = $2 AND l.outcome = 'delivered'
     AND l.at >= (SELECT min(f.sent_at) FROM walpost.canaries AS f)
   ORDER BY l.id, e.place`;
const LOOK_MS = 200;

type Slot = Pick<JobDatabase, 'pool' | 'slot'>;

interface Found {
  readonly relay: readonly CanaryArrival[];
  readonly sink: readonly CanaryArrival[] | null;
}

export async function verify(config: Config, flags: VerifyFlags): Promise<void> {
  const request = verifyRequest(config, flags);
  await using database = await openJobDatabase(config);
  const { pool, slot } = database;
  const stop = new AbortController();
  const onSignal = (): void => stop.abort();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, onSignal);
  const turn = await pool.connect();
  let lost: Error | undefined;
  turn.on('error', (error) => {
    lost ??= error; // somebody has ended the session that has the turn, as another run was told to
    stop.abort();
  });
  try {
    await takeTurn(turn);
    const found = await sendAndClean(database, request, stop.signal);
    if (lost) throw lost;
    if (stop.signal.aborted) process.exitCode = EXIT.failed;
    else tell(slot, request, { found, json: flags.json === true });
  } catch (error) {
    throw databaseError(error, 'verifying');
  } finally {
    turn.release(true);
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, onSignal);
  }
}

/** The server says who has the turn, and how to end that session. */
async function takeTurn(client: pg.PoolClient): Promise<void> {
  try {
    await client.query(TAKE_TURN);
  } catch (error) {
    if (!isSqlState(error, SQLSTATE.lockNotAvailable)) throw error;
    const { message, hint } = error as pg.DatabaseError;
    throw usage(`Another \`walpost verify\` runs on this database. ${message}.`, hint);
  }
}

async function sendAndClean(database: Slot, request: VerifyRequest, signal: AbortSignal): Promise<Found> {
  const { pool, slot } = database;
  await pool.query(CLEAN); // what a run has left that was killed
  try {
    if (!(await isStreamed(pool, slot))) note(`Nobody streams from ${slot}: start \`walpost run\`.`);
    return await sendAndWait(database, request, signal);
  } finally {
    await pool.query(CLEAN).catch(() => undefined); // the next run does it
  }
}

async function sendAndWait(database: Slot, request: VerifyRequest, signal: AbortSignal): Promise<Found> {
  const { pool } = database;
  const { count, rate, organization, timeoutMs } = request;
  using progress = progressLine((sent) => `${sent} of ${count} canaries`);
  const begun = systemClock.now();
  for (let number = 1; number <= count && !signal.aborted; number += 1) {
    await pool.query(SEND, [organization, number]);
    progress.show(number);
    if (number < count) await pause(systemClock, begun + (number * 1000) / rate - systemClock.now(), signal);
  }
  const deadline = systemClock.now() + timeoutMs;
  for (;;) {
    const found = await look(database, request);
    const isThere = [found.relay, found.sink].every((each) => each === null || numbersIn(each) === count);
    if (isThere || signal.aborted || systemClock.now() >= deadline) return found;
    await pause(systemClock, LOOK_MS, signal);
  }
}

async function look({ pool, slot }: Slot, { sink, organization }: VerifyRequest): Promise<Found> {
  const relay = (await pool.query<CanaryArrival>(AT_RELAY, [slot])).rows;
  if (sink === null) return { relay, sink };
  return { relay, sink: (await pool.query<CanaryArrival>(AT_SINK, [slot, sink, organization.toLowerCase()])).rows };
}

function numbersIn(arrivals: readonly CanaryArrival[]): number {
  return new Set(arrivals.map(({ number }) => number)).size;
}

function tell(slot: string, request: VerifyRequest, { found, json }: { found: Found; json: boolean }): void {
  const { count, sink } = request;
  const relay = judgeArrivals(count, found.relay);
  const atSink = found.sink && judgeArrivals(count, found.sink);
  const ok = isSound(relay) && (atSink === null || isSound(atSink));
  if (!ok) process.exitCode = EXIT.problemsFound;
  if (json)
    return sayJson({
      ok,
      slot,
      sent: count,
      relay: forJson(relay),
      sink: atSink && { name: sink, ...forJson(atSink) },
    });
  const lines: [string, string][] = [
    ['slot', slot],
    ['relay', arrivalText(count, relay)],
  ];
  if (atSink) lines.push([`sink ${sink}`, arrivalText(count, atSink)]);
  process.stdout.write(recordText(lines));
  say(ok ? 'All canaries came through.' : 'Not all canaries came through in order: see `walpost status`.');
}

function forJson({ latency, ...rest }: ArrivalReport): object {
  return { ...rest, latency_ms: latency };
}
