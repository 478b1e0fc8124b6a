/** One connection for each organization that somebody listens to, closed a moment after the last one has left. */
import { type Clock, systemClock } from '../clock.ts';
import { logError } from '../log-error.ts';
import { onNetworkBack } from '../network.ts';
import { ChannelConnection, type ChannelListener, type ChannelStatus } from './channel-connection.ts';
import type { AnyEvent, ChangedEntity, ChannelEvent } from './channel-event.ts';
import type { ChannelSource } from './channel-source.ts';
import { createEventBus } from './event-bus.ts';

/** By event type. Every name that fits is called: `*` in it stands for any characters. */
export type EventListeners<Events> = {
  readonly [Type in keyof Events & string]?: (event: ChannelEvent<Events[Type], Type>) => void;
} & { readonly [Pattern in `${string}*${string}`]?: (event: AnyEvent<Events>) => void };

export interface Subscription<Events> {
  readonly events?: EventListeners<Events>;
  /** Called for each changed entity of `form: invalidate`. */
  readonly onEntity?: (entity: ChangedEntity) => void;
  /** Read the state now: at first, and whenever something may have been missed. What is committed later comes as events. */
  readonly onReset?: () => void;
  readonly onStatus?: (status: ChannelStatus) => void;
}

export interface SubscriberOptions {
  readonly source: ChannelSource;
  /** The waits between attempts, in milliseconds: 1,000, doubling up to 30,000, the upper half of each at random. */
  readonly retry?: { readonly base?: number; readonly most?: number };
  /** How long a connection is kept that nobody listens to, in milliseconds; 1,000 when absent. Components come and go. */
  readonly linger?: number;
  /** How many event ids an organization remembers to drop repeats; 10,000 when absent. */
  readonly remember?: number;
  /** What a callback, the source or the token function threw, and messages that were dropped; console.error when absent. */
  readonly onError?: (error: unknown) => void;
  /** For tests. */
  readonly clock?: Clock;
  /** For tests. */
  readonly random?: () => number;
}

export interface Subscriber<Events> {
  /** Gives back how to leave. */
  subscribe(organizationId: string, subscription: Subscription<Events>): () => void;
  /** Connections that wait try again now. In browsers this happens by itself when the network is back. */
  reconnect(): void;
  /** Ends all connections; the subscriber can be used again. */
  close(): void;
}

interface Open {
  readonly connection: ChannelConnection;
  closing: { cancel(): void } | undefined;
}

export function createSubscriber<Events = Record<string, unknown>>(options: SubscriberOptions): Subscriber<Events> {
  const { clock = systemClock, random = Math.random, onError = logError, linger = 1_000, remember = 10_000 } = options;
  const retry = { base: 1_000, most: 30_000, ...options.retry };
  const connections = new Map<string, Open>();
  let stopWatching = (): void => undefined;
  const reconnect = (): void => connections.forEach(({ connection }) => connection.wake());

  const opened = (organizationId: string): Open => {
    const known = connections.get(organizationId);
    if (known !== undefined) return known;
    const { source } = options;
    const connection = new ChannelConnection({ source, organizationId, clock, random, retry, remember, onError });
    const open: Open = { connection, closing: undefined };
    if (connections.size === 0) stopWatching = onNetworkBack(reconnect);
    connections.set(organizationId, open);
    void connection.run();
    return open;
  };
  const close = (organizationId: string, { connection, closing }: Open): void => {
    closing?.cancel();
    connections.delete(organizationId);
    if (connections.size === 0) stopWatching();
    connection.close();
  };

  return {
    subscribe: (organizationId, subscription) => {
      const open = opened(organizationId);
      const { connection } = open;
      open.closing?.cancel();
      const listener = listenerOf(subscription, onError);
      connection.listeners.add(listener);
      greet(connection, listener);
      return () => {
        if (!connection.listeners.delete(listener) || connection.listeners.size > 0) return;
        open.closing = clock.schedule(linger, () => {
          if (connections.get(organizationId) === open) close(organizationId, open);
        });
      };
    },
    reconnect,
    close: () => connections.forEach((open, organizationId) => close(organizationId, open)),
  };
}

/** Whoever comes later is told how things stand; not before `subscribe` has returned. */
function greet(connection: ChannelConnection, listener: ChannelListener): void {
  queueMicrotask(() => {
    if (!connection.listeners.has(listener)) return;
    const { status } = connection;
    listener.status(status);
    if (status.state === 'live') listener.reset();
  });
}

function listenerOf(subscription: Subscription<unknown>, onError: (error: unknown) => void): ChannelListener {
  const { events = {}, onEntity, onReset, onStatus } = subscription;
  const bus = createEventBus<Record<string, ChannelEvent>>({ onError });
  for (const [name, listener] of Object.entries(events)) {
    if (listener !== undefined) bus.on(name, listener as (event: ChannelEvent) => void);
  }
  const safely = (act: () => void): void => {
    try {
      act();
    } catch (error) {
      onError(error);
    }
  };
  return {
    event: (event) => bus.emit(event.event_type, event),
    entity: (entity) => safely(() => onEntity?.(entity)),
    reset: () => safely(() => onReset?.()),
    status: (status) => safely(() => onStatus?.(status)),
  };
}
