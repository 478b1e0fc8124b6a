/**
 * Endpoints that have ended in the stream, while events that were committed before are still to be sent to them. Each is
 * kept until everything before its end is settled and nothing is under way to it, so a long term of leadership keeps few.
 */
import type { Lsn } from '../lsn.ts';
import type { KnownEndpoint } from './directory.ts';

interface Leaving {
  readonly endpoint: KnownEndpoint;
  /** Where its end was committed. */
  readonly at: Lsn;
}

export class LeavingEndpoints {
  /** In the order of their ends. */
  private readonly ended = new Map<string, Leaving>();

  find(endpointId: string): KnownEndpoint | undefined {
    return this.ended.get(endpointId)?.endpoint;
  }

  /** Ends arrive in the order of commits; one that ends again, after it was enabled, goes behind the others. */
  add(endpoint: KnownEndpoint, at: Lsn): void {
    this.ended.delete(endpoint.endpointId);
    this.ended.set(endpoint.endpointId, { endpoint, at });
  }

  /**
   * Forgets those that ended before this position, up to which everything is settled; gives their ids. One that is under way
   * stays: events of a job are part of no transaction, and one that was parked is settled before it is sent.
   */
  forgetSettled(settled: Lsn, isUnderWay: (endpoint: KnownEndpoint) => boolean): readonly string[] {
    const ids: string[] = [];
    for (const [id, { endpoint, at }] of this.ended) {
      if (at >= settled) break;
      if (isUnderWay(endpoint)) continue;
      this.ended.delete(id);
      ids.push(id);
    }
    return ids;
  }

  clear(): void {
    this.ended.clear();
  }
}
