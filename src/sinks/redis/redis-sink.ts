/**
 * Redis Streams: every event is one entry.
 *
 * A batch is one call of a script. What the script says decides for each event: those that are in their streams are
 * delivered, the first one that is not has the verdict of its error, and those behind it were not sent. In a cluster a
 * call has one key, so each run of events with the same key is a call of its own, one after the other.
 */
import type { SinkConfigOf } from '../../config/sinks/sinks.ts';
import type { Event } from '../../event.ts';
import { DELIVERED, type Sink, type Verdict, type Verdicts } from '../../pipeline.ts';
import type { SinkContext } from '../../sink-context.ts';
import { AnswerText } from '../answer/answer-text.ts';
import { secretsOfUrl } from '../answer/known-secrets.ts';
import { refuseUnsound } from '../refuse-unsound.ts';
import { addEntries, defineAddEntries, type Entry } from './add-entries.ts';
import { compileName } from './filled-name.ts';
import { RedisLink } from './redis-link.ts';
import { needsNewConnection, redisVerdict, verdictOfReply } from './redis-verdict.ts';

/** Keys may be longer; one that is has been filled with something that is no name. */
const LONGEST_KEY = 1024;
const NOT_SENT: Verdict = { kind: 'unavailable', reason: 'not sent: an event before it was not delivered' };

export function createRedisSink(config: SinkConfigOf<'redis'>, context: SinkContext): Sink {
  refuseUnsound(config, context);
  const link = new RedisLink(config);
  defineAddEntries(link.client);
  const answers = new AnswerText(() => secretsOfUrl(new URL(config.url), { path: false }));
  const keyOf = compileName(config.stream, {
    where: `sinks.${context.name}.stream`,
    what: 'key of the stream',
    maxBytes: LONGEST_KEY,
  });

  async function add(entries: readonly Entry[], signal: AbortSignal): Promise<Verdict[]> {
    const events = entries.map(({ event }) => event);
    try {
      const { added, error } = await link.use((client) => addEntries(client, entries, config.max_length), signal);
      const verdicts = events.slice(0, added).map(() => DELIVERED);
      // A script tells in its answer that its server has become a replica.
      if (needsNewConnection(error)) link.drop();
      return error === undefined ? verdicts : [...verdicts, verdictOfReply(error, { events, answers })];
    } catch (error) {
      if (signal.aborted) throw error;
      if (needsNewConnection(error)) link.drop();
      return [redisVerdict(error, { events, answers })];
    }
  }

  return {
    async deliver({ events }, signal): Promise<Verdicts> {
      const verdicts = new Map<Event, Verdict>();
      const entries: Entry[] = [];
      for (const event of events) {
        const { name: key, problem } = keyOf(event);
        if (problem === undefined) entries.push({ event, key });
        else verdicts.set(event, { kind: 'rejected', reason: problem });
      }
      for (const run of link.isCluster ? runsOf(entries) : [entries]) {
        if (run.length === 0) continue;
        const answered = await add(run, signal);
        if (verdicts.size === 0 && answered.length === events.length && answered.at(-1) === DELIVERED) return DELIVERED;
        answered.forEach((verdict, at) => run[at] && verdicts.set(run[at].event, verdict));
        if (answered.at(-1) !== DELIVERED) break;
      }
      return events.map((event) => verdicts.get(event) ?? NOT_SENT);
    },
    close: () => link.close(),
  };
}

/** Neighbours with the same key together. */
function runsOf(entries: readonly Entry[]): Entry[][] {
  const runs: Entry[][] = [];
  for (const entry of entries) {
    const last = runs.at(-1);
    if (last?.[0]?.key === entry.key) last.push(entry);
    else runs.push([entry]);
  }
  return runs;
}
