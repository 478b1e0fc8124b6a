/** `walpost dead-letters`: what operators do about events that were given up on. */
import type { Config } from '../config/schema.ts';
import { WalpostError } from '../errors.ts';
import { type Job, type JobSpec, jobName } from '../jobs/job.ts';
import { requestJob } from '../jobs/job-rows.ts';
import {
  countStored,
  discardStored,
  listStored,
  readDeadLetter,
  type StoredFilter,
  type StoredRow,
} from '../parking/stored-rows.ts';
import { confirm } from './confirm.ts';
import { followJob } from './follow-job.ts';
import { openJobDatabase } from './job-database.ts';
import { limitOf } from './parked.ts';
import { progressLine } from './progress-line.ts';
import { type ChangeFlags, type FilterFlags, storedFilter, usage } from './stored-filter.ts';
import { textTable } from './text-table.ts';

const NONE = 'No dead letter matches.';

export interface DeadLetterFlags extends FilterFlags, ChangeFlags {}
export interface DeadLetterListFlags extends FilterFlags {
  readonly limit?: string;
  readonly json?: boolean;
}
export interface RedriveFlags extends DeadLetterFlags {
  readonly rate?: string;
  readonly json?: boolean;
}

const say = (line: string): void => void process.stdout.write(`${line}\n`);
const letters = (count: number): string => `${count} dead letter${count === 1 ? '' : 's'}`;

export async function listDeadLetters(config: Config, flags: DeadLetterListFlags): Promise<void> {
  const limit = limitOf(flags.limit);
  await using database = await openJobDatabase(config);
  const rows = await listStored(database.pool, 'dead_letters', { ...storedFilter(flags, database.slot), limit });
  if (flags.json) return say(JSON.stringify(rows, null, 2));
  if (rows.length === 0) return say('There are no dead letters.');
  const head = ['id', 'sink', 'reason', 'tries', 'organization', 'type', 'event', 'stored at (UTC)', 'detail'];
  process.stdout.write(textTable(head, rows.map(cells)));
  if (rows.length === limit) say('There may be more: --limit says how many are shown.');
}

export async function showDeadLetter(config: Config, id: string, json: boolean): Promise<void> {
  if (!/^\d{1,18}$/.test(id)) throw usage('A dead letter is named by its number.');
  await using database = await openJobDatabase(config);
  const letter = await readDeadLetter(database.pool, database.slot, id);
  if (!letter) throw new WalpostError('DEAD_LETTER_UNKNOWN', { detail: `It is ${id}.` });
  if (json) return say(JSON.stringify(letter, null, 2));
  const entries = Object.entries(letter).filter(([, value]) => value !== null);
  process.stdout.write(
    textTable(
      ['', ''],
      entries.map(([name, value]) => [name, String(value)]),
    ).trimStart(),
  );
}

export async function redrive(config: Config, flags: RedriveFlags): Promise<void> {
  await using database = await openJobDatabase(config);
  const { pool, slot } = database;
  const filter = storedFilter(flags, slot);
  const spec = specOf(filter, flags.rate);
  const count = await countStored(pool, 'dead_letters', filter);
  if (flags.dryRun || count === 0) {
    return flags.json
      ? say(JSON.stringify({ dry_run: flags.dryRun === true, letters: count }))
      : say(count === 0 ? NONE : `${letters(count)} would be sent again.`);
  }
  if (!(await confirm(`Send ${letters(count)} again?`, flags.yes))) return;
  const range = { fromLsn: null, afterSnapshot: null, beforeXid: null };
  const job = await requestJob(pool, { slot, kind: 'redrive', reason: null, spec, ...range });
  const ended = await followJob({ pool, job, expected: count, output: flags.json ? process.stderr : process.stdout });
  if (flags.json) say(JSON.stringify({ dry_run: false, letters: count, job: jobJson(ended) }));
  else say(endText(ended));
}

export async function discardDeadLetters(config: Config, flags: DeadLetterFlags): Promise<void> {
  await using database = await openJobDatabase(config);
  const filter = storedFilter(flags, database.slot);
  const count = await countStored(database.pool, 'dead_letters', filter);
  if (flags.dryRun || count === 0) return say(count === 0 ? NONE : `${letters(count)} would be deleted.`);
  if (!(await confirm(`Delete ${letters(count)} for good?`, flags.yes))) return;
  using progress = progressLine((gone) => `deleted ${gone} of ${count}`);
  const gone = await discardStored(database.pool, 'dead_letters', filter, progress.show);
  progress.clear();
  say(`Deleted ${letters(gone)}.`);
}

function specOf(filter: StoredFilter, rate: string | undefined): JobSpec {
  const { sink, organization, type: eventType, reason, before: storedBefore, ids: chosen, eventIds } = filter;
  if (reason === 'poison') throw usage('A poison is no event: it cannot be sent.');
  if (rate !== undefined && !(Number(rate) > 0)) throw usage(`--rate takes events a second, not "${rate}".`);
  return {
    ...(sink !== undefined && { sinks: [sink] }),
    ...(organization !== undefined && { organization }),
    ...(eventType !== undefined && { eventType }),
    ...(reason !== undefined && { reason }),
    ...(storedBefore !== undefined && { storedBefore }),
    ...(chosen !== undefined && { letters: chosen }),
    ...(eventIds !== undefined && { eventIds }),
    ...(rate !== undefined && { rate: Number(rate) }),
  };
}

function endText(job: Job): string {
  if (job.state !== 'done') return `${jobName(job)} goes on without being watched; see \`walpost jobs list\`.`;
  return `${jobName(job)}: done, ${letters(job.settled)} sent again; what failed again is a new dead letter.`;
}

function jobJson({ id, kind, state, scanned, settled }: Job): object {
  return { id, kind, state, scanned, settled };
}

function cells(row: StoredRow): string[] {
  const { id, sink, reason, attempts, organization_id: organization, event_type: type, event_id: event } = row;
  const detail = (row.detail ?? '').slice(0, 80);
  return [
    id,
    sink ?? '',
    `${reason ?? ''}${row.blocks === true ? ', blocks' : ''}`,
    String(attempts ?? ''),
    organization ?? '',
    type ?? '',
    event ?? '',
    row.stored_at.slice(0, 19).replace('T', ' '),
    detail,
  ];
}
