/** From an event to the message, or to the rule that it breaks. */
import type { SinkConfigOf } from '../../config/sinks/sinks.ts';
import { envelopeOf } from '../../envelope.ts';
import type { Event } from '../../event.ts';
import type { Verdict } from '../../pipeline.ts';
import type { SinkContext } from '../../sink-context.ts';
import { wireBytes } from '../../wire-text.ts';
import { EVENT_ID, messageHeaders } from '../broker/message-headers.ts';
import { compileTenantName } from '../broker/tenant-names.ts';
import { compileTemplate, TEMPLATE_FIELDS } from '../event-template.ts';
import type { KafkaMessage } from './kafka-client.ts';

const LONGEST_TOPIC = 249;
/** Bytes of a record beside key, value and headers: at most this, with the share of its batch. */
const RECORD_FRAME = 128;
const HEADER_FRAME = 4;
/** Texts whose bytes are kept, and the length of the longest of them. */
const MOST_KNOWN = 1000;
const LONGEST_KNOWN = 256;

/** A message with its size in bytes before compression, or the verdict for an event that Kafka cannot carry. */
export type MadeMessage =
  | { readonly message: KafkaMessage; readonly bytes: number }
  | { readonly refused: Extract<Verdict, { kind: 'rejected' }> };

export function messageMaker(config: SinkConfigOf<'kafka'>, { name }: SinkContext): (event: Event) => MadeMessage {
  const topicOf = compileTemplate(config.topic, `sinks.${name}.topic`, TEMPLATE_FIELDS);
  const distinctTopicOf = compileTenantName(config.topic, `sinks.${name}.topic`);
  const keyOf = compileTenantName(config.key, `sinks.${name}.key`);
  const bytesOf = rememberBytes();
  return (event) => {
    const topic = topicOf(event);
    const problem =
      topic === distinctTopicOf(event) ? topicProblem(topic) : 'its topic could be one of another organization';
    if (problem !== undefined) return refused('KAFKA_TOPIC', problem);
    const key = bytesOf(keyOf(event));
    if (key.length === 0) return refused('KAFKA_KEY', 'its key would be empty');
    const value = wireBytes(envelopeOf(event));
    const headers = new Map<Buffer, Buffer>();
    let bytes = RECORD_FRAME + key.length + value.length;
    for (const [name, text] of messageHeaders(event)) {
      const content = name === EVENT_ID ? Buffer.from(text) : bytesOf(text);
      headers.set(bytesOf(name), content);
      bytes += name.length + content.length + HEADER_FRAME;
    }
    const most = config.max_message_bytes;
    if (bytes > most) {
      return refused('KAFKA_TOO_LARGE', `the message has ${bytes} bytes, and max_message_bytes is ${most}`);
    }
    return { message: { topic, key, value, headers }, bytes };
  };
}

/** The bytes of texts that come again and again: names of headers, types of events, organizations. The client changes none. */
function rememberBytes(): (text: string) => Buffer {
  const known = new Map<string, Buffer>();
  return (text) => {
    const found = known.get(text);
    if (found) return found;
    if (text.length > LONGEST_KNOWN) return Buffer.from(text);
    if (known.size >= MOST_KNOWN) known.clear();
    // One of the pool would keep its neighbours alive.
    const bytes = Buffer.allocUnsafeSlow(Buffer.byteLength(text));
    bytes.write(text);
    known.set(text, bytes);
    return bytes;
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
