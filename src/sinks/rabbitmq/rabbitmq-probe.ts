import type { SinkConfigOf } from '../../config/sinks/sinks.ts';
import { DELIVERED, type Verdict } from '../../pipeline.ts';
import { ConfirmedChannel } from './confirmed-channel.ts';
import { verdictOfAmqpError } from './rabbitmq-verdict.ts';

/** Connects, logs in, opens a channel and closes. */
export async function probeRabbitmq(config: SinkConfigOf<'rabbitmq'>): Promise<Verdict> {
  try {
    await (await ConfirmedChannel.open(config)).close();
    return DELIVERED;
  } catch (error) {
    return verdictOfAmqpError(error);
  }
}
