import { createHash } from 'node:crypto';

/**
 * The advisory lock of a slot's leader: the first 8 bytes of SHA-256("walpost leader " and the slot's name), as a bigint.
 *
 * It lies in the space of pg_advisory_lock(bigint), which the application may use too; 64 bits keep the two apart. Such
 * locks belong to one database, and so does a slot, which can only be streamed from over its own database.
 */
export function leaderLockKey(slot: string): bigint {
  return createHash('sha256').update(`walpost leader ${slot}`).digest().readBigInt64BE(0);
}
