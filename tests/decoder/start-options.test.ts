import { expect, test } from 'vitest';
import { pgoutputOptions, wal2jsonOptions } from '../../src/decoder/start-options.ts';

test('a publication is quoted as an identifier', () => {
  expect(pgoutputOptions({ publication: 'my "pub", too' })).toEqual({
    proto_version: '1',
    publication_names: '"my ""pub"", too"',
    messages: 'false',
  });
});

test('logical messages are asked for when they are wanted', () => {
  expect(pgoutputOptions({ publication: 'p', messages: true })).toMatchObject({ messages: 'true' });
  expect(pgoutputOptions({ publication: 'p', messages: false })).toMatchObject({ messages: 'false' });
});

test('the list of wal2json holds the table, escaped, and the changes of endpoints', () => {
  expect(wal2jsonOptions({ table: 'walpost.outbox' })['add-tables']).toBe('walpost.outbox,walpost.endpoint_changes');
  expect(wal2jsonOptions({ table: String.raw`"my.schema"."a, 'b'\c*"` })['add-tables']).toBe(
    String.raw`my\.schema.a\,\ \'b\'\\c\*,walpost.endpoint_changes`,
  );
});
