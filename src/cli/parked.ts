/** `walpost parked`: what operators do about events that wait for a sink. */
import type { Config } from '../config/schema.ts';
import {
  countStored,
  listStored,
  moveParked,
  type StoredFilter,
  type StoredRow,
  wakeLanes,
} from '../parking/stored-rows.ts';
import { inspectSlot } from '../slot/slot-state.ts';
import { confirm } from './confirm.ts';
import { discardFrom } from './discard-stored.ts';
import { usage } from './flag-values.ts';
import { type JobDatabase, openJobDatabase } from './job-database.ts';
import { refuseBrokenNames, refuseUnknownNames } from './known-names.ts';
import { hint, say, sayJson } from './output.ts';
import { progressLine } from './progress-line.ts';
import { type ChangeFlags, type FilterFlags, storedFilter } from './stored-filter.ts';
import { cut, textTable } from './text-table.ts';

const NONE = 'No parked event matches.';
const HEAD_OF_EVENT = ['id', 'sink', 'organization', 'type', 'event', 'parked at (UTC)', 'job'];
const HEAD = [...HEAD_OF_EVENT, 'tries of the lane', 'next try (UTC)', 'last reason'];
/** The lane was not tried yet by this leader, or nobody leads. */
const UNKNOWN = 'unknown';

export interface ListFlags extends FilterFlags {
  readonly limit?: string;
  readonly json?: boolean;
}
export interface ParkedFlags extends FilterFlags, ChangeFlags {}
export interface MoveFlags extends ParkedFlags {
  readonly from: string;
  readonly to: string;
  readonly force?: boolean;
}

const events = (count: number): string => `${count} parked event${count === 1 ? '' : 's'}`;

export async function listParked(config: Config, flags: ListFlags): Promise<void> {
  const limit = limitOf(flags.limit);
  await using database = await openJobDatabase(config);
  const filter = storedFilter(flags, database.slot);
  const rows = await listStored(database.pool, 'parked', { ...filter, limit });
  if (rows.length === 0) await refuseBrokenNames(database.pool, config, flags);
  if (flags.json) return sayJson(rows);
  if (rows.length === 0) return say('Nothing is parked.');
  process.stdout.write(textTable(HEAD, rows.map(cells)));
  const more = rows.length === limit ? (await countStored(database.pool, 'parked', filter)) - limit : 0;
  if (more > 0) say(`and ${more} more; --limit says how many are shown.`);
  hint('After a repair `walpost parked retry` tries them at once, before they are due.');
}

export async function retryParked(config: Config, flags: ParkedFlags): Promise<void> {
  await using database = await openJobDatabase(config);
  const filter = storedFilter(flags, database.slot);
  const count = await countStored(database.pool, 'parked', filter);
  if (count === 0) await refuseUnknownNames(database.pool, config, flags);
  const dryRun = flags.dryRun === true;
  const lanes = dryRun || count === 0 ? 0 : await wakeLanes(database.pool, filter);
  if (flags.json) return sayJson({ dry_run: dryRun, matched: count, lanes, streamed: !(await isAlone(database)) });
  if (dryRun || count === 0) return say(count === 0 ? NONE : `${events(count)} would be tried.`);
  say(`${events(count)} in ${lanes} lane${lanes === 1 ? '' : 's'} are due now.`);
  await noteWhenAlone(database);
}

export async function move(config: Config, flags: MoveFlags): Promise<void> {
  const { from, to, sink } = flags;
  if (sink !== undefined) throw usage('Say which sink with --from, not with --sink.');
  if (from === to) throw usage('--from and --to name the same sink.');
  if (!flags.force && !Object.hasOwn(config.sinks, to)) {
    throw usage(
      `--to names no sink: there is ${Object.keys(config.sinks).join(', ')}, not "${to}" (--force moves all the same).`,
    );
  }
  await using database = await openJobDatabase(config);
  const filter = storedFilter({ ...flags, sink: from }, database.slot);
  const count = await countStored(database.pool, 'parked', filter);
  if (count === 0) await refuseUnknownNames(database.pool, config, flags);
  const dryRun = flags.dryRun === true;
  const goesOn = !dryRun && count > 0 && (await confirm(`Move ${events(count)} of ${from} to ${to}?`, flags));
  const moved = goesOn ? await moveAll(database, { filter, to, count }) : 0;
  if (flags.json) return sayJson({ dry_run: dryRun, from, to, matched: count, moved });
  if (count === 0) say(NONE);
  else if (dryRun) say(`${events(count)} of ${from} would go to ${to}.`);
  else if (goesOn) say(`Moved ${events(moved)} of ${from} to ${to}.`);
}

async function moveAll(
  { pool }: JobDatabase,
  { filter, to, count }: { filter: StoredFilter; to: string; count: number },
): Promise<number> {
  using progress = progressLine((moved) => `moved ${moved} of ${count}`);
  return await moveParked(pool, { filter, to }, progress.show);
}

export function discardParked(config: Config, flags: ParkedFlags): Promise<void> {
  return discardFrom('parked', { none: NONE, counted: events }, config, flags);
}

export function limitOf(text: string | undefined): number {
  const limit = Number(text ?? 50);
  if (!Number.isInteger(limit) || limit < 1 || limit > 100_000) throw usage('--limit takes a number from 1 to 100000.');
  return limit;
}

/** Nobody hears a notification while no relay streams. */
export async function noteWhenAlone(database: JobDatabase): Promise<void> {
  if (await isAlone(database)) say(`No relay streams from ${database.slot} now: the next one begins with them.`);
}

async function isAlone({ pool, slot }: JobDatabase): Promise<boolean> {
  const state = await inspectSlot(pool, slot);
  return state.kind === 'missing' || state.facts.holder === null;
}

function cells(row: StoredRow): string[] {
  const { id, sink, organization_id: organization, event_type: type, event_id: event, stored_at: at, job } = row;
  const moment = (time: string): string => time.slice(0, 19).replace('T', ' ');
  const tries = row.attempts == null ? UNKNOWN : String(row.attempts);
  const isPaused = row.paused_at != null;
  const next = isPaused
    ? 'when it is resumed'
    : row.next_try_at == null
      ? row.attempts == null
        ? UNKNOWN
        : 'now'
      : moment(row.next_try_at);
  const reason = isPaused
    ? `paused by ${row.paused_by} since ${moment(row.paused_at ?? '')}`
    : cut(row.reason ?? UNKNOWN);
  return [id, sink, organization, type, event, moment(at), job, tries, next, reason].map((cell) => cell ?? '');
}
