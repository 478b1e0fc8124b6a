/** From an event to the message, or to the rule that it breaks. */
import type { SinkConfigOf } from '../../config/sinks/sinks.ts';
import { envelopeOf } from '../../envelope.ts';
import type { Event } from '../../event.ts';
import type { Verdict } from '../../pipeline.ts';
import type { SinkContext } from '../../sink-context.ts';
import { wireBytes } from '../../wire-text.ts';
import { messageHeaders } from '../broker/message-headers.ts';
import { compileTenantName } from '../broker/tenant-names.ts';
import { compileTemplate, TEMPLATE_FIELDS } from '../event-template.ts';
import type { KafkaMessage } from './kafka-client.ts';

const LONGEST_TOPIC = 249;
/** Bytes of a record beside key, value and headers: at most this, with the share of its batch. */
const RECORD_FRAME = 128;
const HEADER_FRAME = 4;

/** A message with its size in bytes before compression, or the verdict for an event that Kafka cannot carry. */
export type MadeMessage =
  | { readonly message: KafkaMessage; readonly bytes: number }
  | { readonly refused: Extract<Verdict, { kind: 'rejected' }> };

export function messageMaker(config: SinkConfigOf<'kafka'>, { name }: SinkContext): (event: Event) => MadeMessage {
  const topicOf = compileTemplate(config.topic, `sinks.${name}.topic`, TEMPLATE_FIELDS);
  const distinctTopicOf = compileTenantName(config.topic, `sinks.${name}.topic`);
  const keyOf = compileTenantName(config.key, `sinks.${name}.key`);
  return (event) => {
    const topic = topicOf(event);
    const problem =
      topic === distinctTopicOf(event) ? topicProblem(topic) : 'its topic could be one of another organization';
    if (problem !== undefined) return refused('KAFKA_TOPIC', problem);
    const key = Buffer.from(keyOf(event));
    if (key.length === 0) return refused('KAFKA_KEY', 'its key would be empty');
    const headers = new Map([...messageHeaders(event)].map(([name, value]) => [Buffer.from(name), Buffer.from(value)]));
    const value = wireBytes(envelopeOf(event));
    let bytes = RECORD_FRAME + key.length + value.length;
    for (const [name, text] of headers) bytes += name.length + text.length + HEADER_FRAME;
    const most = config.max_message_bytes;
    if (bytes > most) {
      return refused('KAFKA_TOO_LARGE', `the message has ${bytes} bytes, and max_message_bytes is ${most}`);
    }
    return { message: { topic, key, value, headers }, bytes };
  };
}

function topicProblem(topic: string): string | undefined {
  if (topic === '') return 'its topic would be empty';
  if (topic.length > LONGEST_TOPIC) return `its topic would be longer than ${LONGEST_TOPIC} characters`;
  if (!/^[\w.-]+$/.test(topic)) return 'its topic would have a character other than letters, digits, ., _ and -';
  if (topic === '.' || topic === '..') return 'its topic would be . or ..';
  return topic.startsWith('__') ? "its topic would begin with __, as the broker's own do" : undefined;
}

function refused(code: string, rule: string): MadeMessage {
  return { refused: { kind: 'rejected', reason: `Kafka cannot carry it: ${rule}`, code } };
}
