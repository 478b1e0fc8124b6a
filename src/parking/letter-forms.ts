/** Forms in which a dead letter is stored, where the database refuses the one that it has. */
import { asciiText } from '../postgres/storable.ts';

export type Value = string | number | boolean | null;

/** The value of a column. */
export type Form = (column: string, value: Value) => Value;

/** What walpost or a receiver wrote; all other text has come out of this database. */
const OURS: ReadonlySet<string> = new Set(['detail', 'answer', 'poison_row']);
const JSON_COLUMNS: ReadonlySet<string> = new Set(['payload', 'headers', 'poison_row']);
const AS_IT_IS: ReadonlySet<string> = new Set(['sink', 'lane', 'reason', 'commit_lsn', 'committed_at']);
/** Characters of a name, in ASCII; it has to fit into an index. */
const NAME_LENGTH = 600;

export const OURS_IN_ASCII: Form = (column, value) =>
  typeof value === 'string' && OURS.has(column) ? asciiText(value) : value;

/** Text in ASCII and not too long for an index, no time that the row names; as JSON the payload says what it said. */
export const REDUCED: Form = (column, value) => {
  if (column === 'created_at' || column === 'expires_at') return null;
  if (typeof value !== 'string' || AS_IT_IS.has(column)) return value;
  const text = asciiText(value);
  return JSON_COLUMNS.has(column) ? text : text.slice(0, NAME_LENGTH);
};

const KEPT: ReadonlySet<string> = new Set([...AS_IT_IS, 'detail', 'attempts', 'blocks', 'ordinal']);

/** A poison of which nothing but the position and the reason is left. */
export const BARE: Form = (column, value) => {
  if (column === 'reason') return 'poison';
  if (column === 'poison_row') return '{}';
  return KEPT.has(column) ? value : null;
};
