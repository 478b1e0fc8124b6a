import { describe, expect, test } from 'vitest';
import { sinkSchema } from '../../src/config/sinks/sinks.ts';
import { compileSubject, LONGEST_SUBJECT, partitionOf } from '../../src/sinks/nats/nats-subject.ts';
import { type SampleFields, sampleEvent } from '../support/sample-event.ts';

const ORGANIZATION = '6f1c2a52-0000-4000-8000-000000000001';

function subject(template: string, fields: SampleFields = {}, partitionBy: 'organization' | 'entity' = 'organization') {
  const made = compileSubject({ template, where: 'sinks.x.subject', partitionBy });
  return made(sampleEvent({ organizationId: ORGANIZATION, ...fields }));
}

describe('a subject', () => {
  test('is its template, and only the last token may become several', () => {
    const template = 'walpost.{organization_id}.{topic}.{event_type}';
    expect(subject(template, { topic: 'a.b', eventType: 'job.completed' })).toEqual({
      subject: `walpost.${ORGANIZATION}.a_b.job.completed`,
    });
  });

  test.each([
    ['a blank', 'a b', 'a_b'],
    ['a star', '*', '_'],
    ['a greater-than', '>', '_'],
    ['a tab and a NUL', 'a\t\0b', 'a__b'],
    ['a no-break space', 'a\u00a0b', 'a_b'],
    ['letters of other alphabets', 'länge', 'länge'],
  ])('has %s made safe', (_name, topic, token) => {
    expect(subject('x.{topic}', { topic })).toEqual({ subject: `x.${token}` });
  });

  test.each([
    ['an empty field', 'x.{entity_id}.y', {}, 'its subject would have an empty token'],
    [
      'an empty token in the last field',
      'x.{event_type}',
      { eventType: 'a..b' },
      'its subject would have an empty token',
    ],
    ['a dot at the end', 'x.{event_type}', { eventType: 'a.' }, 'its subject would have an empty token'],
    [
      'a long value',
      'x.{topic}',
      { topic: 'é'.repeat(600) },
      `its subject would be longer than ${LONGEST_SUBJECT} bytes`,
    ],
    [
      'the API of the server',
      '{event_type}',
      { eventType: '$JS.API.STREAM.PURGE.EVENTS' },
      "its subject would begin with $ or _INBOX, which are the server's",
    ],
    [
      'an inbox',
      '{event_type}',
      { eventType: '_INBOX.x' },
      "its subject would begin with $ or _INBOX, which are the server's",
    ],
  ])('refuses %s, with the rule', (_name, template, fields, problem) => {
    expect(subject(template, fields)).toEqual({ problem });
  });

  test.each(['a..b', '.a', 'a.', 'a b', 'a.*', 'a.>', '{nothing}', '{partition:0}', '{partition}', ''])(
    'cannot be %j in the configuration',
    (template) => {
      const config = { type: 'nats', servers: ['nats://127.0.0.1:4222'], subject: template };
      expect(sinkSchema.safeParse(config).success).toBe(false);
    },
  );
});

describe('a partition', () => {
  test('stays the same for an organization, and spreads organizations', () => {
    const template = 'x.{partition:8}.{topic}';
    expect(subject(template, { entityId: '1' })).toEqual(subject(template, { entityId: '2' }));
    const seen = new Set(Array.from({ length: 100 }, (_, n) => partitionOf(`organization ${n}`, 8)));
    expect(seen.size).toBe(8);
  });

  test('of an entity follows the entity', () => {
    const of = (entityId: string) => subject('x.{partition:1000}', { entityType: 'job', entityId }, 'entity');
    expect(of('1')).toEqual(of('1'));
    expect(of('1')).not.toEqual(of('2'));
  });
});
