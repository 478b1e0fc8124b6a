/** `walpost endpoints recover`: enables an endpoint, and asks for a job that sends what it missed, to it alone. */
import type { Config } from '../config/schema.ts';
import { WalpostError } from '../errors.ts';
import { type Job, type JobSpec, jobName } from '../jobs/job.ts';
import { requestJob } from '../jobs/job-rows.ts';
import { countOutbox } from '../jobs/outbox-count.ts';
import { requireScanColumns } from '../jobs/outbox-scan.ts';
import { planReplay, type ReplayPlan } from '../jobs/replay-plan.ts';
import { outboxTable } from '../relay/outbox-reader.ts';
import type { ConfigFlags } from './config-options.ts';
import { confirm } from './confirm.ts';
import { callEndpoint, unknownEndpoint } from './endpoint-calls.ts';
import { type EndpointDetails, readEndpoint } from './endpoint-rows.ts';
import { moment } from './endpoints.ts';
import { pastMoment, rateOf, usage } from './flag-values.ts';
import { followJob } from './follow-job.ts';
import { type JobDatabase, openJobDatabase } from './job-database.ts';
import { jobJson } from './job-outcome.ts';
import { say, sayJson } from './output.ts';
import type { ChangeFlags } from './stored-filter.ts';

/** What was in the relay's memory when the endpoint was disabled, and failed then, can have been committed a little before. */
const BEFORE_DISABLING_MS = 60_000;

export interface RecoverFlags extends ConfigFlags, ChangeFlags {
  readonly since?: string;
  readonly rate?: string;
  readonly json?: boolean;
}

export async function recover(config: Config, id: string, flags: RecoverFlags): Promise<void> {
  const { json, dryRun } = flags;
  const rate = flags.rate === undefined ? undefined : rateOf(flags.rate);
  await using database = await openJobDatabase(config);
  const endpoint = await readEndpoint(database.pool, id.toLowerCase());
  if (!endpoint) throw unknownEndpoint(id);
  refuseGoneSink(config, endpoint);
  const since = await sinceOf(database, endpoint, flags.since);
  const spec = specOf(endpoint, rate);
  await requireScanColumns(database.pool, config.source.table);
  const events = await countMissed(config, database, await planFrom(database, since), { endpoint, spec });
  const from = `${moment(since.toISOString())} UTC`;
  if (!json) say(`Events since ${from} that it asks for: ${events}. Some may have been sent before; their ids repeat.`);
  if (dryRun) return json ? sayJson({ dry_run: true, since: since.toISOString(), events }) : undefined;
  const enables = endpoint.state === 'disabled' ? 'Enable it, and send' : 'Send';
  if (!(await confirm(`${enables} these ${events} events to ${endpoint.host}?`, flags))) return;
  const job = await request(database, endpoint, { since, spec });
  const ended = await followJob({ ...database, job, expected: events, output: json ? process.stderr : process.stdout });
  if (json) sayJson({ dry_run: false, since: since.toISOString(), events, job: jobJson(ended) });
  else say(endText(ended));
}

/** What commits behind the enabling comes in the stream, so the job is planned when that has committed. */
async function request(
  database: JobDatabase,
  endpoint: EndpointDetails,
  { since, spec }: { readonly since: Date; readonly spec: JobSpec },
): Promise<Job> {
  const { pool, slot } = database;
  const { endpoint_id: id } = endpoint;
  if (endpoint.state === 'disabled') await callEndpoint(pool, 'enable', [id]);
  const { range } = await planFrom(database, since);
  const job = await requestJob(pool, { slot, kind: 'replay', reason: `recovers endpoint ${id}`, spec, ...range });
  await callEndpoint(pool, 'forgetMissed', [id]);
  return job;
}

function specOf({ endpoint_id: id, sink, organization_id: organization }: EndpointDetails, rate?: number): JobSpec {
  // The receiver may never have had these events, so they are no replay to it.
  return { organization, sinks: [sink], lanes: [id], repairs: true, ...(rate !== undefined && { rate }) };
}

/** Throws REPLAY_RANGE with the oldest time that the rows still allow. */
async function sinceOf(
  { pool, slot }: JobDatabase,
  { missed_since: missed }: EndpointDetails,
  flag?: string,
): Promise<Date> {
  const asked = flag === undefined ? undefined : pastMoment(flag, { flag: '--since', now: Date.now() });
  const since = asked ?? (missed === null ? undefined : new Date(missed));
  if (since === undefined) {
    throw usage(
      'It has missed nothing that is known of.',
      'Say from when with --since 2h, or --since 2026-11-20T14:00:00Z.',
    );
  }
  const { between } = await planReplay(pool, { slot, from: 'everything' });
  const oldest = between === null ? new Date(0) : nextMillisecond(between.oldest.takenAt);
  // Both have microseconds, in the same form; the oldest checkpoint may be the one that `missed_since` was taken from.
  const isReached = asked === undefined && between !== null && missed !== null && missed >= between.oldest.takenAt;
  if (since < oldest && !isReached) {
    throw new WalpostError('REPLAY_RANGE', {
      detail: `${since.toISOString()} is older than what the rows still tell apart, which begins at ${oldest.toISOString()}.`,
      remedy: `Use --since ${oldest.toISOString()}, or a later time; what is older is lost to this endpoint.`,
    });
  }
  return asked ?? new Date(Math.max(oldest.getTime(), since.getTime() - BEFORE_DISABLING_MS));
}

/** A time has milliseconds here and microseconds there; rounded down it would lie before the checkpoint. */
function nextMillisecond(time: string): Date {
  return new Date(Date.parse(time) + (/\.\d{3}0*Z$/.test(time) ? 0 : 1));
}

function refuseGoneSink({ sinks }: Config, { sink }: EndpointDetails): void {
  if (Object.hasOwn(sinks, sink)) return;
  throw new WalpostError('SINK_UNKNOWN', {
    detail: `The endpoint is one of "${sink}", and there is ${Object.keys(sinks).join(', ')}.`,
    remedy: `Set \`formerly: ${sink}\` at the sink that replaces it, or add it again.`,
  });
}

function planFrom({ pool, slot }: JobDatabase, since: Date): Promise<ReplayPlan> {
  return planReplay(pool, { slot, from: { time: since } });
}

async function countMissed(
  { source, routes, sinks }: Config,
  { pool }: JobDatabase,
  { range }: ReplayPlan,
  { endpoint, spec }: { readonly endpoint: EndpointDetails; readonly spec: JobSpec },
): Promise<number> {
  const routing = { routes, sinks: Object.keys(sinks), only: spec.sinks };
  const filter = { ...spec, eventTypes: endpoint.event_types };
  return (await countOutbox(pool, outboxTable(source), { ...range, filter, routing })).events;
}

function endText(job: Job): string {
  if (job.state === 'done')
    return `${jobName(job)}: done, ${job.settled} events went to it; what failed is parked or a dead letter.`;
  return `${jobName(job)} goes on without being watched; see \`walpost jobs list\`.`;
}
