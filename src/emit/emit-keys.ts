/**
 * The secrets that walpost.emit signs with, as they were when they were last read.
 *
 * A message that names an unknown key is either forged, or signed with a key that is newer than the last read. Its transaction
 * tells which. A signer sees only committed keys. So a transaction that committed before the position that was taken ahead of
 * the read cannot have used a key that the read did not find.
 */
import type pg from 'pg';
import type { EmitKey } from '../emit-key.ts';
import { WalpostError } from '../errors.ts';
import type { Origin } from '../event.ts';
import { type Lsn, LSN_ZERO, parseLsn } from '../lsn.ts';
import { databaseError } from '../postgres/database-error.ts';

interface Key {
  readonly secret: Buffer;
  /** Microseconds since 2000-01-01 UTC; null while it signs. */
  readonly expiresAt: bigint | null;
}

const READ = `
  SELECT id::text, encode(secret, 'hex') AS secret,
         (extract(epoch FROM expires_at - '2000-01-01 00:00:00+00') * 1000000)::bigint::text AS expires
    FROM walpost.emit_keys`;

export class EmitKeys {
  private readonly pool: pg.Pool;
  private keys: ReadonlyMap<number, Key> = new Map();
  private knownUntil: Lsn = LSN_ZERO;

  constructor(pool: pg.Pool) {
    this.pool = pool;
  }

  /** Reads them all. Throws EMIT_KEYS when there is none to be seen. */
  async read(): Promise<void> {
    try {
      const position = await this.pool.query<{ lsn: string }>('SELECT pg_current_wal_insert_lsn()::text AS lsn');
      const { rows } = await this.pool.query<{ id: string; secret: string; expires: string | null }>(READ);
      if (rows.length === 0) throw new WalpostError('EMIT_KEYS');
      this.keys = new Map(
        rows.map(({ id, secret, expires }) => [
          Number(id),
          { secret: Buffer.from(secret, 'hex'), expiresAt: expires === null ? null : BigInt(expires) },
        ]),
      );
      this.knownUntil = parseLsn(position.rows[0]?.lsn ?? '') ?? LSN_ZERO;
    } catch (error) {
      throw databaseError(error, 'reading walpost.emit_keys');
    }
  }

  /** Bound, so that it can be handed on. */
  readonly keyOf = (id: number, { commitLsn, committedAtMicros }: Origin): EmitKey => {
    const key = this.keys.get(id);
    if (key === undefined) return (commitLsn ?? LSN_ZERO) < this.knownUntil ? 'unknown_key' : 'outdated';
    const { secret, expiresAt } = key;
    return expiresAt !== null && (committedAtMicros ?? 0n) > expiresAt ? 'expired_key' : secret;
  };
}
