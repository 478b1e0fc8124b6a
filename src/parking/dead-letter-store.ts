import type pg from 'pg';
import type { Event, Origin, Poison } from '../event.ts';
import { formatLsn } from '../lsn.ts';
import { formatMicros } from '../pg-time.ts';
import { type DeadLetter, OWN_LANE } from '../pipeline.ts';
import type { CursorStore } from '../postgres/cursor/cursor-store.ts';
import { FENCE, OWNED, writeFenced } from '../postgres/cursor/fence.ts';
import { SQLSTATE } from '../postgres/sqlstate.ts';
import { refusesContent, stateOf } from '../postgres/storable.ts';
import { wireToText } from '../wire-text.ts';
import { BARE, type Form, OURS_IN_ASCII, REDUCED, type Value } from './letter-forms.ts';

const CHUNK_LETTERS = 500;
const CHUNK_BYTES = 4 * 1024 ** 2;

/** Columns of walpost.dead_letters with the type that carries them, and where each value comes from. */
const COLUMNS: readonly (readonly [name: string, type: string, valueOf: (letter: DeadLetter) => Value])[] = [
  ['sink', 'text', (letter) => letter.sink],
  ['lane', 'text', (letter) => letter.lane ?? OWN_LANE],
  ['reason', 'text', (letter) => letter.reason],
  ['detail', 'text', (letter) => oneLine(letter.detail)],
  ['answer', 'text', ({ answer }) => (answer === undefined ? null : oneLine(answer))],
  ['attempts', 'integer', (letter) => letter.attempts],
  ['blocks', 'boolean', (letter) => letter.blocks === true],
  ['commit_lsn', 'pg_lsn', ({ item }) => (item.origin.commitLsn === null ? null : formatLsn(item.origin.commitLsn))],
  ['ordinal', 'integer', ({ item }) => item.ordinal],
  ['event_id', 'text', ({ item }) => item.eventId],
  ['organization_id', 'text', ({ item }) => item.organizationId],
  ['event_type', 'text', ({ item }) => item.eventType],
  ['event_version', 'integer', ofEvent((event) => event.eventVersion)],
  ['topic', 'text', ofEvent((event) => event.topic)],
  ['entity_type', 'text', ofEvent((event) => event.entityType)],
  ['entity_id', 'text', ofEvent((event) => event.entityId)],
  ['target', 'text', ofEvent((event) => event.target)],
  ['idempotency_key', 'text', ofEvent((event) => event.idempotencyKey)],
  ['payload', 'text', ofEvent((event) => wireToText(event.payload))],
  ['headers', 'text', ofEvent((event) => wireToText(event.headers))],
  ['created_at', 'timestamptz', ofEvent((event) => event.createdAt)],
  ['expires_at', 'timestamptz', ofEvent((event) => event.expiresAt)],
  ['committed_at', 'timestamptz', ({ item }) => committedAt(item.origin)],
  ['poison_row', 'text', ({ item }) => (item.kind === 'poison' ? item.row.replaceAll('\0', '\ufffd') : null)],
];

const NAMES = COLUMNS.map(([name]) => name).join(', ');
const INSERT = `
  WITH fence AS (${FENCE}),
  stored AS (
    INSERT INTO walpost.dead_letters (slot, epoch, system_identifier, ${NAMES})
    SELECT fence.slot, fence.epoch, fence.system_identifier, ${COLUMNS.map(([name]) => `letter.${name}`).join(', ')}
      FROM fence,
           unnest(${COLUMNS.map(([, type], index) => `$${index + 3}::${type}[]`).join(', ')})
           WITH ORDINALITY AS letter (${NAMES}, number)
     WHERE NOT (letter.commit_lsn IS NULL AND letter.sink IS NULL AND EXISTS (
             SELECT FROM walpost.dead_letters AS known
              WHERE known.slot = fence.slot AND known.event_id = letter.event_id AND known.reason = letter.reason
                AND (known.organization_id, known.event_type, known.payload)
                    IS NOT DISTINCT FROM (letter.organization_id, letter.event_type, letter.payload)))
     ORDER BY letter.number
    ON CONFLICT DO NOTHING
  )
  ${OWNED}`;

/**
 * Stores what is given up. When it resolves, every letter is committed; one that was stored before is not stored twice. The
 * stream knows it by its position. A job has none: what no route takes, and a row that is no event, it finds each time again.
 */
export class DeadLetterStore {
  private readonly pool: pg.Pool;
  private readonly cursor: CursorStore;

  constructor(pool: pg.Pool, cursor: CursorStore) {
    this.pool = pool;
    this.cursor = cursor;
  }

  readonly storeDeadLetters = async (letters: readonly DeadLetter[]): Promise<void> => {
    for (const chunk of chunksOf(letters)) await this.storeChunk(chunk);
  };

  async storeInAnyForm(letter: DeadLetter): Promise<void> {
    try {
      await this.storeChunk([letter]);
    } catch (error) {
      if (!refusesContent(error)) throw error;
      await this.storeReduced(letter, error);
    }
  }

  /** One letter that the server refuses for what it holds; in the barest form only its position and the reason are left. */
  readonly storeReduced = async (letter: DeadLetter, refusal: unknown): Promise<void> => {
    const state = `SQLSTATE ${stateOf(refusal) ?? 'unknown'}`;
    const detail = `${letter.detail} (stored in a reduced form: ${state})`;
    try {
      await this.insert([{ ...letter, detail }], REDUCED);
    } catch (error) {
      if (!refusesContent(error)) throw error;
      await this.insert([{ ...letter, detail: `it could not be stored: ${state}` }], BARE);
    }
  };

  /** Where the database has no character for what we or a receiver said, that is written in ASCII. */
  private async storeChunk(chunk: readonly DeadLetter[]): Promise<void> {
    try {
      await this.insert(chunk);
    } catch (error) {
      if (stateOf(error) !== SQLSTATE.untranslatableCharacter) throw error;
      await this.insert(chunk, OURS_IN_ASCII);
    }
  }

  private async insert(chunk: readonly DeadLetter[], form: Form = (_, value) => value): Promise<void> {
    const arrays = COLUMNS.map(([name, , valueOf]) => chunk.map((letter) => form(name, valueOf(letter))));
    await writeFenced(this.pool, this.cursor, { what: 'storing dead letters', sql: INSERT, values: arrays });
  }
}

/** Bounds what one statement holds in memory, here and on the server. */
function* chunksOf(letters: readonly DeadLetter[]): Generator<readonly DeadLetter[]> {
  let chunk: DeadLetter[] = [];
  let bytes = 0;
  for (const letter of letters) {
    const size = letter.item.kind === 'event' ? letter.item.size : letter.item.row.length;
    if (chunk.length === CHUNK_LETTERS || (chunk.length > 0 && bytes + size > CHUNK_BYTES)) {
      yield chunk;
      chunk = [];
      bytes = 0;
    }
    chunk.push(letter);
    bytes += size;
  }
  if (chunk.length > 0) yield chunk;
}

function ofEvent(valueOf: (event: Event) => Value): (letter: { readonly item: Event | Poison }) => Value {
  return ({ item }) => (item.kind === 'event' ? valueOf(item) : null);
}

function oneLine(text: string): string {
  return text.replace(/[\s\0]+/g, ' ').trim();
}

function committedAt({ committedAtMicros }: Origin): string | null {
  return committedAtMicros === null ? null : formatMicros(committedAtMicros);
}
