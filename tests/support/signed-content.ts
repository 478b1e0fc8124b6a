import { createHmac } from 'node:crypto';

/** The fields of a message of walpost.emit, in its order. */
export const EMITTED: readonly (string | null)[] = [
  '0193f0c4-0000-7000-8000-000000000001',
  '3f1c7c9e-8a44-4f0e-9d4b-0a6f3f9f0001',
  'größe.known',
  '2',
  'cataloging',
  'job',
  null,
  null,
  '{"n": 12345678901234567890.10, "é": "\\n"}',
  '{"traceparent": "00-1"}',
  '2026-11-20 14:00:00.123456+00',
];

export interface SignedContent {
  readonly fields?: readonly (string | Buffer | null)[];
  readonly key?: number;
  readonly xid?: bigint;
  readonly secret?: Buffer;
  /** What stands in the head, if not what the fields have. */
  readonly sizes?: readonly (number | string)[];
}

export const SECRET = Buffer.alloc(32, 7);

/** What walpost.emit writes. */
export function signedContent(options: SignedContent = {}): Buffer {
  const { fields = EMITTED, key = 1, xid = 777n, secret = SECRET } = options;
  const bytes = fields.map((field) => (field === null ? null : Buffer.from(field as string)));
  const sizes = options.sizes ?? bytes.map((field) => field?.length ?? '-');
  const signed = Buffer.concat([
    Buffer.from(` 1 ${key} ${xid} ${sizes.join(' ')}\n`),
    ...bytes.filter((field) => field !== null),
  ]);
  const signature = createHmac('sha256', secret).update(signed).digest('hex');
  return Buffer.concat([Buffer.from(signature), signed]);
}
