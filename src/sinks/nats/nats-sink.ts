/**
 * NATS JetStream: every event is one message of a stream, whose id is the event's.
 *
 * Messages of an organization are published one after the other: each waits for the stream's acknowledgement of the one
 * before. Several in flight would change places when one of them is lost and those behind it are stored, as happens while a
 * cluster elects a leader. Batches of different organizations are in flight together. docs/decisions/0036 has the reasons.
 */
import { headers as natsHeaders, type NatsConnection } from '@nats-io/transport-node';
import { jetstream } from '@nats-io/jetstream';
import type { SinkConfigOf } from '../../config/sinks/sinks.ts';
import { envelopeOf } from '../../envelope.ts';
import type { Event } from '../../event.ts';
import { orAborted } from '../../or-aborted.ts';
import { DELIVERED, type Sink, type Verdict } from '../../pipeline.ts';
import type { SinkContext } from '../../sink-context.ts';
import { wireBytes } from '../../wire-text.ts';
import { behindObstacle } from '../broker/behind-an-obstacle.ts';
import { KeptConnection } from '../broker/kept-connection.ts';
import { idText, type MessageHeaders, messageHeaders } from '../broker/message-headers.ts';
import { oneByOne } from '../one-by-one.ts';
import { refuseUnsound } from '../refuse-unsound.ts';
import { openNats } from './nats-connection.ts';
import { compileSubject } from './nats-subject.ts';
import { verdictOfNatsError } from './nats-verdict.ts';

/** Milliseconds for which the client waits for an answer; the guard of the sink gives up long before. */
const ANSWER_TIMEOUT = 600_000;
/** `NATS/1.0`, and the line breaks at its end and at the end of the block. */
const HEADER_FRAME = 12;

export function createNatsSink(config: SinkConfigOf<'nats'>, context: SinkContext): Sink {
  refuseUnsound(config, context);
  const { name } = context;
  const where = `sinks.${name}.subject`;
  const subjectOf = compileSubject({ template: config.subject, where, partitionBy: config.partition_by });
  const kept = new KeptConnection({
    open: async () => {
      const connection = await openNats(config, context);
      void connection.closed().then(() => kept.lost(connection));
      return connection;
    },
    close: (connection) => connection.close(),
  });

  async function send(event: Event, signal: AbortSignal): Promise<Verdict> {
    const made = subjectOf(event);
    if ('problem' in made) return rejected('NATS_SUBJECT', made.problem);
    try {
      const connection = await kept.get(signal);
      return await publish({ connection, subject: made.subject, event, stream: config.stream }, signal);
    } catch (error) {
      if (signal.aborted) return { kind: 'unavailable', reason: 'the server did not answer in time', code: 'TIMEOUT' };
      return verdictOfNatsError(error);
    }
  }

  return {
    deliver: ({ events }, signal, time) =>
      oneByOne(events, { time, send: (event) => send(event, signal), behind: behindObstacle }),
    close: () => kept.close(),
  };
}

interface Publishing {
  readonly connection: NatsConnection;
  readonly subject: string;
  readonly event: Event;
  readonly stream: string | undefined;
}

async function publish({ connection, subject, event, stream }: Publishing, signal: AbortSignal): Promise<Verdict> {
  const bytes = wireBytes(envelopeOf(event));
  const named: MessageHeaders = [
    ['Nats-Msg-Id', idText(event.eventId)],
    ...(stream === undefined ? [] : [['Nats-Expected-Stream', stream] as const]),
    ...messageHeaders(event),
  ];
  const most = connection.info?.max_payload ?? Infinity;
  const size = named.reduce((sum, [key, value]) => sum + key.length + value.length + 4, HEADER_FRAME + bytes.length);
  if (size > most) {
    return rejected(
      'NATS_TOO_LARGE',
      `the message has ${size} bytes with its headers, and the server takes at most ${most} (max_payload)`,
    );
  }
  const headers = natsHeaders();
  for (const [key, value] of named) headers.set(key, value);
  await orAborted(jetstream(connection).publish(subject, bytes, { headers, timeout: ANSWER_TIMEOUT }), signal);
  return DELIVERED;
}

function rejected(code: string, rule: string): Verdict {
  return { kind: 'rejected', reason: `NATS cannot carry it: ${rule}`, code };
}
