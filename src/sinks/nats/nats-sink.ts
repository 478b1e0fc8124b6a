/**
 * NATS JetStream: every event is one message of a stream, whose id is the event's.
 *
 * Messages of an organization are published one after the other: each waits for the stream's acknowledgement of the one
 * before. Several in flight would change places when one of them is lost and those behind it are stored, as happens while a
 * cluster elects a leader. Batches of different organizations are in flight together. docs/decisions/0036 has the reasons.
 */
import { jetstream, type JetStreamClient } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import type { SinkConfigOf } from '../../config/sinks/sinks.ts';
import { envelopeOf } from '../../envelope.ts';
import type { Event } from '../../event.ts';
import { AbortRace } from '../../or-aborted.ts';
import { DELIVERED, type Sink, type Verdict } from '../../pipeline.ts';
import type { SinkContext } from '../../sink-context.ts';
import { wireBytes } from '../../wire-text.ts';
import { behindObstacle } from '../broker/behind-an-obstacle.ts';
import { KeptConnection } from '../broker/kept-connection.ts';
import { idText, messageHeaders } from '../broker/message-headers.ts';
import { oneByOne } from '../one-by-one.ts';
import { refuseUnsound } from '../refuse-unsound.ts';
import { HeaderBlock } from './header-block.ts';
import { openNats } from './nats-connection.ts';
import { compileSubject } from './nats-subject.ts';
import { verdictOfNatsError } from './nats-verdict.ts';

/** Milliseconds for which the client waits for an answer; the guard of the sink gives up long before. */
const ANSWER_TIMEOUT = 600_000;

export function createNatsSink(config: SinkConfigOf<'nats'>, context: SinkContext): Sink {
  refuseUnsound(config, context);
  const { name } = context;
  const where = `sinks.${name}.subject`;
  const subjectOf = compileSubject({ template: config.subject, where, partitionBy: config.partition_by });
  const kept = new KeptConnection<Opened>({
    open: async () => {
      const connection = await openNats(config, context);
      const opened = { connection, client: jetstream(connection) };
      void connection.closed().then(() => kept.lost(opened));
      return opened;
    },
    close: ({ connection }) => connection.close(),
  });

  async function send(event: Event, signal: AbortSignal, race: AbortRace): Promise<Verdict> {
    const made = subjectOf(event);
    if ('problem' in made) return rejected('NATS_SUBJECT', made.problem);
    try {
      const opened = kept.openNow ?? (await kept.get(signal));
      signal.throwIfAborted();
      return await publish({ opened, subject: made.subject, event, stream: config.stream, race });
    } catch (error) {
      if (signal.aborted) return { kind: 'unavailable', reason: 'the server did not answer in time', code: 'TIMEOUT' };
      return verdictOfNatsError(error);
    }
  }

  return {
    async deliver({ events }, signal, time) {
      const race = new AbortRace(signal);
      try {
        return await oneByOne(events, { time, send: (event) => send(event, signal, race), behind: behindObstacle });
      } finally {
        race.end();
      }
    },
    close: () => kept.close(),
  };
}

interface Opened {
  readonly connection: NatsConnection;
  readonly client: JetStreamClient;
}

interface Publishing {
  readonly opened: Opened;
  readonly subject: string;
  readonly event: Event;
  readonly stream: string | undefined;
  readonly race: AbortRace;
}

async function publish({ opened, subject, event, stream, race }: Publishing): Promise<Verdict> {
  const { connection, client } = opened;
  const bytes = wireBytes(envelopeOf(event));
  const headers = new HeaderBlock([
    ['Nats-Msg-Id', idText(event.eventId)],
    ...(stream === undefined ? [] : [['Nats-Expected-Stream', stream] as const]),
    ...messageHeaders(event),
  ]);
  const most = connection.info?.max_payload ?? Infinity;
  const size = headers.bytes.length + bytes.length;
  if (size > most) {
    return rejected(
      'NATS_TOO_LARGE',
      `the message has ${size} bytes with its headers, and the server takes at most ${most} (max_payload)`,
    );
  }
  await race.or(client.publish(subject, bytes, { headers, timeout: ANSWER_TIMEOUT }));
  return DELIVERED;
}

function rejected(code: string, rule: string): Verdict {
  return { kind: 'rejected', reason: `NATS cannot carry it: ${rule}`, code };
}
