import { describe, expect, test } from 'vitest';
import { createWal2jsonDecoder } from '../../src/decoder/wal2json.ts';
import type { EndpointChange } from '../../src/endpoint.ts';
import { columnMapping } from '../../src/postgres/source/column-mapping.ts';
import type { Decoder, Step } from '../../src/pipeline.ts';
import { OUTBOX_COLUMNS, outboxCells, outboxDecoder } from '../support/outbox-stream.ts';
import { beginBytes, deleteBytes, insertBytes, OID, relationBytes } from '../support/pgoutput-bytes.ts';
import { beginPlain } from '../support/plain-origin.ts';

const TEXT_ARRAY = 1009;
const NUMERIC = 1700;
const CHANGES = 555;

const COLUMNS = [
  ['change_id', OID.int8],
  ['endpoint_id', OID.uuid],
  ['sink', OID.text],
  ['organization_id', OID.uuid],
  ['change', OID.text],
  ['url', OID.text],
  ['event_types', TEXT_ARRAY],
  ['headers', OID.jsonb],
  ['max_per_second', NUMERIC],
  ['state', OID.text],
  ['a_column_of_a_later_release', OID.text],
] as const;

type Column = (typeof COLUMNS)[number][0];
type Values = Partial<Record<Column, string | null>>;

const ROW: Readonly<Record<Column, string | null>> = {
  change_id: '9223372036854775807',
  endpoint_id: '0193f0c4-0000-7000-8000-00000000000e',
  sink: 'customers',
  organization_id: '3f1c7c9e-8a44-4f0e-9d4b-0a6f3f9f0001',
  change: 'updated',
  url: 'https://größe.example/hook?a="b"',
  event_types: '{job.*,"a \\"quoted\\", one"}',
  headers: '{"x-key": "é", "x-number": 5}',
  max_per_second: '0.5',
  state: 'enabled',
  a_column_of_a_later_release: 'x',
};

const valuesOf = (values: Values): (string | null)[] => COLUMNS.map(([name]) => ({ ...ROW, ...values })[name]);

/** One row in a transaction, as pgoutput sends it. */
function byPgoutput(values: Values, decoder: Decoder = outboxDecoder()): Step | undefined {
  const relation = relationBytes({ id: CHANGES, schema: 'walpost', name: 'endpoint_changes', columns: COLUMNS });
  for (const message of [beginBytes(), relation]) decoder.decode(message);
  return decoder.decode(insertBytes(valuesOf(values), CHANGES));
}

const BEGIN =
  '{"action":"B","xid":777,"timestamp":"2026-11-20 14:00:00.13+00","lsn":"0/16B3748","nextlsn":"0/16B3778"}';

function wal2json(onIgnored?: (kind: string, table: string) => void): Decoder {
  const mapping = columnMapping({ preset: 'walpost', columns: {} });
  return createWal2jsonDecoder({
    mapping,
    table: 'walpost.outbox',
    beginTransaction: beginPlain,
    ...(onIgnored && { onIgnored }),
  });
}

/** The same as wal2json sends it: numbers are numbers, arrays are text. */
function byWal2json(values: Values, decoder: Decoder = wal2json(), table = 'endpoint_changes'): Step | undefined {
  const columns = COLUMNS.map(([name, typeoid], index) => {
    const value = valuesOf(values)[index] ?? null;
    const isNumber = (typeoid === OID.int8 || typeoid === NUMERIC) && value !== null;
    return `{"name":"${name}","typeoid":${typeoid},"value":${isNumber ? value : JSON.stringify(value)}}`;
  });
  decoder.decode(Buffer.from(BEGIN));
  return decoder.decode(
    Buffer.from(`{"action":"I","schema":"walpost","table":"${table}","columns":[${columns.join(',')}]}`),
  );
}

describe.each([
  ['pgoutput', byPgoutput],
  ['wal2json', byWal2json],
])('a row of walpost.endpoint_changes by %s', (_plugin, decode) => {
  test('is a change, with the endpoint as it is afterwards', () => {
    expect(decode({})).toEqual({
      kind: 'endpoint_change',
      changeId: '9223372036854775807',
      renewsSecrets: false,
      endpoint: {
        endpointId: '0193f0c4-0000-7000-8000-00000000000e',
        sink: 'customers',
        organizationId: '3f1c7c9e-8a44-4f0e-9d4b-0a6f3f9f0001',
        url: 'https://größe.example/hook?a="b"',
        eventTypes: ['job.*', 'a "quoted", one'],
        headers: { 'x-key': 'é' },
        maxPerSecond: 0.5,
        state: 'enabled',
      },
      origin: beginPlain(0x16b3748n, 777, 848_498_400_130_000n),
    });
  });

  test.each([
    ['added', 'enabled', 'enabled', true],
    ['secret', 'paused', 'paused', true],
    ['disabled', 'disabled', 'disabled', false],
    ['removed', 'enabled', 'removed', false],
    ['of a later release', 'of a later release', 'paused', false],
  ])('%s, %s', (change, state, is, renewsSecrets) => {
    const step = decode({ change, state, max_per_second: null }) as EndpointChange;
    expect(step).toMatchObject({ endpoint: { state: is, maxPerSecond: null }, renewsSecrets });
  });

  test.each<Column>(['change_id', 'endpoint_id', 'sink', 'organization_id', 'change', 'state'])(
    'without %s changes nothing',
    (column) => {
      expect(decode({ [column]: null })).toBeUndefined();
    },
  );

  test('whose other columns cannot be read is still a change', () => {
    const step = decode({ headers: 'null', event_types: null, url: null }) as EndpointChange;
    expect(step.endpoint).toMatchObject({ headers: {}, eventTypes: [], url: '' });
  });
});

test('changes are not counted among the events: positions are those of a release that ignores them', () => {
  const decoder = outboxDecoder();
  byPgoutput({}, decoder);
  decoder.decode(relationBytes({ columns: OUTBOX_COLUMNS }));
  expect(decoder.decode(insertBytes(outboxCells()))).toMatchObject({ kind: 'event', ordinal: 0 });
});

test('a person hears of a change that cannot be read', () => {
  const heard: string[] = [];
  const onIgnored = (kind: string, table: string): void => void heard.push(`${kind} ${table}`);
  byPgoutput({ sink: null }, outboxDecoder({ onIgnored }));
  byWal2json({ sink: null }, wal2json(onIgnored));
  expect(heard).toEqual(['insert walpost.endpoint_changes', 'insert walpost.endpoint_changes']);
});

test('another table of walpost is ignored without a word: a later release may publish one', () => {
  const heard: string[] = [];
  const onIgnored = (kind: string, table: string): void => void heard.push(`${kind} ${table}`);
  const decoder = outboxDecoder({ onIgnored });
  const columns = [['id', OID.int8]] as const;
  decoder.decode(beginBytes());
  decoder.decode(relationBytes({ id: 77, schema: 'walpost', name: 'of_a_later_release', columns }));
  expect(decoder.decode(insertBytes(['1'], 77))).toBeUndefined();
  expect(decoder.decode(deleteBytes(['1'], { id: 77 }))).toBeUndefined();
  expect(byWal2json({}, wal2json(onIgnored), 'of_a_later_release')).toBeUndefined();
  expect(heard).toEqual([]);
});
