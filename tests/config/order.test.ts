import { expect, test } from 'vitest';
import { configOf, problemsOf } from '../support/config-file.ts';

const text = (sink: string, more = ''): string => `database: { url: postgres://localhost/app }
live: { secret: a-secret-of-thirty-two-characters }
sinks: { out: ${sink} }
routes: [{ to: [out] }]
${more}`;

test('mails and messages have no order, unless they are told to', () => {
  const slack = "type: slack, url: 'https://hooks.slack.com/services/a'";
  expect(configOf(text(`{ ${slack} }`)).sinks['out']?.order).toBe('none');
  expect(configOf(text(`{ ${slack}, order: organization }`)).sinks['out']?.order).toBe('organization');
  expect(configOf(text('{ type: discard }')).sinks['out']?.order).toBeUndefined();
});

test.each([
  ['another word', text('{ type: discard, order: tenant }'), 'must be one of organization, entity, none'],
  ['the live channel', text('{ type: live, order: none }'), 'must be organization: a channel is read in that order'],
  [
    'entities of a table without them',
    text('{ type: discard, order: entity }', 'source: { columns: { entity_id: null } }\n'),
    'needs a column for entity_id, and source.columns has none',
  ],
])('%s is refused', (_, yaml, message) => {
  expect(problemsOf(yaml)).toEqual([expect.stringMatching(/^walpost\.yaml:3:\d+ sinks\.out\.order: /)]);
  expect(problemsOf(yaml)[0]).toContain(message);
});

test('each order is taken where it makes sense', () => {
  for (const order of ['organization', 'entity', 'none'])
    expect(problemsOf(text(`{ type: discard, order: ${order} }`))).toEqual([]);
  expect(problemsOf(text('{ type: live, order: organization }'))).toEqual([]);
});
