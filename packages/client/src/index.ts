/** For applications: publish events of walpost in a transaction of their own. */
export type { Envelope } from '../../vocabulary/envelope.ts';
export { autocommit, type Database, type Transaction, withOrganization } from './database.ts';
export {
  InvalidEventError,
  InvalidPayloadError,
  NoRelayError,
  NotAllowedError,
  NotInTransactionError,
  NotMigratedError,
  type PayloadProblem,
  PublishError,
  RetryableError,
  TooLargeError,
  UnregisteredEventError,
} from './errors.ts';
export type {
  CommandDefinitions,
  CommandsOf,
  EventDefinition,
  EventDefinitions,
  EventOf,
  PayloadsOf,
} from './event-map.ts';
export { fromDrizzle } from './from-drizzle.ts';
export type { NewEvent } from './new-event.ts';
export { type Command, once } from './once.ts';
export { emit, publish, publishMany } from './publish.ts';
export { type Commands, createPublisher, type Publisher } from './publisher.ts';
export { retryTransaction, type RetryOptions } from './retry-transaction.ts';
export type { StandardSchema } from './standard-schema.ts';
export { type EventStatus, status, type StatusOptions, waitFor, type WaitOptions } from './status.ts';
