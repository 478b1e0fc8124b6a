/** `walpost dead-letters`: what operators do about events that were given up on. */
import type { Config } from '../config/schema.ts';
import { WalpostError } from '../errors.ts';
import { countLetters, type LetterCount, refuseGoneSinks, refuseWhenAllGone } from '../jobs/dead-letter-count.ts';
import { type Job, type JobSpec, jobName } from '../jobs/job.ts';
import { requestJob } from '../jobs/job-rows.ts';
import { countStored, listStored, readDeadLetter, type StoredFilter, type StoredRow } from '../parking/stored-rows.ts';
import { confirm } from './confirm.ts';
import { discardFrom } from './discard-stored.ts';
import { rateOf, usage } from './flag-values.ts';
import { followJob } from './follow-job.ts';
import { openJobDatabase } from './job-database.ts';
import { jobJson, outcomeText, sentText } from './job-outcome.ts';
import { refuseBrokenNames, refuseUnknownNames } from './known-names.ts';
import { limitOf } from './parked.ts';
import { hint, say, sayJson } from './output.ts';
import { type ChangeFlags, type FilterFlags, storedFilter } from './stored-filter.ts';
import { cut, recordText, textTable } from './text-table.ts';

const NONE = 'No dead letter matches.';
/** Everything else in a list is in words of ours or of the application. */
const ANSWER = "the destination's own words";

export interface DeadLetterFlags extends FilterFlags, ChangeFlags {}
export interface DeadLetterListFlags extends FilterFlags {
  readonly limit?: string;
  readonly json?: boolean;
}
export interface RedriveFlags extends DeadLetterFlags {
  readonly rate?: string;
  readonly json?: boolean;
}

const letters = (count: number): string => `${count} dead letter${count === 1 ? '' : 's'}`;

export async function listDeadLetters(config: Config, flags: DeadLetterListFlags): Promise<void> {
  const limit = limitOf(flags.limit);
  await using database = await openJobDatabase(config);
  const filter = storedFilter(flags, database.slot);
  const rows = await listStored(database.pool, 'dead_letters', { ...filter, limit });
  if (rows.length === 0) await refuseBrokenNames(database.pool, config, flags);
  if (flags.json) return sayJson(rows);
  if (rows.length === 0) return say('There are no dead letters.');
  const head = ['id', 'sink', 'reason', 'tries', 'organization', 'type', 'event', 'stored at (UTC)', 'detail', ANSWER];
  process.stdout.write(textTable(head, rows.map(cells)));
  const more = rows.length === limit ? (await countStored(database.pool, 'dead_letters', filter)) - limit : 0;
  if (more > 0) say(`and ${more} more; --limit says how many are shown.`);
  hint('`walpost dead-letters show ID` shows one. After a repair `walpost dead-letters redrive` sends them again.');
}

export async function showDeadLetter(config: Config, id: string, json: boolean): Promise<void> {
  if (!/^\d{1,18}$/.test(id)) throw usage('A dead letter is named by its number.');
  await using database = await openJobDatabase(config);
  const letter = await readDeadLetter(database.pool, database.slot, id);
  if (!letter) throw new WalpostError('DEAD_LETTER_UNKNOWN', { detail: `It is ${id}.` });
  if (json) return sayJson(letter);
  const entries = Object.entries(letter).filter(([, value]) => value !== null);
  process.stdout.write(recordText(entries.map(([name, value]) => [name === 'answer' ? ANSWER : name, String(value)])));
}

export async function redrive(config: Config, flags: RedriveFlags): Promise<void> {
  await using database = await openJobDatabase(config);
  const { pool, slot } = database;
  const filter = storedFilter(flags, slot);
  const spec = specOf(filter, flags.rate);
  const sinks = Object.keys(config.sinks);
  refuseGoneSinks(spec.sinks ?? [], sinks);
  const found = await countLetters(pool, { slot, spec }, { routes: config.routes, sinks });
  refuseWhenAllGone(found, sinks);
  const count = found.letters;
  if (count === 0) await refuseUnknownNames(pool, config, flags);
  if (!flags.json) for (const line of stayText(found)) say(line);
  if (flags.dryRun || count === 0) {
    const to = sentText(found.sent);
    if (flags.json) sayJson({ dry_run: flags.dryRun === true, ...letterJson(found) }, 0);
    else say(count === 0 ? NONE : `${letters(count)} would be sent again${to === '' ? '' : ` (${to})`}.`);
    return;
  }
  if (!(await confirm(`Send ${letters(count)} again?`, flags))) return;
  const range = { fromLsn: null, afterSnapshot: null, beforeXid: null };
  const job = await requestJob(pool, { slot, kind: 'redrive', reason: null, spec, ...range });
  const ended = await followJob({ pool, job, expected: count, output: flags.json ? process.stderr : process.stdout });
  if (flags.json) sayJson({ dry_run: false, ...letterJson(found), job: jobJson(ended) }, 0);
  else say(endText(ended));
}

export function discardDeadLetters(config: Config, flags: DeadLetterFlags): Promise<void> {
  return discardFrom('dead_letters', { none: NONE, counted: letters }, config, flags);
}

function specOf(filter: StoredFilter, rate: string | undefined): JobSpec {
  const { sink, organization, lane, type: eventType, reason, before: storedBefore, ids: chosen, eventIds } = filter;
  if (reason === 'poison') throw usage('A poison is no event: it cannot be sent.');
  return {
    ...(sink !== undefined && { sinks: [sink] }),
    ...(organization !== undefined && { organization }),
    ...(lane !== undefined && { lanes: [lane] }),
    ...(eventType !== undefined && { eventType }),
    ...(reason !== undefined && { reason }),
    ...(storedBefore !== undefined && { storedBefore }),
    ...(chosen !== undefined && { letters: chosen }),
    ...(eventIds !== undefined && { eventIds }),
    ...(rate !== undefined && { rate: rateOf(rate) }),
  };
}

/** What a redrive leaves where it is, and why. */
function stayText({ gone, unrouted }: LetterCount): string[] {
  const stay = (count: number): string => `${letters(count)} ${count === 1 ? 'stays' : 'stay'}`;
  const sinks = Object.entries(gone).map(([sink, count]) => `${stay(count)}: there is no sink "${sink}".`);
  return unrouted === 0 ? sinks : [...sinks, `${stay(unrouted)}: no route matches.`];
}

function letterJson({ letters: count, sent, unrouted, gone }: LetterCount): object {
  return { letters: count, sinks: sent, unrouted, gone };
}

function endText(job: Job): string {
  if (job.state !== 'done') return `${jobName(job)} goes on without being watched; see \`walpost jobs list\`.`;
  return `${jobName(job)}: done, ${letters(job.settled)} sent again${outcomeText(job)}; what failed again is a new dead letter.`;
}

function cells(row: StoredRow): string[] {
  const { id, sink, reason, attempts, organization_id: organization, event_type: type, event_id: event } = row;
  const [detail, answer] = [row.detail ?? '', row.answer ?? ''].map(cut);
  return [
    id,
    sink ?? '',
    `${reason ?? ''}${row.blocks === true ? ', blocks' : ''}`,
    String(attempts ?? ''),
    organization ?? '',
    type ?? '',
    event ?? '',
    row.stored_at.slice(0, 19).replace('T', ' '),
    detail ?? '',
    answer ?? '',
  ];
}
