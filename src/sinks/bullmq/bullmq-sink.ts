/**
 * BullMQ: every event is one job, whose id is made of the event's id. BullMQ adds no job whose id it still has, so an event
 * that is sent again is added once for as long as its job is kept.
 *
 * A batch is one transaction (MULTI): all of its jobs are added, in order, or none. `Queue.addBulk` would go on behind a
 * job that was refused (docs/decisions/0035-a-batch-for-redis-stops-at-its-first-error.md).
 */
import { Queue } from 'bullmq';
import type { SinkConfigOf } from '../../config/sinks/sinks.ts';
import { envelopeOf } from '../../envelope.ts';
import { WalpostError } from '../../errors.ts';
import type { Event } from '../../event.ts';
import { DELIVERED, type Sink, type Verdict, type Verdicts } from '../../pipeline.ts';
import type { SinkContext } from '../../sink-context.ts';
import { wireBytes } from '../../wire-text.ts';
import { AnswerText } from '../answer/answer-text.ts';
import { secretsOfUrl } from '../answer/known-secrets.ts';
import { compileName } from '../redis/filled-name.ts';
import { RedisLink } from '../redis/redis-link.ts';
import { needsNewConnection, redisVerdict } from '../redis/redis-verdict.ts';
import { refuseUnsound } from '../refuse-unsound.ts';
import { type EnvelopeJob, envelopeJobs, jobIdOf } from './envelope-job.ts';
import { jobOptionsOf } from './job-options.ts';
import { Queues } from './queues.ts';

/** Names may be longer; one that is has been filled with something that is no name. */
const LONGEST_NAME = 256;
/** BullMQ's queue names have no colon, and braces would choose another slot of a cluster. */
const UNSAFE = ':{}\\s\\p{Cc}';
const NOT_SENT: Verdict = { kind: 'unavailable', reason: 'not sent: an event before it was not delivered' };

interface PlannedJob extends EnvelopeJob {
  readonly event: Event;
  readonly queue: string;
  readonly options: ReturnType<ReturnType<typeof jobOptionsOf>>['options'];
}

export function createBullmqSink(config: SinkConfigOf<'bullmq'>, context: SinkContext): Sink {
  refuseUnsound(config, context);
  const link = new RedisLink(config);
  const queues = new Queues((name) => queueOf(name, link, config.prefix));
  const answers = new AnswerText(() => secretsOfUrl(new URL(config.url), { path: false }));
  const plan = planner(config, context);

  async function add(jobs: readonly PlannedJob[], signal: AbortSignal): Promise<Verdict[]> {
    const events = jobs.map(({ event }) => event);
    const judge = (error: unknown): Verdict => {
      if (needsNewConnection(error)) link.drop();
      return redisVerdict(error, { events, answers });
    };
    try {
      const results = await link.use(() => queues.inTurn(() => addAll(jobs, queues)), signal);
      return results.map((error) => (error === null ? DELIVERED : judge(error)));
    } catch (error) {
      if (signal.aborted) throw error;
      return [judge(error)];
    }
  }

  return {
    async deliver({ events }, signal): Promise<Verdicts> {
      const verdicts = new Map<Event, Verdict>();
      const jobs: PlannedJob[] = [];
      for (const event of events) {
        const planned = plan(event);
        if (typeof planned === 'string') verdicts.set(event, { kind: 'rejected', reason: planned });
        else jobs.push(planned);
      }
      if (jobs.length === 0) return events.map((event) => verdicts.get(event) ?? NOT_SENT);
      const answered = await add(jobs, signal);
      answered.forEach((verdict, at) => jobs[at] && verdicts.set(jobs[at].event, verdict));
      return events.map((event) => verdicts.get(event) ?? NOT_SENT);
    },
    close: async () => {
      await queues.close();
      await link.close();
    },
  };
}

/** What becomes of an event, or the rule that it breaks. */
function planner(config: SinkConfigOf<'bullmq'>, { name }: SinkContext): (event: Event) => PlannedJob | string {
  const maxBytes = LONGEST_NAME;
  const queueName = compileName(config.queue, {
    where: `sinks.${name}.queue`,
    what: 'name of the queue',
    maxBytes,
    unsafe: UNSAFE,
  });
  const jobName = compileName(config.job, { where: `sinks.${name}.job`, what: 'name of the job', maxBytes });
  const optionsOf = jobOptionsOf(config);
  return (event) => {
    const queue = queueName(event);
    const job = jobName(event);
    const { options, problem } = optionsOf(event);
    const broken = queue.problem ?? job.problem ?? problem;
    if (broken !== undefined) return broken;
    const id = jobIdOf(event.eventId);
    return { event, queue: queue.name, name: job.name, options, id, data: wireBytes(envelopeOf(event)) };
  };
}

function queueOf(name: string, { client }: RedisLink, prefix: string): Queue {
  const queue = new Queue(name, { connection: client, prefix, skipVersionCheck: true, skipMetasUpdate: true });
  queue.on('error', () => undefined);
  return queue;
}

/** For each job null, or why it was not added. Rejects when none was. */
async function addAll(jobs: readonly PlannedJob[], queues: Queues): Promise<(Error | null)[]> {
  const [first] = jobs;
  if (!first) return [];
  const client = await queues.get(first.queue).getBackend().client;
  const transaction = client.multi();
  let queue = queues.get(first.queue);
  let make = envelopeJobs(queue, first.options);
  let before = first;
  for (const job of jobs) {
    if (job.queue !== before.queue || job.options !== before.options) {
      queue = queues.get(job.queue);
      make = envelopeJobs(queue, job.options);
      before = job;
    }
    // Queued at once. The promise only tells what BullMQ would not take, and at the first one nothing has been sent.
    await queue.getBackend().addJobToTransaction(transaction, make(job), job.id);
  }
  const results = (await transaction.exec()) ?? [];
  if (results.length !== jobs.length)
    throw new WalpostError('PROTOCOL', { detail: 'Redis answered a transaction in part.' });
  return results.map(([error]) => error);
}
