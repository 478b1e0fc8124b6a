/**
 * The live channel, for people without a service for it: browsers listen to walpost itself, with Server-Sent Events.
 *
 * `delivered` means handed to the channel: the event lies in the ring of its organization, and was written to everybody who
 * listens. It does not mean that anybody has read it. A reader never holds the sink up; one that reads too slowly is dropped and
 * comes back with the id of the last event that it has (live-hub.ts says how it goes on).
 */
import type { SinkConfigOf } from '../../config/sinks/sinks.ts';
import type { Batch, Sink, Verdict } from '../../pipeline.ts';
import type { SinkContext } from '../../sink-context.ts';

/** The channels that readers listen to, one for each organization. */
export interface LiveChannels {
  /** Hands the events to the channel of their organization, at once. `unavailable` outside the term of a leader. */
  publish(batch: Batch): Verdict;
}

export interface LiveSinkContext extends SinkContext {
  /** Absent where no relay is around the sink. */
  readonly channels?: LiveChannels | undefined;
}

export const NOT_LEADING: Verdict = {
  kind: 'unavailable',
  code: 'NOT_LEADING',
  reason: 'the live channel is closed: this process does not lead',
};
const ABORTED: Verdict = { kind: 'unavailable', reason: 'not handed to the live channel: no time was left' };

export function createLiveSink(_config: SinkConfigOf<'live'>, { channels }: LiveSinkContext): Sink {
  return {
    deliver: (batch, signal) => Promise.resolve(signal.aborted ? ABORTED : (channels?.publish(batch) ?? NOT_LEADING)),
    close: () => Promise.resolve(),
  };
}
