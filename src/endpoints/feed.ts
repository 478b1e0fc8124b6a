/** The changes of endpoints as they come in the stream: applied at their commit, and settled once that is noted. */
import type { Endpoint, EndpointChange } from '../endpoint.ts';
import type { EndpointDirectory } from './directory.ts';

/** The lanes of endpoints, as the router has them. */
export interface EndpointLanes {
  /** It is paused, or is not any more. */
  paused(endpoint: Endpoint): void;
  /** Drops what the lane has in memory and in Postgres up to the change, and calls back once that is done. */
  ended(change: EndpointChange, dropped: () => void): void;
}

export interface EndpointNotes {
  /** Calls back once it is durable that the slot has brought the change. */
  note(change: EndpointChange, noted: () => void): void;
}

export interface EndpointFeedOptions {
  readonly directory: EndpointDirectory;
  readonly lanes: EndpointLanes;
  readonly notes: EndpointNotes;
}

export class EndpointFeed {
  private readonly options: EndpointFeedOptions;
  private open: EndpointChange[] = [];

  constructor(options: EndpointFeedOptions) {
    this.options = options;
  }

  /** A row of the transaction that is open. */
  arrived(change: EndpointChange): void {
    change.origin.expect(1);
    this.open.push(change);
  }

  /** The transaction has ended; before its ticket is closed. */
  committed(): void {
    if (this.open.length === 0) return;
    const changes = this.open;
    this.open = [];
    for (const change of changes) this.apply(change);
  }

  private apply(change: EndpointChange): void {
    const { directory, lanes, notes } = this.options;
    const note = (): void => notes.note(change, () => change.origin.settle());
    const transition = directory.apply(change);
    if (transition === 'ended') return lanes.ended(change, note);
    if (transition !== 'same') lanes.paused(change.endpoint);
    note();
  }
}
