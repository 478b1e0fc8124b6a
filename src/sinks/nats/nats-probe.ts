import type { SinkConfigOf } from '../../config/sinks/sinks.ts';
import { DELIVERED, type Verdict } from '../../pipeline.ts';
import type { ProbeContext } from '../probe-context.ts';
import { openNats } from './nats-connection.ts';
import { verdictOfNatsError } from './nats-verdict.ts';

/** Connects, logs in and closes. */
export async function probeNats(config: SinkConfigOf<'nats'>, { name }: Pick<ProbeContext, 'name'>): Promise<Verdict> {
  try {
    await (await openNats(config, { name })).close();
    return DELIVERED;
  } catch (error) {
    return verdictOfNatsError(error);
  }
}
