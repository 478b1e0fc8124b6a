/** The changes of endpoints as they come in the stream: applied at their commit, and settled once that is noted. */
import type { EndpointChange } from '../endpoint.ts';
import type { EndpointDirectory, KnownEndpoint } from './directory.ts';

/** The lanes of endpoints, as the router has them. */
export interface EndpointLanes {
  /** It is paused, or is not any more. */
  paused(endpoint: KnownEndpoint): void;
  /**
   * What waits for it in Postgres is for nobody; what is in memory of a lane that delivers is still sent. `dropped` is called
   * once the rows are gone that were there before the change.
   */
  ended(endpoint: KnownEndpoint, change: EndpointChange, dropped: () => void): void;
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
    const { endpointId } = change.endpoint;
    const before = directory.find(endpointId);
    const transition = directory.apply(change);
    const now = directory.find(endpointId);
    if (transition === 'ended' && before) return lanes.ended(before, change, note);
    if (now && transition !== 'same') lanes.paused(now);
    note();
  }
}
