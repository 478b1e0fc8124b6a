/** The channel of one organization: its ring, its readers, and what an event becomes on its way to them. */
import type { Event } from '../../event.ts';
import { formatLiveId, type LiveId, type LivePosition } from './live-id.ts';
import { frameOf, type FrameForm } from './live-frames.ts';
import type { LiveReader } from './live-reader.ts';
import { type LiveEntry, LiveRing } from './live-ring.ts';

/** Where the numbering stands: that of the leader, for all channels. */
export interface Numbering {
  readonly epoch: bigint;
  number: number;
}

export class LiveChannel {
  readonly readers = new Set<LiveReader>();
  readonly ring: LiveRing;
  /** Of the last event of the stream. Within the term of a leader it never goes back. */
  last: LivePosition | undefined;

  constructor(floor: number) {
    this.ring = new LiveRing(floor);
  }

  /** Writes the events once and keeps them. `whole` is all of them in one piece. */
  add(events: readonly Event[], numbering: Numbering, options: ChannelOptions): readonly [LiveEntry[], whole: Buffer] {
    const begin = this.last ?? { lsn: options.position(), ordinal: 0 };
    const texts = events.map((event) => {
      numbering.number += 1;
      return frameOf(event, formatLiveId(this.idOf(event, numbering, begin)), options.form);
    });
    const text = texts.join('');
    // The pieces live as long as the ring keeps them, so they are no part of a pool that others share.
    const whole = Buffer.allocUnsafeSlow(text.length);
    whole.write(text, 'latin1');
    let [start, number] = [0, numbering.number - events.length];
    const entries = events.map(({ topic, eventType }, index): LiveEntry => {
      const end = start + (texts[index]?.length ?? 0);
      const frame = whole.subarray(start, end);
      start = end;
      number += 1;
      return { number, topic, eventType, frame };
    });
    for (const entry of entries) this.ring.push(entry);
    return [entries, whole];
  }

  private idOf({ origin, ordinal }: Event, { epoch, number }: Numbering, begin: LivePosition): LiveId {
    if (origin.commitLsn !== null && ordinal !== null) this.last = { lsn: origin.commitLsn, ordinal };
    return { ...(this.last ?? begin), epoch, number };
  }
}

export interface ChannelOptions {
  readonly form: FrameForm;
  /** For events that have no position, before the first that has one. */
  readonly position: () => bigint;
}
