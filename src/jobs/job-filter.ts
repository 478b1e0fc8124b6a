import { likePattern } from '../postgres/like-pattern.ts';

/** Which events a job is about; what is left out does not restrict. */
export interface JobFilter {
  readonly organization?: string;
  /** `*` stands for any text. */
  readonly eventType?: string;
  /** Any of these; none of them stands for an event of walpost itself. */
  readonly eventTypes?: readonly string[];
  readonly topic?: string;
  readonly eventIds?: readonly string[];
}

/** The columns that hold what a filter asks for, as SQL; undefined where the table has none. */
export interface FilterColumns {
  readonly organization: string | undefined;
  readonly eventType: string | undefined;
  readonly topic: string | undefined;
  readonly eventId: string | undefined;
}

/** What an event without a topic has. */
export const DEFAULT_TOPIC = 'default';

/** Collects values for placeholders. */
export class Values {
  readonly list: unknown[] = [];

  /** Adds a value and gives back its placeholder. */
  add(value: unknown): string {
    return `$${this.list.push(value)}`;
  }
}

/** The text of a column as its type prints it. A cast could be a function of the type's owner, run with the rights of the relay. */
export function textOf(column: string | undefined): string {
  return column === undefined ? 'NULL::text' : `CASE WHEN ${column} IS NOT NULL THEN format('%s', ${column}) END`;
}

/** A condition in SQL, `true` when nothing restricts. */
export function filterCondition(filter: JobFilter, columns: FilterColumns, values: Values): string {
  const conditions: string[] = [];
  const demand = (column: string | undefined, operator: string, value: unknown): void => {
    conditions.push(`(${textOf(column)}) ${operator} ${values.add(value)}`);
  };
  if (filter.organization !== undefined) demand(columns.organization, '=', filter.organization);
  if (filter.eventType !== undefined) demand(columns.eventType, 'LIKE', likePattern(filter.eventType));
  if (filter.eventTypes !== undefined) {
    const type = textOf(columns.eventType);
    const patterns = values.add(filter.eventTypes.map(likePattern));
    conditions.push(`(${type}) LIKE ANY (${patterns}::text[]) AND NOT starts_with(${type}, 'walpost.')`);
  }
  if (filter.topic !== undefined) {
    conditions.push(`coalesce(${textOf(columns.topic)}, '${DEFAULT_TOPIC}') = ${values.add(filter.topic)}`);
  }
  if (filter.eventIds !== undefined)
    conditions.push(`(${textOf(columns.eventId)}) = ANY (${values.add(filter.eventIds)}::text[])`);
  return conditions.length === 0
    ? 'true'
    : conditions.map((condition) => `coalesce(${condition}, false)`).join(' AND ');
}
