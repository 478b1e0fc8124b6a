/**
 * Tells TanStack Query what has changed. A burst of events becomes one invalidation of each key for each window. While the
 * queries of a key are fetched again, further changes of that key wait for the end: an invalidation would abort the fetch, and
 * under a steady stream of changes none would ever come to its end.
 */
import { type Clock, systemClock } from '../clock.ts';
import { typePattern } from '../type-pattern.ts';
import type { AnyEvent, ChangedEntity, ChannelEvent } from './channel-event.ts';
import type { Subscription } from './subscriber.ts';

type QueryKey = readonly unknown[];
type KeysOf<Subject> = readonly QueryKey[] | ((subject: Subject) => readonly QueryKey[]);

/** What is used of TanStack Query's QueryClient. */
export interface QueryClientLike {
  invalidateQueries(filters?: { queryKey: QueryKey }): Promise<void>;
}

export interface InvalidateQueriesOptions<Events> {
  /** By event type: the keys of the queries that it makes stale. `*` stands for any characters; all that fit are taken. */
  readonly events?: {
    readonly [Type in keyof Events & string]?: KeysOf<ChannelEvent<Events[Type], Type>>;
  } & { readonly [Pattern in `${string}*${string}`]?: KeysOf<AnyEvent<Events>> };
  /** By entity type, for `form: invalidate` and for events alike. Those without an entity fit `*` alone. */
  readonly entities?: { readonly [type: string]: KeysOf<ChangedEntity> };
  /** What is read anew when something may have been missed; everything when absent. */
  readonly reset?: readonly QueryKey[];
  /** How long changes gather, in milliseconds; 100 when absent. */
  readonly window?: number;
  /** For tests. */
  readonly clock?: Clock;
}

/** Give it to `subscribe`; further subscriptions share its connection. */
export function invalidateQueries<Events = Record<string, unknown>>(
  client: QueryClientLike,
  options: InvalidateQueriesOptions<Events>,
): Subscription<Events> {
  const { reset, clock = systemClock, window = 100 } = options;
  const ofEvents = keyLookup<ChannelEvent>(options.events);
  const ofEntities = keyLookup<ChangedEntity>(options.entities);
  const stale = new StaleKeys({ client, clock, window });
  const take = (event: ChannelEvent): void => {
    stale.add([...ofEvents(event.event_type, event), ...ofEntities(event.entity_type ?? '', event)]);
  };
  const subscription: Subscription<unknown> = {
    events: { '*': take },
    onEntity: (entity) => stale.add(ofEntities(entity.entity_type ?? '', entity)),
    onReset: () => stale.add(reset ?? [EVERYTHING]),
  };
  return subscription;
}

/** An empty key fits the key of every query. */
const EVERYTHING: QueryKey = [];

function keyLookup<Subject>(map: object = {}): (type: string, subject: Subject) => QueryKey[] {
  const entries = Object.entries(map as Record<string, KeysOf<Subject>>);
  const known = entries.map(([name, keys]) => ({ fits: typePattern(name), keys }));
  return (type, subject) =>
    known.filter(({ fits }) => fits(type)).flatMap(({ keys }) => (typeof keys === 'function' ? keys(subject) : keys));
}

interface StaleKeysOptions {
  readonly client: QueryClientLike;
  readonly clock: Clock;
  readonly window: number;
}

class StaleKeys {
  private readonly options: StaleKeysOptions;
  /** By their text, as TanStack compares them. */
  private readonly waiting = new Map<string, QueryKey>();
  private readonly running = new Set<string>();
  private isGathering = false;

  constructor(options: StaleKeysOptions) {
    this.options = options;
  }

  add(keys: readonly QueryKey[]): void {
    for (const key of keys) this.waiting.set(JSON.stringify(key), key);
    this.gather();
  }

  private gather(): void {
    if (this.isGathering || this.waiting.size === 0) return;
    this.isGathering = true;
    this.options.clock.schedule(this.options.window, () => {
      this.isGathering = false;
      this.flush();
    });
  }

  private flush(): void {
    for (const [text, queryKey] of this.waiting) {
      if (this.running.has(text)) continue;
      this.waiting.delete(text);
      this.running.add(text);
      const fetched = (): void => {
        this.running.delete(text);
        if (this.waiting.has(text)) this.gather();
      };
      // A query that fails tells its own observers.
      this.options.client.invalidateQueries({ queryKey }).then(fetched, fetched);
    }
  }
}
