/** Values of flags that several commands take. Each throws USAGE, with what is accepted, for what cannot be meant. */
import { parseDuration } from '../config/units.ts';
import { WalpostError } from '../errors.ts';

/** A bare date or a time without a zone would be read in the zone of this machine: both must say theirs. */
const RFC_3339 = /^(\d{4})-(\d\d)-(\d\d)[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/i;
/** No event is older: the transaction numbers that a replay compares came later. */
const EARLIEST = Date.UTC(2000, 0, 1);
/** How far the clocks of this machine and of the server may differ. */
const CLOCKS_DIFFER_MS = 60_000;

/** A time, or how long ago: `2026-11-20T14:00:00Z`, `2h`. It must have been, and not before the year 2000. */
export function pastMoment(text: string, { flag, now }: { readonly flag: string; readonly now: number }): Date {
  const ago = parseDuration(text);
  const time = ago === undefined ? timeOf(text) : now - ago;
  if (time === undefined) {
    throw usage(`${flag} takes a time like 2026-11-20T14:00:00Z, or how long ago like 2h, not "${text}".`);
  }
  if (time < EARLIEST || time > now + CLOCKS_DIFFER_MS) {
    const end = new Date(now).toISOString();
    throw usage(`${flag} takes a time from 2000-01-01T00:00:00Z to now, which is ${end}, not "${text}".`);
  }
  return new Date(time);
}

function timeOf(text: string): number | undefined {
  const [, year, month, day] = RFC_3339.exec(text) ?? [];
  if (day === undefined) return undefined;
  // A date like 30 February would become another one.
  const date = new Date(Date.UTC(Number(year), Number(month) - 1, Number(day)));
  if (date.getUTCDate() !== Number(day)) return undefined;
  const time = Date.parse(text.replace(' ', 'T'));
  return Number.isNaN(time) ? undefined : time;
}

const [SLOWEST, FASTEST] = [0.001, 1_000_000];

/** Events a second. */
export function rateOf(text: string): number {
  const rate = /^\d+(\.\d+)?$/.test(text) ? Number(text) : 0;
  if (rate >= SLOWEST && rate <= FASTEST) return rate;
  throw usage(`--rate takes events a second, from ${SLOWEST} to ${FASTEST}, not "${text}".`);
}

export function usage(detail: string, remedy?: string): WalpostError {
  return new WalpostError('USAGE', { detail, ...(remedy !== undefined && { remedy }) });
}
