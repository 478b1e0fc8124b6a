/** For browsers and phones: what the client wants to send is kept while it is offline. */
export { PermanentError } from '../permanent-error.ts';
export { type Locks, localLocks } from './locks.ts';
export { createOfflineQueue, type DropReason, type OfflineQueue, type OfflineQueueOptions } from './offline-queue.ts';
export type { QueuedItem, QueueStore } from './queue-store.ts';
export { QueueFullError } from './stored-items.ts';
