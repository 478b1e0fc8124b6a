/** `walpost replay`: says what there is to send, asks, writes the job and watches it. */
import type { Config } from '../config/schema.ts';
import { type Job, jobName } from '../jobs/job.ts';
import { requestJob } from '../jobs/job-rows.ts';
import { countOutbox, type CountOf, type OutboxCount } from '../jobs/outbox-count.ts';
import { requireScanColumns } from '../jobs/outbox-scan.ts';
import { planReplay, type ReplayPlan } from '../jobs/replay-plan.ts';
import { formatLsn, type Lsn } from '../lsn.ts';
import type { Checkpoint } from '../postgres/cursor/checkpoint-lookup.ts';
import { outboxTable } from '../relay/outbox-reader.ts';
import { confirm } from './confirm.ts';
import { followJob } from './follow-job.ts';
import { type JobDatabase, openJobDatabase } from './job-database.ts';
import { jobJson, outcomeText } from './job-outcome.ts';
import { rateText, secondsFor } from './job-progress.ts';
import { refuseUnknownNames } from './known-names.ts';
import { say, sayJson } from './output.ts';
import { secondsText } from './quantity-text.ts';
import { type ReplayConduct, type ReplayFlags, type ReplayRequest, replayRequest } from './replay-request.ts';

export async function replay(config: Config, flags: ReplayFlags & ReplayConduct): Promise<void> {
  const request = replayRequest(flags, config);
  await using database = await openJobDatabase(config);
  const { pool, slot } = database;
  await requireScanColumns(pool, config.source.table);
  const plan = await planReplay(pool, { slot, ...request.window });
  const routing = { routes: config.routes, sinks: Object.keys(config.sinks), only: request.spec.sinks };
  const count = await countOutbox(pool, outboxTable(config.source), { ...plan.range, filter: request.spec, routing });
  const nothing = count.events + count.unrouted + count.elsewhere + count.redacted === 0;
  if (nothing) await refuseUnknownNames(pool, config, { organization: flags.organization });
  if (!flags.json) for (const line of planText(plan, count, request.spec.rate)) say(line);
  if (flags.dryRun) {
    if (flags.json) sayJson({ dry_run: true, ...planJson(plan, count) });
    return;
  }
  if (count.events === 0 && !flags.yes) {
    if (flags.json) sayJson({ dry_run: false, ...planJson(plan, count), job: null });
    else say('There is nothing to send.');
    return;
  }
  if (!(await confirm(`Send these ${count.events} events again?`, flags))) return;
  const job = await enqueue(database, plan, request);
  const output = flags.json ? process.stderr : process.stdout;
  const ended = await followJob({ pool, job, expected: count.events, output });
  if (flags.json) sayJson({ dry_run: false, ...planJson(plan, count), job: jobJson(ended) });
  else say(endText(ended));
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

const placeText = ({ lsn, takenAt }: Checkpoint): string => `${formatLsn(lsn)} (${takenAt})`;

function planText({ from, between }: ReplayPlan, count: OutboxCount, rate: number | undefined): string[] {
  return [
    from === null
      ? 'Begins with the oldest row of the outbox.'
      : `Begins at ${placeText(from)}, the last checkpoint at or below what was asked for.`,
    ...(between ? [`There are checkpoints from ${placeText(between.oldest)} to ${placeText(between.newest)}.`] : []),
    `Events to send: ${count.events}`,
    ...(rate === undefined || count.events === 0
      ? []
      : [`At ${rateText(rate)} that takes ${secondsText(secondsFor(count.events, rate))}.`]),
    ...topText('by sink', count.sinks),
    ...topText('by organization', count.organizations, count.moreOrganizations),
    ...topText('by type', count.eventTypes, count.moreEventTypes),
    ...leftText(count),
  ];
}

/** Rows of the range that are not among the events to send. */
function leftText({ unrouted, elsewhere, redacted }: OutboxCount): string[] {
  return [
    ...(unrouted > 0 ? [`Match no route: ${unrouted}`] : []),
    ...(elsewhere > 0 ? [`Are for other sinks only: ${elsewhere}`] : []),
    ...(redacted > 0 ? [`Are redacted and cannot be sent: ${redacted}`] : []),
  ];
}

function topText(title: string, counts: readonly CountOf[], more = 0): string[] {
  if (counts.length === 0) return [];
  const lines = counts.map(({ name, events }) => `    ${name ?? '-'}  ${events}`);
  return [`  ${title}:`, ...lines, ...(more > 0 ? [`    and ${more} more`] : [])];
}

function endText(job: Job): string {
  if (job.state === 'done')
    return `${jobName(job)}: done, ${job.settled} events sent${outcomeText(job)}; what failed is parked or a dead letter.`;
  return `${jobName(job)} goes on without being watched; see \`walpost jobs list\`.`;
}

function planJson({ from, between }: ReplayPlan, count: OutboxCount): object {
  const place = (checkpoint: Checkpoint | null | undefined): object | null =>
    checkpoint ? { lsn: formatLsn(checkpoint.lsn), taken_at: checkpoint.takenAt } : null;
  return {
    from: place(from),
    oldest: place(between?.oldest),
    newest: place(between?.newest),
    events: count.events,
    sinks: count.sinks,
    unrouted: count.unrouted,
    elsewhere: count.elsewhere,
    redacted: count.redacted,
    organizations: count.organizations,
    more_organizations: count.moreOrganizations,
    event_types: count.eventTypes,
    more_event_types: count.moreEventTypes,
  };
}
