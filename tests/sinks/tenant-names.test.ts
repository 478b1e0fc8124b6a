/** Names of two organizations are never the same, whatever the values of an event hold. */
import { describe, expect, test } from 'vitest';
import { sinkSchema, type SinkConfigOf } from '../../src/config/sinks/sinks.ts';
import type { Event } from '../../src/event.ts';
import { compileTenantName } from '../../src/sinks/broker/tenant-names.ts';
import { messageMaker } from '../../src/sinks/kafka/kafka-message.ts';
import { compileSubject } from '../../src/sinks/nats/nats-subject.ts';
import { compileName } from '../../src/sinks/redis/filled-name.ts';
import { contractContext } from '../contract/sink-contract.ts';
import { sampleEvent } from '../support/sample-event.ts';

type Namer = (event: Event) => string | undefined;

const where = 'sinks.x.name';
const ONE = '0193f0c4-0000-7000-8000-00000000000a';
const sample = sampleEvent();
const OTHER = '0193f0c4-0000-7000-8000-00000000000b';

const redis = (template: string): Namer => {
  const name = compileName(template, { where, what: 'key', maxBytes: 1024 });
  return (event) => name(event).name || undefined;
};
const bullmq = (template: string): Namer => {
  const name = compileName(template, { where, what: 'queue', maxBytes: 256, unsafe: ':{}\\s\\p{Cc}' });
  return (event) => name(event).name || undefined;
};
const nats = (template: string): Namer => {
  const name = compileSubject({ template, where, partitionBy: 'organization' });
  return (event) => {
    const made = name(event);
    return 'subject' in made ? made.subject : undefined;
  };
};
const rabbitmq = (template: string): Namer => compileTenantName(template, where);
function kafka(option: 'topic' | 'key', template: string): Namer {
  const config = sinkSchema.parse({ type: 'kafka', brokers: ['localhost:9092'], [option]: template });
  const make = messageMaker(config as SinkConfigOf<'kafka'>, contractContext);
  return (event) => {
    const made = make(event);
    return 'message' in made ? String(made.message[option]) : undefined;
  };
}

const SINKS: Readonly<Record<string, (template: string) => Namer>> = {
  redis,
  bullmq,
  nats,
  rabbitmq,
  'the topic of kafka': (template) => kafka('topic', template),
  'the key of kafka': (template) => kafka('key', template),
};
const TEMPLATES = [
  '{organization_id}S{topic}',
  '{topic}S{organization_id}',
  'xS{topic}S{organization_id}S{event_type}',
];

/** All texts of one to three characters (two, where they fill three fields), and UUIDs with parts of a name around them. */
function hostile(separator: string, most: number): string[] {
  const alphabet = ['a', separator, '%'];
  const texts: string[] = [];
  let longest = [''];
  for (let length = 1; length <= most; length++) {
    longest = longest.flatMap((text) => alphabet.map((letter) => text + letter));
    texts.push(...longest);
  }
  const around = [ONE, OTHER].flatMap((id) => [id, `a${separator}${id}`, `${id}${separator}a`]);
  return [...texts, ...around, '0193f0c4', ONE.slice(9), `${ONE.slice(9)}${separator}a`, 'a_a', 'a a'];
}

describe.for(Object.keys(SINKS))('%s', (sink) => {
  const separators =
    sink === 'bullmq' ? ['.', '-'] : sink === 'nats' || sink.startsWith('the topic') ? ['.', '-'] : [':', '.', '-'];

  test.for(separators.flatMap((separator) => TEMPLATES.map((template) => template.replaceAll('S', separator))))(
    'with %s',
    (template) => {
      const name = (SINKS[sink] ?? redis)(template);
      const hasTypes = template.includes('event_type');
      const separator = template.includes(':') ? ':' : template.includes('.') ? '.' : '-';
      const values = hostile(separator, hasTypes ? 2 : 3);
      const types = hasTypes ? values : ['t'];
      const owners = new Map<string, string>();
      const shared: string[] = [];
      for (const organizationId of values) {
        for (const topic of values) {
          for (const eventType of types) {
            const made = name({ ...sample, organizationId, topic, eventType });
            if (made === undefined) continue;
            const owner = owners.get(made) ?? organizationId;
            owners.set(made, owner);
            if (owner !== organizationId) shared.push(`${made}: ${owner} and ${organizationId}`);
          }
        }
      }
      expect(owners.size).toBeGreaterThan(values.length);
      expect(shared).toEqual([]);
    },
  );
});

test('values without the text between the fields stay as they are, and the last value always does', () => {
  const event = sampleEvent({ organizationId: ONE, topic: 'order-placed', eventType: 'job.completed:now' });
  expect(redis('events:{organization_id}:{event_type}')(event)).toBe(`events:${ONE}:job.completed:now`);
  expect(bullmq('{organization_id}-{topic}')(event)).toBe(`${ONE}-order-placed`);
  expect(redis('walpost:{topic}')(sampleEvent({ topic: 'a:b%' }))).toBe('walpost:a:b%');
  expect(rabbitmq('{topic}.{event_type}')(sampleEvent({ topic: 'a.b' }))).toBe('a.b.job.completed');
});

test('the organization can be read from the name again', () => {
  const event = sampleEvent({ organizationId: 'acme:eu%1', topic: 'x' });
  expect(redis('events:{organization_id}:{topic}')(event)).toBe('events:acme%3Aeu%251:x');
  expect(nats('a.{organization_id}.{topic}')(sampleEvent({ organizationId: 'acme.eu 1', topic: 'x y' }))).toBe(
    'a.acme%2Eeu%201.x_y',
  );
});

test.for([
  '{organization_id}{topic}',
  '{topic}x{organization_id}',
  '{organization_id}%{topic}',
  '{topic}1{organization_id}',
])('nothing keeps the fields of %s apart', (template) => {
  expect(() => redis(template)).toThrow(/sinks\.x\.name names the organization and other fields/);
});
