/** What the flags of `walpost replay` ask for; pure, but for what time it is. */
import type { Config } from '../config/schema.ts';
import { parseDuration } from '../config/units.ts';
import { WalpostError } from '../errors.ts';
import type { JobSpec } from '../jobs/job.ts';
import type { ReplayWindow } from '../jobs/replay-plan.ts';
import { type Lsn, parseLsn } from '../lsn.ts';
import type { Moment } from '../postgres/checkpoint-lookup.ts';

export interface ReplayFlags {
  readonly fromLsn?: string;
  readonly since?: string;
  readonly toLsn?: string;
  readonly until?: string;
  readonly organization?: string;
  readonly type?: string;
  readonly topic?: string;
  readonly sink?: readonly string[];
  readonly eventId?: readonly string[];
  readonly rate?: string;
}

/** How the command goes about it. */
export interface ReplayConduct {
  readonly dryRun?: boolean;
  readonly yes?: boolean;
  readonly json?: boolean;
}

export interface ReplayRequest {
  readonly window: Pick<ReplayWindow, 'from' | 'to'>;
  readonly spec: JobSpec;
}

/** Throws USAGE for what cannot be meant. */
export function replayRequest(flags: ReplayFlags, config: Pick<Config, 'sinks'>, now = Date.now()): ReplayRequest {
  const from = moment({ lsn: flags.fromLsn, lsnFlag: '--from-lsn', time: flags.since, timeFlag: '--since', now });
  const to = moment({ lsn: flags.toLsn, lsnFlag: '--to-lsn', time: flags.until, timeFlag: '--until', now });
  if (!from) throw usage('Say from where with --from-lsn or --since.');
  for (const name of flags.sink ?? []) {
    if (!Object.hasOwn(config.sinks, name)) {
      throw usage(`--sink names no sink: there is ${Object.keys(config.sinks).join(', ')}, not "${name}".`);
    }
  }
  const { organization, type: eventType, topic, eventId: eventIds, sink: sinks } = flags;
  const rate = flags.rate === undefined ? undefined : rateOf(flags.rate);
  const spec: JobSpec = {
    ...(organization !== undefined && { organization }),
    ...(eventType !== undefined && { eventType }),
    ...(topic !== undefined && { topic }),
    ...(eventIds !== undefined && { eventIds }),
    ...(sinks !== undefined && { sinks }),
    ...(rate !== undefined && { rate }),
  };
  return { window: { from, to }, spec };
}

interface MomentFlags {
  readonly lsn: string | undefined;
  readonly lsnFlag: string;
  readonly time: string | undefined;
  readonly timeFlag: string;
  readonly now: number;
}

function moment({ lsn, lsnFlag, time, timeFlag, now }: MomentFlags): Moment | undefined {
  if (lsn !== undefined && time !== undefined) throw usage(`${lsnFlag} and ${timeFlag} exclude each other.`);
  if (lsn !== undefined) return { lsn: lsnOf(lsn, lsnFlag) };
  return time === undefined ? undefined : { time: timeOf(time, { flag: timeFlag, now }) };
}

export function lsnOf(text: string, flag: string): Lsn {
  const lsn = parseLsn(text);
  if (lsn === undefined) throw usage(`${flag} takes a position like 16/B374D848, not "${text}".`);
  return lsn;
}

/** A bare date or a time without a zone would be read in the zone of this machine: both must say theirs. */
const RFC_3339 = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/i;

function timeOf(text: string, { flag, now }: { flag: string; now: number }): Date {
  const ago = parseDuration(text);
  const time =
    ago !== undefined ? new Date(now - ago) : RFC_3339.test(text) ? new Date(text.replace(' ', 'T')) : undefined;
  if (!time || Number.isNaN(time.getTime())) {
    throw usage(`${flag} takes a time like 2026-11-20T14:00:00Z, or how long ago like 2h, not "${text}".`);
  }
  return time;
}

function rateOf(text: string): number {
  const rate = Number(text);
  if (!(rate > 0) || !Number.isFinite(rate)) throw usage(`--rate takes events a second, not "${text}".`);
  return rate;
}

function usage(detail: string): WalpostError {
  return new WalpostError('USAGE', { detail, remedy: 'See `walpost replay --help`.' });
}
