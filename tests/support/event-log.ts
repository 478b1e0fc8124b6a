import { EventReceiver, type ReceivedBatch, type ReceivedEvent } from '../e2e/event-receiver.ts';

/** A receiver that keeps every event, and what each was sent as. */
export class EventLog implements AsyncDisposable {
  readonly events: ReceivedEvent[] = [];
  readonly receiver: EventReceiver;

  private constructor(receiver: EventReceiver) {
    this.receiver = receiver;
    receiver.onBatch = (batch: ReceivedBatch) => void this.events.push(...batch.events);
  }

  static async start(): Promise<EventLog> {
    return new EventLog(await EventReceiver.start());
  }

  get sinks(): Readonly<Record<string, object>> {
    return { hook: this.receiver.sink() };
  }

  get ids(): ReadonlySet<string> {
    return new Set(this.events.map(({ event_id }) => event_id));
  }

  missing(ids: readonly string[]): string[] {
    const there = this.ids;
    return ids.filter((id) => !there.has(id));
  }

  /** Resolves when all of them have arrived at least once. */
  async has(ids: readonly string[], timeout = 60_000): Promise<void> {
    const deadline = performance.now() + timeout;
    while (this.missing(ids).length > 0) {
      const before = this.receiver.count;
      await this.receiver.received(before + 1, deadline - performance.now()).catch(() => {
        throw new Error(`${this.missing(ids).length} of ${ids.length} events did not arrive in ${timeout} ms`);
      });
    }
  }

  clear(): void {
    this.events.length = 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.receiver[Symbol.asyncDispose]();
  }
}
