/** What pgoutput sends of a backlog, as messages in one buffer that is reused, as the driver's is. */
import { beginBytes, type Cell, commitBytes, insertBytes, OID, relationBytes } from '../../support/pgoutput-bytes.ts';

const COLUMNS = [
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

const PER_TRANSACTION = 10;

export const RELATION = relationBytes({ columns: COLUMNS });

const hex = (value: number, width: number): string => value.toString(16).padStart(width, '0');

function cells(n: number, organizations: number): Cell[] {
  const organization = (n * 7919) % organizations;
  return [
    `0193f0c4-${hex(n & 0xffff, 4)}-7000-8000-${hex(n, 12)}`,
    String(n),
    `${hex(Math.imul(organization, 0x9e3779b1) >>> 0, 8)}-8a44-4f0e-9d4b-${hex(organization, 12)}`,
    ['job.completed', 'job.failed', 'record.updated'][n % 3] ?? '',
    '1',
    ['cataloging', 'billing'][n % 2] ?? '',
    'cataloging_job',
    String(100_000 + n),
    null,
    null,
    `{"jobId": "0193f0c4-0000-7000-8000-${hex(n, 12)}", "status": "completed", "records": ${n}, "note": "${'x'.repeat(111)}"}`,
    '{}',
    `2026-11-20 14:00:${String(n % 60).padStart(2, '0')}.${String(n % 1_000_000).padStart(6, '0')}+00`,
    String(700 + n),
  ];
}

/** Rows of 430 bytes, ten a transaction. */
export function wireBacklog(events: number, organizations: number): Buffer[] {
  const messages: Buffer[] = [];
  for (let n = 0; n < events; n += PER_TRANSACTION) {
    const commitLsn = BigInt(n + 1) * 5_000n;
    messages.push(beginBytes({ commitLsn, xid: 700 + n, micros: 848_498_400_000_000n + BigInt(n) * 731n }));
    for (let each = n; each < n + PER_TRANSACTION; each++) messages.push(insertBytes(cells(each, organizations)));
    messages.push(commitBytes({ commitLsn, endLsn: commitLsn + 48n }));
  }
  const all = Buffer.concat(messages);
  let at = 0;
  return messages.map((message) => all.subarray(at, (at += message.length)));
}
