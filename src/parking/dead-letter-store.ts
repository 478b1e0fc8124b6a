import type pg from 'pg';
import type { Event, Poison } from '../event.ts';
import { formatLsn } from '../lsn.ts';
import type { DeadLetter } from '../pipeline.ts';
import { type CursorStore, FENCE } from '../postgres/cursor-store.ts';
import { databaseError } from '../postgres/database-error.ts';
import { wireToText } from '../wire-text.ts';

const CHUNK_LETTERS = 500;
const CHUNK_BYTES = 4 * 1024 ** 2;

type Value = string | number | boolean | null;

/** Columns of walpost.dead_letters with the type that carries them, and where each value comes from. */
const COLUMNS: readonly (readonly [name: string, type: string, valueOf: (letter: DeadLetter) => Value])[] = [
  ['sink', 'text', (letter) => letter.sink],
  ['reason', 'text', (letter) => letter.reason],
  ['detail', 'text', (letter) => oneLine(letter.detail)],
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
  ['committed_at', 'timestamptz', ({ item }) => postgresTimestamp(item.origin.committedAtMicros)],
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
     ORDER BY letter.number
    ON CONFLICT DO NOTHING
  )
  SELECT count(*)::integer AS owned FROM fence`;

/** Stores what is given up. When it resolves, every letter is committed; one that was stored before is not stored twice. */
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

  private async storeChunk(chunk: readonly DeadLetter[]): Promise<void> {
    const arrays = COLUMNS.map(([, , valueOf]) => chunk.map(valueOf));
    let owned: number | undefined;
    try {
      const { rows } = await this.pool.query<{ owned: number }>(INSERT, [
        this.cursor.slot,
        this.cursor.epoch,
        ...arrays,
      ]);
      owned = rows[0]?.owned;
    } catch (error) {
      throw databaseError(error, 'storing dead letters');
    }
    if (owned !== 1) throw this.cursor.lost();
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

const POSTGRES_EPOCH_MS = Date.UTC(2000, 0, 1);

/** RFC 3339 with all six digits of the microseconds. */
function postgresTimestamp(micros: bigint | null): string | null {
  if (micros === null) return null;
  const fraction = ((micros % 1_000_000n) + 1_000_000n) % 1_000_000n;
  const seconds = Number((micros - fraction) / 1_000_000n);
  const whole = new Date(POSTGRES_EPOCH_MS + seconds * 1000).toISOString().slice(0, 19);
  return `${whole}.${fraction.toString().padStart(6, '0')}Z`;
}
