/**
 * Kafka: every event is one message, with the organization as its key unless told otherwise.
 *
 * A batch, which is of one organization, leaves as one request, and the next one after its answer: so its messages are in
 * order in their partition. Batches of different organizations are in flight together.
 *
 * A producer that failed is given up with all that it has in flight. The client would count its messages from 0 again while
 * some that it numbered before are on their way, and a broker drops a number that it has seen. Also, nothing that it
 * keeps may leave after the attempt has ended.
 */
import type { SinkConfigOf } from '../../config/sinks/sinks.ts';
import { orAborted } from '../../or-aborted.ts';
import { DELIVERED, type Sink, type Verdict } from '../../pipeline.ts';
import type { SinkContext } from '../../sink-context.ts';
import { KeptConnection } from '../broker/kept-connection.ts';
import { refuseUnsound } from '../refuse-unsound.ts';
import { importKafka, type KafkaMessage, type KafkaProducer, makeProducer, refuseOldNode } from './kafka-client.ts';
import { messageMaker } from './kafka-message.ts';
import { sendInRuns } from './kafka-runs.ts';
import { isBeforeSending, verdictOfKafkaError } from './kafka-verdict.ts';

export async function createKafkaSink(
  config: SinkConfigOf<'kafka'>,
  context: SinkContext,
  load = importKafka,
): Promise<Sink> {
  refuseUnsound(config, context);
  refuseOldNode();
  const client = await load();
  const make = messageMaker(config, context);
  const kept = new KeptConnection({
    open: () => Promise.resolve(makeProducer(client, config, context)),
    close: (producer) => producer.close(),
  });

  async function send(messages: readonly KafkaMessage[], signal: AbortSignal): Promise<Verdict> {
    let producer: KafkaProducer | undefined;
    try {
      producer = await kept.get(signal);
      await orAborted(producer.send(messages), signal);
      return DELIVERED;
    } catch (error) {
      if (producer && !isBeforeSending(error)) void kept.lost(producer);
      if (signal.aborted) return { kind: 'unavailable', reason: 'the broker did not answer in time', code: 'TIMEOUT' };
      return verdictOfKafkaError(error);
    }
  }

  return {
    deliver: ({ events }, signal, time) =>
      sendInRuns(events.map(make), {
        most: config.max_message_bytes,
        time,
        send: (messages) => send(messages, signal),
      }),
    close: () => kept.close(),
  };
}
