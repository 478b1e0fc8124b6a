import type { SinkConfigOf } from '../../config/sinks/sinks.ts';
import { DELIVERED, type Verdict } from '../../pipeline.ts';
import { createPool, cutPool } from '../../postgres/pool.ts';
import { AnswerText } from '../answer/answer-text.ts';
import type { ProbeContext } from '../probe-context.ts';
import { inboxVerdict } from './inbox-verdict.ts';

/** Connects, logs in and asks for nothing. */
export async function probePostgres(
  config: SinkConfigOf<'postgres'>,
  { name }: Pick<ProbeContext, 'name'>,
): Promise<Verdict> {
  const pool = createPool(config.url, { applicationName: `walpost sink ${name}`, max: 1 });
  try {
    await pool.query('SELECT');
    return DELIVERED;
  } catch (error) {
    return inboxVerdict(error, { events: [], answers: new AnswerText(() => []) });
  } finally {
    cutPool(pool);
    await pool.end();
  }
}
