import type { SinkConfigOf } from '../../config/sinks/sinks.ts';
import { orAborted } from '../../or-aborted.ts';
import { DELIVERED, type Verdict } from '../../pipeline.ts';
import type { ProbeContext } from '../probe-context.ts';
import { importKafka, makeProducer } from './kafka-client.ts';
import { verdictOfKafkaError } from './kafka-verdict.ts';

/** Connects, logs in, and asks for the cluster; also for the topic, where its name has no field of an event. */
export async function probeKafka(
  config: SinkConfigOf<'kafka'>,
  { name, signal }: Pick<ProbeContext, 'name' | 'signal'>,
  load = importKafka,
): Promise<Verdict> {
  const producer = makeProducer(await load(), config, { name });
  try {
    await orAborted(producer.ask(config.topic.includes('{') ? [] : [config.topic]), signal);
    return DELIVERED;
  } catch (error) {
    if (signal.aborted) return { kind: 'unavailable', reason: 'the broker did not answer in time', code: 'TIMEOUT' };
    return verdictOfKafkaError(error);
  } finally {
    await producer.close();
  }
}
