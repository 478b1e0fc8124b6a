/**
 * An inbox table in another database. The key of the table is the event's id, so an event that is sent again changes
 * nothing there: each is in the inbox exactly once.
 *
 * A batch is one statement. When the database refuses it for what one of its events says, halves of it are written until
 * that event stands alone; those before it are delivered, and those behind it wait, so that none overtakes.
 */
import type { SinkConfigOf } from '../../config/sinks/sinks.ts';
import { connectionParts } from '../../connection-string.ts';
import type { Event } from '../../event.ts';
import { DELIVERED, type Sink, type Verdict, type Verdicts } from '../../pipeline.ts';
import { createPool, cutPool } from '../../postgres/pool.ts';
import type { SinkContext } from '../../sink-context.ts';
import { AnswerText } from '../answer/answer-text.ts';
import { refuseUnsound } from '../refuse-unsound.ts';
import { InboxTable } from './inbox-table.ts';
import { inboxVerdict, isAboutEvent } from './inbox-verdict.ts';

const NOT_SENT: Verdict = { kind: 'unavailable', reason: 'not sent: an event before it was not delivered' };

export function createPostgresSink(config: SinkConfigOf<'postgres'>, context: SinkContext): Sink {
  refuseUnsound(config, context);
  const pool = createPool(config.url, { applicationName: `walpost sink ${context.name}`, max: config.concurrency });
  const inbox = new InboxTable(pool, config.table);
  const answers = new AnswerText(() => {
    const { password, parameters } = connectionParts(config.url);
    return [password ?? '', parameters.get('sslpassword') ?? ''];
  });

  /** The verdicts of the events up to the first that was not delivered. */
  async function write(organizationId: string, events: readonly Event[], signal: AbortSignal): Promise<Verdict[]> {
    try {
      await inbox.insert(organizationId, events, signal);
      return events.map(() => DELIVERED);
    } catch (error) {
      if (signal.aborted) throw error;
      if (events.length === 1 || !isAboutEvent(error)) return [inboxVerdict(error, { events, answers })];
    }
    const middle = Math.ceil(events.length / 2);
    const front = await write(organizationId, events.slice(0, middle), signal);
    if (front.at(-1) !== DELIVERED) return front;
    return [...front, ...(await write(organizationId, events.slice(middle), signal))];
  }

  return {
    async deliver({ organizationId, events }, signal): Promise<Verdicts> {
      signal.throwIfAborted();
      const verdicts = await write(organizationId, events, signal);
      if (verdicts.length === events.length && verdicts.at(-1) === DELIVERED) return DELIVERED;
      return events.map((_, at) => verdicts[at] ?? NOT_SENT);
    },
    async close() {
      cutPool(pool);
      await pool.end();
    },
  };
}
