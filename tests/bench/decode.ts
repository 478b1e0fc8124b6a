/**
 * What one event costs: `npx tsx tests/bench/decode.ts [events]`, in ns per event, best and median of the rounds.
 *
 * Rows of 430 bytes, ten a transaction, in one large buffer that is reused, as the driver's is. The body is the work that
 * is left when the bytes go out: batches of 100 envelopes, flattened into a Buffer.
 */
import { columnMapping } from '../../src/decoder/column-mapping.ts';
import { createPgoutputDecoder } from '../../src/decoder/pgoutput.ts';
import { batchBody, envelopeOf } from '../../src/envelope.ts';
import type { Event } from '../../src/event.ts';
import type { Decoder } from '../../src/pipeline.ts';
import { wireBytes } from '../../src/wire-text.ts';
import { beginBytes, type Cell, commitBytes, insertBytes, OID, relationBytes } from '../support/pgoutput-bytes.ts';

const EVENTS = Number(process.argv[2] ?? 200_000);
const PER_TRANSACTION = 10;
const ROUNDS = 9;

const columns = [
  ['event_id', OID.uuid],
  ['seq', OID.int8],
  ['organization_id', OID.uuid],
  ['event_type', OID.text],
  ['event_version', OID.int2],
  ['topic', OID.text],
  ['entity_type', OID.text],
  ['entity_id', OID.text],
  ['target', OID.text],
  ['idempotency_key', OID.text],
  ['payload', OID.jsonb],
  ['headers', OID.jsonb],
  ['created_at', OID.timestamptz],
  ['created_xid', 5069],
] as const;

const hex = (value: number, width: number): string => value.toString(16).padStart(width, '0');

function cells(n: number): Cell[] {
  const micros = String(n % 1_000_000).padStart(6, '0');
  return [
    `0193f0c4-${hex(n & 0xffff, 4)}-7000-8000-${hex(n, 12)}`,
    String(n),
    `3f1c7c9e-8a44-4f0e-9d4b-${hex((n * 7919) % 100_000, 12)}`,
    ['job.completed', 'job.failed', 'record.updated'][n % 3] ?? '',
    '1',
    ['cataloging', 'billing'][n % 2] ?? '',
    'cataloging_job',
    String(100_000 + n),
    null,
    null,
    `{"jobId": "0193f0c4-0000-7000-8000-${hex(n, 12)}", "status": "completed", "records": ${n}, "note": "${'x'.repeat(111)}"}`,
    '{}',
    `2026-11-20 14:00:${String(n % 60).padStart(2, '0')}.${micros}+00`,
    String(700 + n),
  ];
}

/** Some transactions in one buffer, as views; a run goes round them. */
function stream(): Buffer[] {
  const messages: Buffer[] = [];
  for (let n = 0; n < 2_000; n++) {
    const commitLsn = BigInt(n) * 5_000n;
    if (n % PER_TRANSACTION === 0)
      messages.push(beginBytes({ commitLsn, xid: n, micros: 848_498_400_000_000n + BigInt(n) * 731n }));
    messages.push(insertBytes(cells(n)));
    if (n % PER_TRANSACTION === PER_TRANSACTION - 1) {
      const begun = BigInt(n - PER_TRANSACTION + 1) * 5_000n;
      messages.push(commitBytes({ commitLsn: begun, endLsn: begun + 48n }));
    }
  }
  const all = Buffer.concat(messages);
  let at = 0;
  return messages.map((message) => all.subarray(at, (at += message.length)));
}

type Work = (event: Event) => void;

const messages = stream();
let sink = 0;

function run(decoder: Decoder, work: Work): number {
  let events = 0;
  const started = process.hrtime.bigint();
  while (events < EVENTS) {
    for (const message of messages) {
      const step = decoder.decode(message);
      if (step?.kind !== 'event') continue;
      events++;
      work(step);
    }
  }
  return Number(process.hrtime.bigint() - started) / events;
}

function batches(): Work {
  let gathered: Event[] = [];
  return (event) => {
    gathered.push(event);
    if (gathered.length < 100) return;
    const batch = { organizationId: event.organizationId, events: gathered, attempt: 1 };
    sink += wireBytes(batchBody({ sink: 'bench', batch })).length;
    gathered = [];
  };
}

const works: Record<string, () => Work> = {
  decode: () => (event) => {
    sink += event.size;
  },
  'decode + envelope': () => (event) => {
    envelopeOf(event);
  },
  'decode + envelope + body of 100 as bytes': batches,
};

const decoders = Object.keys(works).map(() => {
  const decoder = createPgoutputDecoder({
    mapping: columnMapping({ preset: 'walpost', columns: {} }),
    table: 'walpost.outbox',
  });
  decoder.decode(relationBytes({ columns }));
  return decoder;
});
const results = Object.keys(works).map((): number[] => []);
for (let round = 0; round < ROUNDS; round++) {
  Object.values(works).forEach((work, index) => {
    const decoder = decoders[index];
    if (decoder) results[index]?.push(run(decoder, work()));
  });
}
console.log(`row of ${messages[1]?.length} bytes, ${EVENTS} events, ${ROUNDS} rounds, sum ${sink}`);
Object.keys(works).forEach((name, index) => {
  const sorted = (results[index] ?? []).toSorted((a, b) => a - b);
  console.log(`${name}: best ${sorted[0]?.toFixed(0)} ns, median ${sorted[ROUNDS >> 1]?.toFixed(0)} ns per event`);
});
