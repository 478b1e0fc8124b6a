import type { SinkConfigOf } from '../../config/sinks/sinks.ts';
import { DELIVERED, type Verdict } from '../../pipeline.ts';
import { AnswerText } from '../answer/answer-text.ts';
import type { ProbeContext } from '../probe-context.ts';
import { RedisLink } from './redis-link.ts';
import { redisVerdict } from './redis-verdict.ts';

/** Connects, logs in and says PING. */
export async function probeRedis(
  config: SinkConfigOf<'redis'> | SinkConfigOf<'bullmq'>,
  { signal }: Pick<ProbeContext, 'signal'>,
): Promise<Verdict> {
  const link = new RedisLink(config);
  try {
    await link.use((client) => client.ping(), signal);
    return DELIVERED;
  } catch (error) {
    return redisVerdict(error, { events: [], answers: new AnswerText(() => []) });
  } finally {
    await link.close();
  }
}
