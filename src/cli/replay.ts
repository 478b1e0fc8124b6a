/** `walpost replay`: says what there is to send, asks, writes the job and watches it. */
import { createInterface } from 'node:readline/promises';
import type { Config } from '../config/schema.ts';
import { WalpostError } from '../errors.ts';
import { type Job, jobName } from '../jobs/job.ts';
import { requestJob } from '../jobs/job-rows.ts';
import { countOutbox, type CountOf, type OutboxCount } from '../jobs/outbox-count.ts';
import { requireScanColumns } from '../jobs/outbox-scan.ts';
import { planReplay, type ReplayPlan } from '../jobs/replay-plan.ts';
import { formatLsn, type Lsn } from '../lsn.ts';
import { outboxTable } from '../relay-outbox.ts';
import { followJob } from './follow-job.ts';
import { type JobDatabase, openJobDatabase } from './job-database.ts';
import { type ReplayConduct, type ReplayFlags, type ReplayRequest, replayRequest } from './replay-request.ts';

export async function replay(config: Config, flags: ReplayFlags & ReplayConduct): Promise<void> {
  const request = replayRequest(flags, config);
  await using database = await openJobDatabase(config);
  const { pool, slot } = database;
  await requireScanColumns(pool, config.source.table);
  const plan = await planReplay(pool, { slot, ...request.window });
  const count = await countOutbox(pool, outboxTable(config.source), { ...plan.range, filter: request.spec });
  if (!flags.json) process.stdout.write(planText(plan, count));
  if (flags.dryRun) {
    if (flags.json) printJson({ dry_run: true, ...planJson(plan, count) });
    return;
  }
  if (!flags.yes && !(await agreed(count.events))) return;
  const job = await enqueue(database, plan, request);
  const output = flags.json ? process.stderr : process.stdout;
  const ended = await followJob({ pool, job, expected: count.events, output });
  if (flags.json) printJson({ dry_run: false, ...planJson(plan, count), job: jobJson(ended) });
  else process.stdout.write(endText(ended));
}

/** `walpost run --replay-from-lsn`: the same job, for the relay that starts now. */
export async function enqueueReplay(config: Config, from: Lsn): Promise<void> {
  await using database = await openJobDatabase(config);
  const window = { from: { lsn: from } };
  const plan = await planReplay(database.pool, { slot: database.slot, ...window });
  await enqueue(database, plan, { window: { ...window, to: undefined }, spec: {} });
}

function enqueue({ pool, slot }: JobDatabase, plan: ReplayPlan, { spec }: ReplayRequest): Promise<Job> {
  return requestJob(pool, { slot, kind: 'replay', reason: null, spec, ...plan.range });
}

async function agreed(events: number): Promise<boolean> {
  if (!process.stdin.isTTY || !process.stdout.isTTY) {
    throw new WalpostError('USAGE', {
      detail: 'Nobody can be asked here whether to send these events again.',
      remedy: 'Add --yes, or --dry-run to only look.',
    });
  }
  const asking = createInterface({ input: process.stdin, output: process.stdout });
  const answer = await asking.question(`Send these ${events} events again? [y/N] `);
  asking.close();
  return /^y(es)?$/i.test(answer.trim());
}

function planText({ from, oldest, newest }: ReplayPlan, count: OutboxCount): string {
  const place = ({ lsn, takenAt }: ReplayPlan['from']): string => `${formatLsn(lsn)} (${takenAt})`;
  return [
    `Begins at ${place(from)}, the last checkpoint at or below what was asked for.`,
    `There are checkpoints from ${place(oldest)} to ${place(newest)}.`,
    `Events to send: ${count.events}`,
    ...topText('by organization', count.organizations),
    ...topText('by type', count.eventTypes),
    '',
  ].join('\n');
}

function topText(title: string, counts: readonly CountOf[]): string[] {
  return counts.length === 0
    ? []
    : [`  ${title}:`, ...counts.map(({ name, events }) => `    ${name ?? '-'}  ${events}`)];
}

function endText(job: Job): string {
  if (job.state === 'done') return `${jobName(job)}: done, ${job.settled} events delivered, parked or dead-lettered.\n`;
  return `${jobName(job)} goes on without being watched; see \`walpost jobs list\`.\n`;
}

function planJson({ from, oldest, newest }: ReplayPlan, count: OutboxCount): object {
  const place = ({ lsn, takenAt }: ReplayPlan['from']): object => ({ lsn: formatLsn(lsn), taken_at: takenAt });
  return {
    from: place(from),
    oldest: place(oldest),
    newest: place(newest),
    events: count.events,
    organizations: count.organizations,
    event_types: count.eventTypes,
  };
}

function jobJson({ id, kind, state, scanned, settled }: Job): object {
  return { id, kind, state, scanned, settled };
}

function printJson(value: object): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}
