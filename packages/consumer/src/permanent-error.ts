/** Thrown by a handler: this event will never do. walpost makes it a dead letter, in its place of the order. */
export class PermanentError extends Error {
  override readonly name = 'PermanentError';
}
