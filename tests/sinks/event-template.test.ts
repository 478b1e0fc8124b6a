import { expect, test } from 'vitest';
import { sinkSchema } from '../../src/config/sinks/sinks.ts';
import { compileTemplate } from '../../src/sinks/event-template.ts';
import { sampleEvent } from '../support/sample-event.ts';

test('fields of the event fill the braces, everything else stays', () => {
  const fill = compileTemplate('a{topic}:{organization_id}{topic}}', 'sinks.x.channel', ['organization_id', 'topic']);
  expect(fill(sampleEvent({ organizationId: 'o-1', topic: '{event_type}$&' }))).toBe(
    'a{event_type}$&:o-1{event_type}$&}',
  );
});

test('an absent field is empty', () => {
  expect(compileTemplate('{target}|{entity_id}', 'x', ['target', 'entity_id'])(sampleEvent({}))).toBe('|');
});

test.each(['{nope}', '{}', 'x{event_type}'])('%s is refused with what is allowed', (text) => {
  expect(() => compileTemplate(text, 'sinks.live.channel', ['organization_id', 'topic'])).toThrow(
    /sinks\.live\.channel names \{\w*\}; it may name \{organization_id\}, \{topic\}\./,
  );
});

test('the configuration refuses what the sink would refuse', () => {
  const problems = (channel: string): string[] | undefined =>
    sinkSchema
      .safeParse({ type: 'realtime', url: 'https://abc.supabase.co', key: 'k', channel })
      .error?.issues.map(({ path, message }) => `${path.join('.')} ${message}`);
  expect(problems('{organization_id}:{topic}')).toBeUndefined();
  for (const channel of ['x{event_type}', 'x{', '}']) {
    expect(problems(channel)).toEqual(['channel may name {organization_id} and {topic} in braces, nothing else']);
  }
  expect(problems('')).toHaveLength(1);
});
