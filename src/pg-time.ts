/**
 * Time as Postgres counts it: microseconds since 2000-01-01 UTC, in replication frames and wherever a commit time is kept.
 */

/** 2000-01-01 UTC in milliseconds since the Unix epoch. */
export const POSTGRES_EPOCH_MS = Date.UTC(2000, 0, 1);
/** The same in microseconds. */
export const POSTGRES_EPOCH_MICROS = BigInt(POSTGRES_EPOCH_MS) * 1000n;

let lastSecond = Number.NaN;
let lastSecondText = '';

/** In RFC 3339, with six digits: `2026-11-20T14:00:00.130000Z`. The text of the last second is kept: events come in bursts. */
export function formatMicros(microsSince2000: bigint): string {
  const fraction = Number(((microsSince2000 % 1_000_000n) + 1_000_000n) % 1_000_000n);
  const second = Number((microsSince2000 - BigInt(fraction)) / 1_000_000n);
  if (second !== lastSecond) {
    lastSecondText = new Date(second * 1000 + POSTGRES_EPOCH_MS).toISOString().slice(0, 19);
    lastSecond = second;
  }
  return `${lastSecondText}.${String(fraction).padStart(6, '0')}Z`;
}

/** Milliseconds since the Unix epoch, with a fraction. */
export function unixMs(microsSince2000: bigint): number {
  return POSTGRES_EPOCH_MS + Number(microsSince2000) / 1000;
}

/** The other way round, as the replication protocol wants the clock of this end. */
export function postgresMicros(unixTimeMs: number): bigint {
  return BigInt(Math.round((unixTimeMs - POSTGRES_EPOCH_MS) * 1000));
}

/** A time of the server as RFC 3339 text with six digits, in SQL; columns of `timestamptz` are read so everywhere. */
export function rfc3339Sql(column: string): string {
  return `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;
}
