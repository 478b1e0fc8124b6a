/** What a redrive would send, and to whom, as the scan of the dead letters would find it. */
import type pg from 'pg';
import { WalpostError } from '../errors.ts';
import { databaseError } from '../postgres/database-error.ts';
import { type LetterChoice, letterCondition } from './dead-letter-scan.ts';
import { Values } from './job-filter.ts';
import { isRouted, type Routing, routedTo } from './route-condition.ts';
import type { SentCounts } from './scan.ts';

export interface LetterCount {
  /** That go to a sink. */
  readonly letters: number;
  readonly sent: SentCounts;
  /** That never had a sink, and that no route matches now either. */
  readonly unrouted: number;
  /** By sink that the configuration does not name. */
  readonly gone: SentCounts;
}

const COLUMNS = {
  topic: 'topic',
  event_type: 'event_type',
  target: 'target',
  entity_type: 'entity_type',
  organization_id: 'organization_id',
} as const;

export async function countLetters(pool: pg.Pool, choice: LetterChoice, routing: Routing): Promise<LetterCount> {
  const values = new Values();
  const each = routing.sinks.map((sink) => `count(*) FILTER (WHERE ${routedTo(sink, routing, COLUMNS, values)})`);
  const sql = `
    SELECT sink, count(*)::integer AS letters, count(*) FILTER (WHERE ${isRouted(routing, COLUMNS, values)})::integer AS routed,
           ARRAY[${each.join(', ')}]::integer[]::text[] AS each
      FROM walpost.dead_letters WHERE ${letterCondition(choice, values)} GROUP BY sink ORDER BY sink`;
  try {
    const { rows } = await pool.query<CountRow>(sql, values.list);
    return sorted(rows, routing.sinks);
  } catch (error) {
    throw databaseError(error, 'counting dead letters');
  }
}

interface CountRow {
  readonly sink: string | null;
  readonly letters: number;
  readonly routed: number;
  readonly each: readonly string[];
}

function sorted(rows: readonly CountRow[], sinks: readonly string[]): LetterCount {
  const count = { letters: 0, sent: {} as Record<string, number>, unrouted: 0, gone: {} as Record<string, number> };
  for (const { sink, letters, routed, each } of rows) {
    if (sink !== null && !sinks.includes(sink)) {
      count.gone[sink] = letters;
      continue;
    }
    count.letters += sink === null ? routed : letters;
    if (sink === null) count.unrouted += letters - routed;
    for (const [index, name] of sinks.entries()) {
      const more = sink === null ? Number(each[index]) : sink === name ? letters : 0;
      if (more > 0) count.sent[name] = (count.sent[name] ?? 0) + more;
    }
  }
  return count;
}

/** A sink that a job names, or that its letters were meant for, must be there: else it would send nothing, and say `done`. */
export function refuseGoneSinks(names: readonly string[], sinks: readonly string[]): void {
  const gone = names.filter((name) => !sinks.includes(name));
  if (gone.length === 0) return;
  const list = (all: readonly string[]): string => all.map((name) => `"${name}"`).join(', ');
  throw new WalpostError('SINK_UNKNOWN', { detail: `It is ${list(gone)}; there is ${list(sinks) || 'none'}.` });
}

/** Throws SINK_UNKNOWN when the letters of gone sinks are all that there is to send. */
export function refuseWhenAllGone({ letters, gone }: LetterCount, sinks: readonly string[]): void {
  if (letters === 0) refuseGoneSinks(Object.keys(gone), sinks);
}
