import { expect, test } from 'vitest';
import {
  columnMapping,
  EVENT_FIELDS,
  mappedColumns,
  requiredColumns,
} from '../../src/postgres/source/column-mapping.ts';
import { createDecoder } from '../../src/decoder/create-decoder.ts';
import { configSchema } from '../../src/config/schema.ts';
import { beginPlain } from '../support/plain-origin.ts';

test('the preset walpost names each column as the field', () => {
  const mapping = columnMapping({ preset: 'walpost', columns: {} });
  expect(mappedColumns(mapping)).toEqual([...EVENT_FIELDS]);
});

test('a table that was made before expires_at may lack it, unless the configuration names the column', () => {
  const required = (columns: Record<string, string | null>) => requiredColumns({ preset: 'walpost', columns });
  expect(required({})).toEqual(EVENT_FIELDS.filter((field) => field !== 'expires_at'));
  expect(required({ expires_at: null })).not.toContain('expires_at');
  expect(required({ expires_at: 'valid_until' })).toContain('valid_until');
  expect(required({ expires_at: 'expires_at' })).toContain('expires_at');
});

test('the preset debezium takes the aggregate type for entity type and topic', () => {
  const source = { preset: 'debezium', columns: { organization_id: 'tenant' } } as const;
  const mapping = columnMapping(source);
  expect(mapping).toMatchObject({
    event_id: 'id',
    organization_id: 'tenant',
    topic: 'aggregatetype',
    entity_type: 'aggregatetype',
    entity_id: 'aggregateid',
    headers: null,
  });
  expect(requiredColumns(source)).toEqual(['id', 'tenant', 'type', 'aggregatetype', 'aggregateid', 'payload']);
});

test('a column can be renamed and an optional one left out', () => {
  const mapping = columnMapping({ preset: 'walpost', columns: { payload: 'body', target: null } });
  expect(mapping).toMatchObject({ payload: 'body', target: null, topic: 'topic' });
});

test('all problems are told together', () => {
  const columns = { payload: null, constructor: 'x', organisation: 'y' };
  const mapping = () => columnMapping({ preset: 'debezium', columns });
  expect(mapping).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }));
  expect(mapping).toThrow(
    /source\.columns\.constructor is no field.*columns\.organisation.*columns\.organization_id is missing.*columns\.payload is missing/,
  );
});

test('a decoder is made of the configuration, which must name a table with its schema', () => {
  const configured = (source: object) =>
    configSchema.parse({
      database: { url: 'postgres://x' },
      source,
      sinks: { log: { type: 'stdout' } },
      routes: [{ to: ['log'] }],
    }).source;
  const hooks = { beginTransaction: beginPlain };
  expect(createDecoder(configured({}), hooks).decode).toBeTypeOf('function');
  expect(createDecoder(configured({ plugin: 'wal2json' }), hooks).decode).toBeTypeOf('function');
  for (const table of ['outbox', 'a.b.c', '"x', 'a.']) {
    expect(() => createDecoder(configured({ table }), hooks)).toThrow(/source\.table must be schema\.table/);
  }
});
