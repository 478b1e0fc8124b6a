/**
 * RabbitMQ: every event is one persistent message to an exchange, with the id of the event.
 *
 * The messages of an organization are published one after the other, each after the confirmation of the one before; decision
 * 36 has the reasons. `mandatory` makes the server say when no queue took a message, which it confirms all the same.
 */
import { hash } from 'node:crypto';
import type { SinkConfigOf } from '../../config/sinks/sinks.ts';
import { envelopeOf } from '../../envelope.ts';
import type { Event } from '../../event.ts';
import { orAborted } from '../../or-aborted.ts';
import type { Sink, Verdict } from '../../pipeline.ts';
import type { SinkContext } from '../../sink-context.ts';
import { wireBytes } from '../../wire-text.ts';
import { behindObstacle } from '../broker/behind-an-obstacle.ts';
import { KeptConnection } from '../broker/kept-connection.ts';
import { idText, messageHeaders } from '../broker/message-headers.ts';
import { compileTenantName } from '../broker/tenant-names.ts';
import { oneByOne } from '../one-by-one.ts';
import { refuseUnsound } from '../refuse-unsound.ts';
import { ConfirmedChannel, type OutgoingMessage } from './confirmed-channel.ts';
import { verdictOfAmqpError, verdictOfConfirmation } from './rabbitmq-verdict.ts';

/** Bytes of a short string of AMQP. */
const LONGEST_KEY = 255;

export function createRabbitmqSink(config: SinkConfigOf<'rabbitmq'>, context: SinkContext): Sink {
  refuseUnsound(config, context);
  const keyOf = compileTenantName(config.routing_key, `sinks.${context.name}.routing_key`);
  const kept = new KeptConnection({
    open: async () => {
      const channel = await ConfirmedChannel.open(config);
      void channel.ended.then(() => kept.lost(channel));
      return channel;
    },
    close: (channel) => channel.close(),
  });

  async function send(event: Event, signal: AbortSignal): Promise<Verdict> {
    const routingKey = keyOf(event);
    const problem = keyProblem(routingKey);
    if (problem !== undefined) {
      return { kind: 'rejected', reason: `RabbitMQ cannot carry it: ${problem}`, code: 'RABBITMQ_ROUTING_KEY' };
    }
    try {
      const channel = await kept.get(signal);
      const message = messageOf(event, config.exchange, routingKey);
      return verdictOfConfirmation(await orAborted(channel.publish(message), signal));
    } catch (error) {
      if (signal.aborted) return { kind: 'unavailable', reason: 'the server did not answer in time', code: 'TIMEOUT' };
      return verdictOfAmqpError(error);
    }
  }

  return {
    deliver: ({ events }, signal, time) =>
      oneByOne(events, { time, send: (event) => send(event, signal), behind: behindObstacle }),
    close: () => kept.close(),
  };
}

function keyProblem(key: string): string | undefined {
  if (key === '') return 'its routing key would be empty';
  return Buffer.byteLength(key) > LONGEST_KEY ? `its routing key would be longer than ${LONGEST_KEY} bytes` : undefined;
}

/** The event's id, or the hash of one that is too long; the headers have it whole. */
function messageIdOf({ eventId }: Event): string {
  const id = idText(eventId);
  return id.length <= LONGEST_KEY ? id : hash('sha256', id);
}

function messageOf(event: Event, exchange: string, routingKey: string): OutgoingMessage {
  return {
    exchange,
    routingKey,
    content: wireBytes(envelopeOf(event)),
    properties: {
      messageId: messageIdOf(event),
      ...(Buffer.byteLength(event.eventType) <= LONGEST_KEY && { type: event.eventType }),
      contentType: 'application/json',
      persistent: true,
      mandatory: true,
      headers: Object.fromEntries(messageHeaders(event)),
    },
  };
}
