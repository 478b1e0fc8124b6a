import type { Clock } from '../../clock.ts';
import type { Arrival } from '../audit.ts';
import type { OrderStatus } from '../event-mix.ts';

/** A destination that the demo offers to a sink, and that tells afterwards what it got. */
export interface DemoSink {
  /** The options of the sink in the configuration. */
  readonly options: object;
  /** Further sections of the configuration. */
  readonly sections?: object;
  /** The sink gets the events of orders to which this happened. */
  readonly statuses: readonly OrderStatus[];
  /** False where what arrived shows neither its order nor repetitions. */
  readonly isSequence: boolean;
  /** Called once, when walpost streams and before anything is written. */
  readonly connect?: (signal: AbortSignal) => Promise<void>;
  /** What has arrived so far, in its order. */
  readonly arrivals: () => Promise<readonly Arrival[]>;
  readonly close: () => Promise<void>;
}

/** Changes what a stand-in has taken before it is counted, so that a test can inject faults that the audit must find. */
export type Tamper = (sink: 'slack' | 'realtime', arrivals: readonly Arrival[]) => readonly Arrival[];

/** Where a destination is set up. */
export interface DemoPlace {
  /** A directory of the demo. */
  readonly directory: string;
  /** Where walpost puts its standard output. */
  readonly outputFile: string;
  readonly clock: Clock;
  readonly organizationIds: readonly string[];
  /** The embedded server, which may hold a database of the destination. */
  readonly databaseUrl: (database?: string) => string;
  readonly tamper: Tamper;
}

interface EnvelopeFields {
  readonly event_id: string;
  readonly organization_id: string;
  readonly payload: { readonly number: number };
}

/** Reads the envelope, or any JSON with these fields of it. */
export function arrivalOf(json: string): Arrival {
  const { event_id, organization_id, payload } = JSON.parse(json) as EnvelopeFields;
  return { eventId: event_id, organizationId: organization_id, number: payload.number };
}
