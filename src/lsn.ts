/**
 * A place in the write-ahead log: an unsigned 64-bit byte offset.
 *
 * A bigint, because a cluster moved by pg_resetwal can pass 2^53, and because the comparison operators
 * then just work across the 4 GiB boundaries that the text form `X/Y` has.
 * https://www.postgresql.org/docs/current/datatype-pg-lsn.html
 */
export type Lsn = bigint;

/** Where every stream starts, and "nothing yet" in a standby status. */
export const LSN_ZERO: Lsn = 0n;

/** Behind everything. */
export const MAX_LSN: Lsn = 0xffff_ffff_ffff_ffffn;

const LSN_TEXT = /^([0-9a-f]{1,8})\/([0-9a-f]{1,8})$/i;

/** Reads `16/B374D848`; undefined when the text is not an LSN. */
export function parseLsn(text: string): Lsn | undefined {
  const match = LSN_TEXT.exec(text.trim());
  if (!match) return undefined;
  return (BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`);
}

/** Prints as Postgres does: `16/B374D848`. */
export function formatLsn(lsn: Lsn): string {
  return `${(lsn >> 32n).toString(16).toUpperCase()}/${(lsn & 0xffffffffn).toString(16).toUpperCase()}`;
}

export function maxLsn(a: Lsn, b: Lsn): Lsn {
  return a > b ? a : b;
}
