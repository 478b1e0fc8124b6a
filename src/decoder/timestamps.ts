import { formatMicros, POSTGRES_EPOCH_MS } from '../pg-time.ts';

const ISO = /^(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?(Z|[+-]\d\d(?::?\d\d)?(?::?\d\d)?)?$/;
/** Years 0001 to 9999, which RFC 3339 can write and Postgres can store. */
export const EARLIEST_MICROS = -63_082_281_600_000_000n;
export const LATEST_MICROS = 252_455_616_000_000_000n;
const ZEROS = '000000';

/**
 * What a timestamp column prints, such as `2026-11-20 14:00:00.1+00`, as RFC 3339 with six digits and Z; without a zone
 * it is taken as UTC. Undefined for what RFC 3339 cannot say: infinity, BC, years of five digits.
 */
export function timestampToRfc3339(text: string): string | undefined {
  return fromUtcSession(text) ?? isoToRfc3339(text);
}

/** The same for a text that nobody vouches for, in any zone. Year 0 is none for Postgres, and a zone may lead out of the years. */
export function isoToRfc3339(text: string): string | undefined {
  const micros = microsSince2000(text);
  return micros === undefined || micros < EARLIEST_MICROS || micros >= LATEST_MICROS ? undefined : formatMicros(micros);
}

/** Reads ISO text into microseconds since 2000-01-01 UTC, the epoch of the wire protocol. */
export function microsSince2000(text: string): bigint | undefined {
  const match = ISO.exec(text);
  if (!match) return undefined;
  const [, year, month, day, hour, minute, second, fraction = '', zone = 'Z'] = match;
  const inUtc = `${year}-${month}-${day}T${hour}:${minute}:${second}`;
  const ms = Date.parse(`${inUtc}Z`);
  // Date.parse takes a 30th of February for the 2nd of March.
  if (Number.isNaN(ms) || !new Date(ms).toISOString().startsWith(inUtc)) return undefined;
  return BigInt(ms - POSTGRES_EPOCH_MS - zoneMs(zone)) * 1000n + BigInt(fraction.padEnd(6, '0'));
}

let lastSecond = '';
let lastSecondRfc3339 = '';

/** The shape that a session in UTC prints; the server vouches for the digits, so only the shape is looked at. */
function fromUtcSession(text: string): string | undefined {
  const end = text.endsWith('+00') ? text.length - 3 : text.length;
  if (end < 19 || end === 20 || end > 26) return undefined;
  if (text.charCodeAt(4) !== 45 || text.charCodeAt(10) !== 32 || text.charCodeAt(16) !== 58) return undefined;
  if (end > 19 && !isFraction(text, end)) return undefined;
  const second = text.substring(0, 19);
  if (second !== lastSecond) {
    lastSecondRfc3339 = `${second.substring(0, 10)}T${second.substring(11)}`;
    lastSecond = second;
  }
  // The short end first: V8 keeps what it joins as a tree of pieces once it is 13 characters long.
  const fraction = end === 19 ? '.000000Z' : `${text.substring(19, end)}${ZEROS.substring(end - 20)}Z`;
  return lastSecondRfc3339 + fraction;
}

function isFraction(text: string, end: number): boolean {
  if (text.charCodeAt(19) !== 46) return false;
  for (let at = 20; at < end; at++) {
    const digit = text.charCodeAt(at) - 48;
    if (digit < 0 || digit > 9) return false;
  }
  return true;
}

function zoneMs(zone: string): number {
  if (zone === 'Z') return 0;
  const digits = zone.slice(1).replaceAll(':', '').padEnd(6, '0');
  const seconds = Number(digits.slice(0, 2)) * 3600 + Number(digits.slice(2, 4)) * 60 + Number(digits.slice(4));
  return (zone.startsWith('-') ? -seconds : seconds) * 1000;
}
