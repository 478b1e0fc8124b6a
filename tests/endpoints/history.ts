/**
 * Random histories of endpoints and events, and what each endpoint has to get of them. The tables are in memory here: rows of
 * changes, and where they committed as far as that is durable.
 */
import fc from 'fast-check';
import { Ledger } from '../../src/ack/ledger.ts';
import type { Endpoint, EndpointChange, EndpointState } from '../../src/endpoint.ts';
import { EndpointDirectory } from '../../src/endpoints/directory.ts';
import { EndpointFeed } from '../../src/endpoints/feed.ts';
import type { Lsn } from '../../src/lsn.ts';

export const SINK = 'customers';
const ORGANIZATIONS = ['a', 'b'];
const ENDPOINTS = ['a1', 'a2', 'b1'];
const TYPES = ['job.done', 'job.failed'];

type Step =
  | {
      readonly kind: 'change';
      readonly endpointId: string;
      readonly state: EndpointState;
      readonly eventTypes: readonly string[];
      readonly renewsSecrets: boolean;
    }
  | { readonly kind: 'event'; readonly organizationId: string; readonly eventType: string };

export type Transaction = readonly Step[];

const change = fc.record({
  kind: fc.constant('change' as const),
  endpointId: fc.constantFrom(...ENDPOINTS),
  state: fc.constantFrom<EndpointState>('enabled', 'enabled', 'paused', 'disabled', 'removed'),
  eventTypes: fc.constantFrom(['*'], ['job.done'], ['job.*', 'other']),
  renewsSecrets: fc.boolean(),
});
const event = fc.record({
  kind: fc.constant('event' as const),
  organizationId: fc.constantFrom(...ORGANIZATIONS),
  eventType: fc.constantFrom(...TYPES),
});
/** A transaction may be one of another table: nothing of ours is in it. */
export const transactions = fc.array(fc.array(fc.oneof(change, event, event), { maxLength: 4 }), {
  minLength: 1,
  maxLength: 14,
});

/** When the connection breaks: after so many steps of what is streamed and noted, and again. */
export const breaks = fc.array(fc.record({ streamed: fc.nat(14), noted: fc.nat(8) }), { maxLength: 5 });

/** They commit back to back: the end of one is the commit of the next. */
const commitOf = (index: number): Lsn => 100n + BigInt(index) * 10n;
const endOf = (index: number): Lsn => commitOf(index + 1);

/** `endpoint event`, and whether it is parked. */
export type Arrivals = ReadonlyMap<string, boolean>;

/** By the definition alone: state by state, without any of the code under test. */
export function expectedArrivals(history: readonly Transaction[]): Arrivals {
  const endpoints = new Map<string, { readonly state: EndpointState; readonly eventTypes: readonly string[] }>();
  const arrivals = new Map<string, boolean>();
  history.forEach((steps, index) => {
    steps.forEach((step, place) => {
      if (step.kind !== 'event') return;
      for (const [endpointId, { state, eventTypes }] of endpoints) {
        const wanted = eventTypes.some((type) => type === '*' || type === step.eventType || type === 'job.*');
        if (!endpointId.startsWith(step.organizationId) || !wanted) continue;
        if (state === 'enabled' || state === 'paused')
          arrivals.set(`${endpointId} ${index}.${place}`, state === 'paused');
      }
    });
    for (const step of steps) if (step.kind === 'change') endpoints.set(step.endpointId, step);
  });
  return arrivals;
}

/** The database and the slot: what outlives a connection. */
export class Durable {
  readonly history: readonly Transaction[];
  readonly arrivals = new Map<string, boolean>();
  confirmed: Lsn = 0n;
  private readonly positions = new Map<string, Lsn>();

  constructor(history: readonly Transaction[]) {
    this.history = history;
  }

  /** Streams from what is confirmed, as far as the break says, and confirms what is settled. */
  connect({ streamed, noted }: { readonly streamed: number; readonly noted: number }): void {
    const ledger = new Ledger();
    const directory = new EndpointDirectory();
    directory.reset(this.endpointsAt(this.confirmed));
    const waiting: (() => void)[] = [];
    const feed = new EndpointFeed({
      directory,
      lanes: { paused: () => undefined, ended: (_endpoint, _change, dropped) => dropped() },
      notes: {
        note: ({ changeId, origin }, done) =>
          waiting.push(() => {
            this.positions.set(changeId, origin.commitLsn ?? 0n);
            done();
          }),
      },
    });
    const first = this.history.findIndex((_steps, index) => commitOf(index) >= this.confirmed);
    const from = first < 0 ? this.history.length : first;
    for (let index = from; index < Math.min(this.history.length, from + streamed); index++) {
      this.stream(index, { ledger, directory, feed });
    }
    for (const note of waiting.slice(0, noted)) note();
    if (ledger.watermark > this.confirmed) this.confirmed = ledger.watermark;
  }

  get isDone(): boolean {
    return this.confirmed >= endOf(this.history.length - 1);
  }

  private stream(
    index: number,
    { ledger, directory, feed }: { ledger: Ledger; directory: EndpointDirectory; feed: EndpointFeed },
  ): void {
    const origin = ledger.begin(commitOf(index), index, 0n);
    (this.history[index] ?? []).forEach((step, place) => {
      if (step.kind === 'change') return feed.arrived({ ...changeOf(step, `${index * 10 + place}`), origin });
      const fields = { ...step, entityType: null, entityId: null };
      for (const lane of directory.lanesFor(SINK, fields)) {
        const key = `${lane} ${index}.${place}`;
        const parked = directory.isPaused(lane);
        if (this.arrivals.get(key) === !parked) throw new Error(`${key} is parked once and sent once`);
        this.arrivals.set(key, parked);
      }
    });
    feed.committed();
    ledger.commit(endOf(index));
  }

  /** Of each endpoint the last change that committed before the place, as the query of the relay says it. */
  private endpointsAt(start: Lsn) {
    const last = new Map<string, Omit<EndpointChange, 'origin'>>();
    const rows = this.history.flatMap((steps, index) =>
      steps.flatMap((step, place) => (step.kind === 'change' ? [changeOf(step, `${index * 10 + place}`)] : [])),
    );
    for (const row of rows) {
      const position = this.positions.get(row.changeId);
      if (position !== undefined && position < start) last.set(row.endpoint.endpointId, row);
    }
    return [...last.values()].map(({ endpoint, changeId }) => ({ ...endpoint, changeId, secretsVersion: changeId }));
  }
}

function changeOf(step: Extract<Step, { kind: 'change' }>, changeId: string): Omit<EndpointChange, 'origin'> {
  const { endpointId, state, eventTypes, renewsSecrets } = step;
  const endpoint: Endpoint = {
    endpointId,
    sink: SINK,
    organizationId: endpointId.slice(0, 1),
    url: 'https://customer.example/hook',
    eventTypes,
    headers: {},
    maxPerSecond: null,
    state,
  };
  return { kind: 'endpoint_change', changeId, renewsSecrets, endpoint };
}
