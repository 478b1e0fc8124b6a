/** For browsers and phones: one connection to the channel of an organization, and what is done with its events. */
export type { ChannelStatus } from './channel-connection.ts';
export type { AnyEvent, ChangedEntity, ChannelEvent } from './channel-event.ts';
export type { ChannelAttempt, ChannelEnd, ChannelObserver, ChannelSource, TokenFunction } from './channel-source.ts';
export { createEventBus, type EventBus, type EventBusOptions } from './event-bus.ts';
export { invalidateQueries, type InvalidateQueriesOptions, type QueryClientLike } from './invalidate-queries.ts';
export type { EventSourceConstructor, EventSourceLike } from './live-event-source.ts';
export { liveSource, type LiveSourceOptions } from './live-source.ts';
export {
  type RealtimeChannelLike,
  type RealtimeClientLike,
  realtimeSource,
  type RealtimeSourceOptions,
} from './realtime-source.ts';
export {
  createSubscriber,
  type EventListeners,
  type Subscriber,
  type SubscriberOptions,
  type Subscription,
} from './subscriber.ts';
