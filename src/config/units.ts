import { z } from 'zod';

const DURATION = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/;
const MILLISECONDS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const SIZE = /^(\d+(?:\.\d+)?)(B|KiB|MiB|GiB)$/;
const BYTES: Record<string, number> = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };

const RATE = /^(\d+(?:\.\d+)?)\/(s|m|h)$/;
const PER_SECOND: Record<string, number> = { s: 1, m: 1 / 60, h: 1 / 3600 };

/** `250ms`, `2s`, `1m`, `24h`, `3d`, and a bare `0`; milliseconds, or undefined. */
export function parseDuration(text: string): number | undefined {
  return parseUnit(text, DURATION, MILLISECONDS);
}

/** `512B`, `64KiB`, `1MiB`; bytes, or undefined. */
export function parseSize(text: string): number | undefined {
  return parseUnit(text, SIZE, BYTES);
}

/** `100/s`, `30/m`, `500/h`; how many a second, or undefined. */
export function parseRate(text: string): number | undefined {
  const match = RATE.exec(text);
  const each = match?.[2] === undefined ? undefined : PER_SECOND[match[2]];
  const rate = each === undefined ? 0 : Number(match?.[1]) * each;
  return rate > 0 ? rate : undefined;
}

function parseUnit(text: string, pattern: RegExp, units: Record<string, number>): number | undefined {
  if (text === '0') return 0;
  const match = pattern.exec(text);
  const unit = match?.[2] === undefined ? undefined : units[match[2]];
  return match && unit !== undefined ? Math.round(Number(match[1]) * unit) : undefined;
}

interface Bounds {
  readonly min?: string;
  readonly max?: string;
}

/** No option means more, and an interval of Postgres can hold it. */
const LONGEST = '3650d';

/** A duration in the file, milliseconds in the program. */
export function duration(bounds: Bounds = {}) {
  return unit('duration', parseDuration, { max: LONGEST, ...bounds }, DURATION);
}

/** A size in the file, bytes in the program. */
export function size(bounds: Bounds = {}) {
  return unit('size', parseSize, bounds, SIZE);
}

const WHAT = { duration: 'a duration like 250ms, 2s or 1m', size: 'a size like 64KiB or 1MiB' };

function unit(kind: 'duration' | 'size', parse: (text: string) => number | undefined, bounds: Bounds, pattern: RegExp) {
  const what = WHAT[kind];
  return z
    .union([z.string().meta({ pattern: `${pattern.source}|^0$` }), z.literal(0)], { error: `must be ${what}` })
    .transform((value, context) => {
      const parsed = parse(String(value));
      if (parsed === undefined) {
        context.addIssue({ code: 'custom', message: `must be ${what}` });
        return z.NEVER;
      }
      if (bounds.min !== undefined && parsed < (parse(bounds.min) ?? 0)) {
        context.addIssue({ code: 'custom', message: `must be at least ${bounds.min}` });
      }
      if (bounds.max !== undefined && parsed > (parse(bounds.max) ?? Infinity)) {
        context.addIssue({ code: 'custom', message: `must be at most ${bounds.max}` });
      }
      return parsed;
    })
    .meta({ kind, ...bounds });
}

/** `100/s` in the file, a number a second in the program. */
export function rate() {
  const what = 'must be a rate like 100/s, 30/m or 500/h';
  return z
    .string({ error: what })
    .meta({ pattern: RATE.source })
    .transform((value, context) => {
      const parsed = parseRate(value);
      if (parsed !== undefined) return parsed;
      context.addIssue({ code: 'custom', message: what });
      return z.NEVER;
    })
    .meta({ kind: 'rate' });
}
