/** What the flags of `walpost replay` ask for; pure, but for what time it is. */
import type { Config } from '../config/schema.ts';
import type { WalpostError } from '../errors.ts';
import type { JobSpec } from '../jobs/job.ts';
import type { ReplayWindow } from '../jobs/replay-plan.ts';
import { type Lsn, parseLsn } from '../lsn.ts';
import type { ReplayPoint } from '../postgres/cursor/checkpoint-lookup.ts';
import { pastMoment, rateOf, usage as badFlag } from './flag-values.ts';

export interface ReplayFlags {
  readonly all?: boolean;
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
  const begin = moment({ lsn: flags.fromLsn, lsnFlag: '--from-lsn', time: flags.since, timeFlag: '--since', now });
  const to = moment({ lsn: flags.toLsn, lsnFlag: '--to-lsn', time: flags.until, timeFlag: '--until', now });
  if (begin && flags.all) throw usage('--all excludes --from-lsn and --since.');
  const from = flags.all ? 'everything' : begin;
  if (!from) throw usage('Say from where with --from-lsn or --since, or --all.');
  if (to && begin && isBefore(to, begin)) throw usage('It would end before it begins.');
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

function moment({ lsn, lsnFlag, time, timeFlag, now }: MomentFlags): ReplayPoint | undefined {
  if (lsn !== undefined && time !== undefined) throw usage(`${lsnFlag} and ${timeFlag} exclude each other.`);
  if (lsn !== undefined) return { lsn: lsnOf(lsn, lsnFlag) };
  return time === undefined ? undefined : { time: pastMoment(time, { flag: timeFlag, now }) };
}

/** A position and a time cannot be compared here. */
function isBefore(first: ReplayPoint, second: ReplayPoint): boolean {
  if ('lsn' in first) return 'lsn' in second && first.lsn < second.lsn;
  return 'time' in second && first.time < second.time;
}

export function lsnOf(text: string, flag: string): Lsn {
  const lsn = parseLsn(text);
  if (lsn === undefined) throw usage(`${flag} takes a position like 16/B374D848, not "${text}".`);
  return lsn;
}

function usage(detail: string): WalpostError {
  return badFlag(detail, 'See `walpost replay --help`.');
}
