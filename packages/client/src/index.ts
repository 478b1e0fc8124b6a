/** For applications: publish events of walpost in a transaction of their own. */
export type { Envelope } from '../../vocabulary/envelope.ts';
export { type NewEvent, publish, publishMany } from './publish.ts';
export { type Transaction, withOrganization } from './transaction.ts';
