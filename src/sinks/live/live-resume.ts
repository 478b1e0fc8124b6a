/**
 * How a reader that comes back goes on, by the id of the last event that it has.
 *
 *   new     it has none: what comes from now on
 *   ring    the leader that sent it still leads, and remembers all that came since: exactly that
 *   table   otherwise: the rows that may have come since, and then the whole ring. Some events come a second time.
 *   reset   rows are gone, or the id is unknown: what is missing cannot be told, so the reader is told to read its state anew
 *
 * In each case the ring is read until nothing is left in it, and from that moment on the reader is told
 * of events as they come. Rows are read under a snapshot that is younger than the reader: an event that its snapshot does not
 * see is handed to the channel later, and one that was handed over before is seen by it or is in the ring.
 */
import type { Clock } from '../../clock.ts';
import type { LiveChannel, Numbering } from './live-channel.ts';
import { controlFrame, frameOf, type FrameForm } from './live-frames.ts';
import { formatLiveId, type LiveId, type LivePosition, parseLiveId } from './live-id.ts';
import type { LiveReader } from './live-reader.ts';
import type { LiveEntry } from './live-ring.ts';
import { type LiveTerm, PastGoneError } from './live-term.ts';

export const RESUME_WAYS = ['new', 'ring', 'table', 'reset'] as const;
export type ResumeWay = (typeof RESUME_WAYS)[number];

export interface ResumeOptions {
  readonly term: LiveTerm;
  readonly numbering: Numbering;
  readonly channel: LiveChannel;
  readonly form: FrameForm;
  readonly clock: Clock;
  /** The term is over. */
  readonly signal: AbortSignal;
}

/** Written before the socket is asked to take it. */
const PIECE_BYTES = 64 * 1024;
/** A reader that takes nothing for so long while it catches up is dropped. */
const PATIENCE_MS = 30_000;

/** Resolves when the reader is told of events as they come; with undefined when its stream has ended before. */
export async function resume(
  reader: LiveReader,
  lastEventId: string | undefined,
  options: ResumeOptions,
): Promise<ResumeWay | undefined> {
  const { term, numbering, channel } = options;
  const id = lastEventId === undefined ? undefined : parseLiveId(lastEventId);
  let way = wayOf(lastEventId, id, options);
  let base: LivePosition = { lsn: term.position(), ordinal: 0 };
  let from = numbering.number;
  if (way === 'ring' && id) [from, base] = [id.number, id];
  if (way === 'table' && id) {
    if (!(await sendPast(reader, id, options))) way = 'reset';
    from = way === 'table' ? channel.ring.floor : numbering.number;
  }
  if (way === 'reset') base = resetReader(reader, options);
  while (!reader.ended.aborted && !options.signal.aborted) {
    const entries = channel.ring.after(from, PIECE_BYTES);
    if (entries === null) {
      way = 'reset'; // it was forgotten meanwhile
      base = resetReader(reader, options);
      from = numbering.number;
    } else if (entries.length > 0) {
      from = entries.at(-1)?.number ?? from;
      reader.send(entries);
      await taken(reader, options);
    } else {
      goLive(reader, way, currentId(later(channel.last, base), options), options.clock);
      return way;
    }
  }
  return undefined;
}

/** Nothing is waited for between the look at the ring and this. */
function goLive(reader: LiveReader, resumed: ResumeWay, id: string, clock: Clock): void {
  reader.write(controlFrame('live', { resumed }, id));
  reader.isLive = true;
  reader.lastWrite = clock.now();
}

function wayOf(
  text: string | undefined,
  id: LiveId | undefined,
  { term, numbering, channel }: ResumeOptions,
): ResumeWay {
  if (text === undefined) return 'new';
  if (id === undefined || id.epoch > term.epoch) return 'reset';
  if (id.epoch < term.epoch) return 'table';
  if (id.number > numbering.number) return 'reset';
  return id.number >= channel.ring.floor ? 'ring' : 'table';
}

/** False when rows may be missing. */
async function sendPast(reader: LiveReader, id: LiveId, options: ResumeOptions): Promise<boolean> {
  const { term, form, signal } = options;
  // A reader that is cut off here comes back with this id, and gets the same rows.
  const text = formatLiveId({ ...id, epoch: 0n, number: 0 });
  try {
    for await (const events of term.past(reader.organizationId, id.lsn, signal)) {
      const entries = events
        .filter(({ organizationId }) => organizationId === reader.organizationId)
        .map((event): LiveEntry => {
          const frame = Buffer.from(frameOf(event, text, form), 'latin1');
          return { number: 0, topic: event.topic, eventType: event.eventType, frame };
        });
      reader.send(entries);
      if (!(await taken(reader, options))) return true;
    }
    return true;
  } catch (error) {
    if (error instanceof PastGoneError) return false;
    throw error;
  }
}

/** Whether the socket has taken what was written, so that more can be. Ends the stream of a reader that takes nothing. */
async function taken(reader: LiveReader, { clock, signal }: ResumeOptions): Promise<boolean> {
  const patience = clock.schedule(PATIENCE_MS, () => reader.end('slow'));
  await reader.drained(signal);
  patience.cancel();
  return !reader.ended.aborted && !signal.aborted;
}

function resetReader(reader: LiveReader, options: ResumeOptions): LivePosition {
  const base = { lsn: options.term.position(), ordinal: 0 };
  reader.write(controlFrame('reset', { reason: 'history_gone' }, currentId(base, options)));
  return base;
}

function currentId(position: LivePosition, { numbering }: ResumeOptions): string {
  return formatLiveId({ ...position, ...numbering });
}

function later(first: LivePosition | undefined, second: LivePosition): LivePosition {
  return first !== undefined && first.lsn >= second.lsn ? first : second;
}
