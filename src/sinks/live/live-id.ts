/**
 * The id of a message: where a reader is. Opaque to readers, who give it back as Last-Event-ID.
 *
 *   <commit LSN>-<ordinal>-<epoch>-<number>
 *
 * Epoch and number find the event in the ring of the leader that sent it, exactly. The position outlives that leader: it
 * finds the rows of the table that may come after it. Events that a job has read from a table have no position, so they carry that
 * of the event of the stream before them.
 */
import type { Lsn } from '../../lsn.ts';

export interface LivePosition {
  readonly lsn: Lsn;
  readonly ordinal: number;
}

export interface LiveId extends LivePosition {
  /** Of the leader that sent it; 0 for an event that was read from the table for one reader. */
  readonly epoch: bigint;
  /** Counts the events that this leader has handed to channels. */
  readonly number: number;
}

const TEXT = /^([\da-f]{1,16})-(\d{1,10})-(\d{1,18})-(\d{1,15})$/;

export function formatLiveId({ lsn, ordinal, epoch, number }: LiveId): string {
  return `${lsn.toString(16)}-${ordinal}-${epoch}-${number}`;
}

/** Undefined when it is none of ours. */
export function parseLiveId(text: string): LiveId | undefined {
  const [, lsn, ordinal, epoch, number] = TEXT.exec(text) ?? [];
  if (lsn === undefined || epoch === undefined) return undefined;
  return { lsn: BigInt(`0x${lsn}`), ordinal: Number(ordinal), epoch: BigInt(epoch), number: Number(number) };
}
