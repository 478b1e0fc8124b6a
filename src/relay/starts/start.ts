/**
 * What a start is: the first one, one that goes on, one that takes over from another slot, or one in a copy of a database.
 *
 * Decided from the rows of walpost.cursor, the slots of the cluster, walpost.installation and the configuration, and from
 * nothing else, before anything is written. What slot-diagnosis.ts then says is whether the slot of the existing stream is sound.
 *
 * Three things must never pass for a first start: the database was renamed, the configuration names another slot, the slot
 * is gone. And one must never pass for going on: the database is a copy.
 */
export type Existing = 'deliver' | 'skip';

/** A row of walpost.cursor. */
export interface KnownCursor {
  readonly slot: string;
  /** With the same table and another publication it is ours only where the configuration names it. */
  readonly source: 'ours' | 'same table' | 'of others' | 'unknown';
  /** It has a position, or a healing that will give it one. */
  readonly begun: boolean;
  /** Its position belongs to this cluster, and its slot was made in this database. */
  readonly isFromHere: boolean;
}

export interface Contents {
  /** Counted up to a bound. */
  readonly rows: number;
  readonly parked: number;
  readonly deadLetters: number;
  /** Rows of transactions that this cluster has not begun: another one wrote them. */
  readonly areForeign: boolean;
}

export interface StartFacts {
  readonly configured: {
    readonly slot?: string | undefined;
    readonly takesOver?: string | undefined;
    readonly existing?: Existing | undefined;
    /** walpost.outbox: its rows are events and nothing else. */
    readonly isOwnTable: boolean;
  };
  /** The name for a slot that has none yet. */
  readonly usualSlot: string;
  readonly cursors: readonly KnownCursor[];
  /** Slots that belong to other databases of the cluster. */
  readonly foreignSlots: ReadonlySet<string>;
  /** What walpost.installation names. */
  readonly installed: 'here' | 'elsewhere' | 'unknown';
  /** Left out at first: counting is done only where it matters. */
  readonly contents?: Contents | undefined;
}

export type Start =
  /** There was never a relay of this source. With `ask` there are no rows to be asked about, as far as is known. */
  | {
      readonly kind: 'first';
      readonly slot: string;
      readonly existing: Existing | 'ask';
      /** A first start under that name did not get far: its cursor moves to the new one. */
      readonly from?: string;
    }
  | { readonly kind: 'continue'; readonly slot: string }
  /** All that is kept under the old name moves to the new one. */
  | { readonly kind: 'take_over'; readonly slot: string; readonly from: string }
  /** A copy of another database, and a person has said what is to become of it. */
  | { readonly kind: 'copy'; readonly slot: string; readonly from: string | undefined; readonly existing: Existing };

export type StartRefusal =
  | { readonly kind: 'copied'; readonly from: KnownCursor | undefined }
  | { readonly kind: 'existing rows' }
  | { readonly kind: 'slot of another database'; readonly slot: string }
  | { readonly kind: 'slot of another source'; readonly slot: string }
  | { readonly kind: 'another slot'; readonly slot: string; readonly known: string }
  | { readonly kind: 'several slots'; readonly known: readonly string[] }
  | { readonly kind: 'both slots'; readonly slot: string; readonly known: string };

export type StartDecision =
  | { readonly start: Start }
  | { readonly refusal: StartRefusal }
  /** The contents have to be counted before anything can be said but the name of the slot. */
  | { readonly needs: 'contents'; readonly slot: string };

export function decideStart(facts: StartFacts): StartDecision {
  const { slot: named, takesOver } = facts.configured;
  const byName = (slot: string | undefined): KnownCursor | undefined =>
    facts.cursors.find((cursor) => cursor.slot === slot);
  const present = byName(named);
  const former = named === takesOver ? undefined : byName(takesOver);
  for (const cursor of [present, former]) {
    if (cursor?.source === 'of others') return refuse({ kind: 'slot of another source', slot: cursor.slot });
  }
  if (present && former) return refuse({ kind: 'both slots', slot: present.slot, known: former.slot });
  if (present) return goOn(facts, present, present.slot);
  if (former && named !== undefined) return takeOver(facts, former, named, true);
  const ours = facts.cursors.filter((cursor) => isOurs(cursor, facts));
  const [only, ...more] = ours;
  if (more.length > 0) return refuse({ kind: 'several slots', known: ours.map(({ slot }) => slot) });
  if (!only) return firstStart(facts, named ?? freeName(facts));
  return named === undefined ? goOn(facts, only, only.slot) : takeOver(facts, only, named, false);
}

/** A row that records no source can only be recognized by its name. */
function isOurs({ source, slot }: KnownCursor, { usualSlot }: StartFacts): boolean {
  return source === 'ours' || (source === 'unknown' && slot === usualSlot);
}

function goOn(facts: StartFacts, cursor: KnownCursor, slot: string): StartDecision {
  if (isCopy(facts, cursor)) return copy(facts, cursor, slot);
  return cursor.begun ? { start: { kind: 'continue', slot } } : firstStart(facts, slot);
}

/** The cursor is under another name than the one to go on with. */
function takeOver(facts: StartFacts, former: KnownCursor, slot: string, isWanted: boolean): StartDecision {
  if (isCopy(facts, former)) return copy(facts, former, slot);
  if (!isWanted) return refuse({ kind: 'another slot', slot, known: former.slot });
  if (facts.foreignSlots.has(slot)) return refuse({ kind: 'slot of another database', slot });
  return former.begun
    ? { start: { kind: 'take_over', slot, from: former.slot } }
    : firstStart(facts, slot, former.slot);
}

/** The cursor row records its cluster and database. Where it does not, a slot of that name in another database tells. */
function isCopy(facts: StartFacts, cursor: KnownCursor): boolean {
  return !cursor.isFromHere || facts.foreignSlots.has(cursor.slot);
}

function copy(facts: StartFacts, from: KnownCursor, wanted: string): StartDecision {
  const { existing, slot: named } = facts.configured;
  const isTaken = facts.foreignSlots.has(wanted);
  if (existing === undefined) {
    return facts.contents ? refuse({ kind: 'copied', from }) : { needs: 'contents', slot: wanted };
  }
  if (isTaken && named !== undefined) return refuse({ kind: 'slot of another database', slot: wanted });
  return { start: { kind: 'copy', slot: isTaken ? freeName(facts) : wanted, from: from.slot, existing } };
}

function firstStart(facts: StartFacts, slot: string, from?: string): StartDecision {
  const { configured, contents, cursors, installed } = facts;
  const { existing, isOwnTable } = configured;
  if (facts.foreignSlots.has(slot)) return refuse({ kind: 'slot of another database', slot });
  if (!contents) return { needs: 'contents', slot };
  // In a copy of a schema that nobody has used there is nothing to ask about.
  const isUsed = contents.rows + contents.parked + contents.deadLetters + cursors.length > 0;
  if ((installed !== 'here' && isUsed) || contents.areForeign) {
    if (existing === undefined) return refuse({ kind: 'copied', from: undefined });
    return { start: { kind: 'copy', slot, from, existing } };
  }
  if (existing === undefined && !isOwnTable && contents.rows > 0) return refuse({ kind: 'existing rows' });
  const decided = existing ?? (isOwnTable ? 'deliver' : 'ask');
  return { start: { kind: 'first', slot, existing: decided, ...(from !== undefined && { from }) } };
}

/** The usual name, or the usual name with a number, that neither another database nor another source has. */
function freeName({ usualSlot, cursors, foreignSlots }: StartFacts): string {
  const isFree = (name: string): boolean => !foreignSlots.has(name) && cursors.every(({ slot }) => slot !== name);
  for (let number = 1; ; number++) {
    const end = number === 1 ? '' : `_${number}`;
    const name = usualSlot.slice(0, 63 - end.length) + end;
    if (isFree(name)) return name;
  }
}

const refuse = (refusal: StartRefusal): StartDecision => ({ refusal });
