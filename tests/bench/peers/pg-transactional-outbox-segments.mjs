// The same with one message at a time in each segment, where a segment is an organization: walpost's order.
import { createReplicationSegmentMutexConcurrencyController } from 'pg-transactional-outbox';
import { consume as consumeWith } from './pg-transactional-outbox.mjs';

export { fill, prepare, writer } from './pg-transactional-outbox.mjs';

export const consume = (url, deliver) =>
  consumeWith(url, deliver, createReplicationSegmentMutexConcurrencyController());
